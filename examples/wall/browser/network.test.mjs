import assert from "node:assert/strict";
import { TRANSPORTS, scene } from "./stage.mjs";

const texts = (name, n) => Array.from({ length: n }, (_, i) => `${name} ${i}`);

async function postAll(stage, posts) {
  for (const text of posts) await stage.wall.post(text);
}

scene("posts made while the network was cut arrive once and in order", async (stage) => {
  const pages = await stage.visitAll({ url: stage.proxy.url });
  const posts = [texts("before", 3), texts("meanwhile", 50), texts("after", 3)];
  await postAll(stage, posts[0]);
  for (const p of pages) await p.shows(posts[0]);
  stage.proxy.cut();
  for (const p of pages) await p.notLive();
  await postAll(stage, posts[1]);
  stage.proxy.pass();
  for (const p of pages) await p.live();
  await postAll(stage, posts[2]);
  for (const p of pages) await p.shows(posts.flat());
});

scene("a network that swallows everything is noticed by its silence", async (stage) => {
  const pages = []; // long polling notices, too, but only after 35 s
  for (const t of ["sse", "websocket"]) pages.push(await stage.visit(t, { url: stage.proxy.url }));
  await stage.wall.post("before");
  for (const p of pages) await p.shows(["before"]);
  stage.proxy.stall();
  await postAll(stage, texts("meanwhile", 20));
  for (const p of pages) await p.notLive();
  stage.proxy.pass();
  for (const p of pages) await p.shows(["before", ...texts("meanwhile", 20)]);
}, { heartbeat: "1s" });

scene("connections that die in the middle of events lose and double nothing", async (stage) => {
  const pages = await stage.visitAll({ url: stage.proxy.url });
  const budgets = [1511, 1843, 2179, 2503, 2837, 3163]; // bytes; all posts need more than any of them
  stage.proxy.flake(() => budgets.shift() ?? Infinity);
  await postAll(stage, texts("post", 30));
  await stage.wall.post("the end");
  for (const p of pages) await p.shows([...texts("post", 30), "the end"]);
  assert.ok(stage.proxy.ended >= 3, "each page lost a connection in the middle of events");
});

scene("a page comes back as soon as the browser is online again, even if Firefox had closed its EventSource", async (stage) => {
  const pages = await stage.visitAll({ url: stage.proxy.url });
  await stage.wall.post("before");
  for (const p of pages) await p.shows(["before"]);
  for (const p of pages) await p.page.evaluate(() => (Math.random = () => 1e5)); // else the page's own pause ends
  const bare = await pages[0].page.evaluateHandle(() => new EventSource("/push/topics/wall"));
  for (const p of pages) await p.page.setOfflineMode(true);
  stage.proxy.cut();
  for (const p of pages) await p.state("offline");
  if (stage.browserName === "firefox") { // the trap is there
    await pages[0].page.waitForFunction((es) => es.readyState === EventSource.CLOSED, { polling: 50 }, bare);
  }
  await postAll(stage, texts("meanwhile", 10));
  stage.proxy.pass();
  for (const p of pages) await p.page.setOfflineMode(false);
  for (const p of pages) await p.live();
  await stage.wall.post("after");
  for (const p of pages) await p.shows(["before", ...texts("meanwhile", 10), "after"]);
});

scene("who was away for longer than the wall keeps posts is told so", async (stage) => {
  const pages = await stage.visitAll({ url: stage.proxy.url });
  await stage.wall.post("before");
  for (const p of pages) await p.shows(["before"]);
  stage.proxy.cut();
  for (const p of pages) await p.notLive();
  const posts = texts("meanwhile", 230);
  await postAll(stage, posts);
  stage.proxy.pass();
  for (const p of pages) await p.shows(["before", { gap: "trimmed" }, ...posts.slice(-200)]);
});

scene("switching in the middle of a stream of posts loses and doubles nothing", async (stage) => {
  const page = await stage.visit("sse");
  for (let round = 1; round <= 9; round++) {
    const posts = texts(`round ${round}, post`, 20);
    const stream = postAll(stage, posts);
    await page.use(TRANSPORTS[round % 3]);
    await stream;
    await page.newest(posts.at(-1)); // so that each transport delivers something
  }
  await page.shows(await stage.wall.history());
});
