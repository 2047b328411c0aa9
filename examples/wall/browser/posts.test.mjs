import assert from "node:assert/strict";
import { TRANSPORTS, scene } from "./stage.mjs";

scene("three pages on three transports see every post once and in order", async (stage) => {
  const pages = await stage.visitAll();
  for (let round = 0; round < 4; round++) {
    await Promise.all(pages.map((p) => p.post(`${p.transport} ${round}`)));
  }
  await pages[0].post("the end");
  const all = await stage.wall.history();
  assert.equal(new Set(all).size, 13);
  for (const p of pages) await p.shows(all);
});

// holdHistory has the page read the history and then wait for goOn.
function holdHistory() {
  const read = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await read(url, options);
    if (String(url).includes("/topics/wall?")) await new Promise((goOn) => (window.goOn = goOn));
    return answer;
  };
}

scene("a post made between the history and the live stream is not lost", async (stage) => {
  for (const transport of TRANSPORTS) {
    await stage.wall.post(`before ${transport}`);
    const visitor = await stage.visit(transport, { prepare: holdHistory, opened: async (v) => {
      await v.until("the history is read", () => window.goOn);
      await stage.wall.post(`between, ${transport}`);
      await v.page.evaluate(() => window.goOn());
    } });
    await stage.wall.post(`after ${transport}`);
    await visitor.shows(await stage.wall.history());
  }
});

scene("each page counts the others by transport", async (stage) => {
  const [sse, ws, poll] = await stage.visitAll();
  await sse.counts({ sse: "you + 0", ws: "1 other", poll: "1 other" });
  await ws.counts({ sse: "1 other", ws: "you + 0", poll: "1 other" });
  await poll.counts({ sse: "1 other", ws: "1 other", poll: "you + 0" });
  await ws.use("long-poll");
  await sse.counts({ sse: "you + 0", ws: "0 others", poll: "2 others" });
  await poll.counts({ sse: "1 other", ws: "0 others", poll: "you + 1" });
  await poll.page.close();
  await ws.counts({ sse: "1 other", ws: "0 others", poll: "you + 0" });
});

scene("a post that breaks a rule is refused with the server's reason", async (stage) => {
  const page = await stage.visit("sse");
  const refused = async (text, reason) => {
    await page.write(text);
    await page.until(reason, (r) => document.querySelector("#problem").textContent.includes(r), reason);
    assert.equal(await page.page.$eval("#problem", (p) => p.hidden), false);
    assert.equal(await page.page.$eval("#text", (t) => t.value), text, "the text stays, to be mended");
  };
  await refused("  \n ", "a post needs some text");
  await refused("x".repeat(281), "at most 280 characters, and this one has 281");
  const longest = "🎈".repeat(280); // 280 code points, 1120 bytes
  await page.post(`  ${longest}\n`);
  await page.shows([longest]);
  assert.equal(await page.page.$eval("#problem", (p) => p.hidden), true);
});

scene("markup in a post is shown as text", async (stage) => {
  const pages = await stage.visitAll();
  const evil = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>&lt;b&gt; "'\u2028\\`;
  await pages[0].post(evil);
  await pages[1].post("the end");
  for (const p of pages) {
    await p.shows([evil, "the end"]);
    assert.equal(await p.page.evaluate(() => window.hacked), undefined);
    assert.equal(await p.page.$$eval("#posts img, #posts script", (found) => found.length), 0);
  }
});

scene("Enter posts, Shift and Enter starts a new line", async (stage) => {
  const visitor = await stage.visit("websocket");
  const { keyboard } = visitor.page;
  await visitor.page.focus("#text");
  await keyboard.type("one");
  await keyboard.down("Shift");
  await keyboard.press("Enter");
  await keyboard.up("Shift");
  await keyboard.type("two");
  await keyboard.press("Enter");
  await visitor.shows(["one\ntwo"]);
});
