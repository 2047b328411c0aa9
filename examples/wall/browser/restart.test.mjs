import assert from "node:assert/strict";
import { scene } from "./stage.mjs";

const EPOCH = { gap: "epoch" };

scene("pages go on when the server is killed and started again, and say that its log is another", async (stage) => {
  const pages = await stage.visitAll();
  await stage.wall.post("before");
  for (const p of pages) await p.shows(["before"]);
  await stage.wall.kill();
  for (const p of pages) await p.notLive();
  await stage.wall.start();
  await stage.wall.post("made before anybody is back");
  for (const p of pages) await p.live();
  for (const p of pages) await p.post(`after, from ${p.transport}`);
  const all = ["before", EPOCH, ...(await stage.wall.history())];
  assert.equal(all.length, 6);
  for (const p of pages) await p.shows(all);
});

scene("a drained server ends within seconds, and pages go on with the next one", async (stage) => {
  const pages = await stage.visitAll();
  for (const p of pages) await p.post(`from ${p.transport}`);
  const before = await stage.wall.history();
  for (const p of pages) await p.shows(before);
  const start = Date.now();
  assert.equal(await stage.wall.drain(), 0);
  assert.ok(Date.now() - start < 6000, "drained in time");
  for (const p of pages) await p.notLive();
  await stage.wall.start();
  for (const p of pages) await p.live();
  await stage.wall.post("after");
  for (const p of pages) await p.shows([...before, EPOCH, "after"]);
});

for (const transport of ["websocket", "sse"]) {
  scene(`a post over ${transport} whose answer is lost is sent again by itself, and comes once`, async (stage) => {
    const page = await stage.visit(transport, { url: stage.proxy.url });
    stage.proxy.loseAnswers();
    await page.write("once");
    await page.until("told why it takes so long", () => document.querySelector("#problem").textContent.includes("No answer yet"));
    assert.deepEqual(await stage.wall.history(), ["once"]);
    stage.proxy.pass();
    await page.posted();
    await page.live();
    await stage.wall.post("the end");
    await page.shows(["once", "the end"]);
  });
}
