import assert from "node:assert/strict";
import { scene } from "./stage.mjs";

scene("the page fits a small phone, whatever is posted", async (stage) => {
  const visitor = await stage.visit("sse");
  await visitor.page.setViewport({ width: 320, height: 640 });
  await visitor.post("w".repeat(280));
  await visitor.shows(["w".repeat(280)]);
  const [content, width] = await visitor.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= width, `the page is ${content} wide in ${width}`);
});

scene("everything can be done with the keyboard", async (stage) => {
  const visitor = await stage.visit("sse");
  const { keyboard } = visitor.page;
  const focused = () => visitor.page.evaluate(() => document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText);
  await keyboard.press("Tab");
  assert.equal(await focused(), "Your post");
  await keyboard.type("from the keyboard");
  await keyboard.press("Tab");
  assert.equal(await focused(), "Post");
  await keyboard.press(" ");
  await visitor.shows(["from the keyboard"]);
  await visitor.page.focus("#transports [value=sse]");
  await keyboard.press("ArrowUp");
  visitor.transport = "websocket";
  await visitor.counts({ sse: "0 others", ws: "you + 0" });
  await visitor.live();
});
