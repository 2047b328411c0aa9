import assert from "node:assert/strict";
import { TRANSPORTS, scene } from "./stage.mjs";

const limitHidden = () => document.querySelector("#limit").hidden;

scene("six tabs work when at most four of them are on EventSource", async (stage) => {
  const tabs = [];
  for (const t of ["sse", "sse", "sse", "sse", "websocket", "long-poll"]) tabs.push(await stage.visit(t));
  for (const [i, tab] of tabs.entries()) await tab.post(`from tab ${i}`);
  for (const tab of tabs) {
    await tab.shows([0, 1, 2, 3, 4, 5].map((i) => `from tab ${i}`));
    assert.ok(await tab.page.evaluate(limitHidden));
  }
});

scene("a tab whose EventSource finds no connection names the limit of HTTP/1.1", async (stage) => {
  const tabs = [];
  for (let i = 0; i < 7; i++) tabs.push(await stage.visit("websocket"));
  for (const tab of tabs.slice(0, 6)) {
    await tab.use("sse");
    await tab.live();
  }
  const last = tabs[6];
  await last.use("sse");
  await last.until("the limit is named", () => !document.querySelector("#limit").hidden);
  assert.match(await last.page.$eval("#limit", (p) => p.textContent), /six connections/);
  await tabs[0].use("websocket"); // as the page says
  for (const tab of tabs) await tab.live();
  await last.until("the limit is forgotten", limitHidden);
  await stage.wall.post("to all");
  for (const tab of tabs) await tab.shows(["to all"]);
});

scene("the transport that was chosen survives a reload", async (stage) => {
  const page = await stage.visit("sse");
  for (const t of TRANSPORTS) {
    await page.use(t);
    await page.live();
    await page.page.reload();
    await page.live();
    assert.equal(await page.page.$eval("#transports", (f) => f.elements.transport.value), t);
  }
});
