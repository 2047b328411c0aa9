import assert from "node:assert/strict";
import { scene } from "./stage.mjs";



// liveOver waits until the page says over what it is live.
const liveOver = (page, transport) => page.until(`live over ${transport}`, (t) => document.querySelector("#state").dataset.transport === t, transport);

scene("the page takes the best transport by itself, and shows each change", async (stage) => {
  const page = await stage.visit("auto", { url: stage.proxy.url });
  await liveOver(page, "websocket");
  await stage.wall.post("one");
  await page.shows(["one"]);
  stage.proxy.fault("websocket", "swallow");
  stage.proxy.reset();
  await liveOver(page, "sse");
  await stage.wall.post("two");
  await page.shows(["one", "two"]);
  stage.proxy.fault("sse", "refuse");
  stage.proxy.reset();
  await liveOver(page, "long-poll");
  await page.post("three");
  await page.shows(["one", "two", "three"]);
  stage.proxy.pass();
  await liveOver(page, "websocket"); // or SSE before it
  await stage.wall.post("four");
  await page.shows(["one", "two", "three", "four"]);
  const trail = await page.page.$$eval("#trail li", (items) => items.map((li) => li.textContent.replace(/^.*(Live|Rec|Off)/, "$1")));
  assert.equal(trail[0], "Live over WebSocket");
  assert.ok(trail.includes("Live over long polling"), trail.join());
});

scene("an upgrade that is swallowed: the first post within 2 s, over SSE", async (stage) => {
  await stage.wall.post("one");
  stage.proxy.fault("websocket", "swallow");
  const page = await stage.visit("auto", { url: stage.proxy.url });
  await liveOver(page, "sse");
  const ms = await page.page.evaluate(() => performance.now());
  await page.shows(["one"]);
  console.log(`${stage.browserName}: websocket swallowed: live over sse at most ${Math.round(ms)} ms after the page began`);
  assert.ok(ms < 4000, `${ms} ms`); // with the page itself; the client alone is timed in its own tests
});
