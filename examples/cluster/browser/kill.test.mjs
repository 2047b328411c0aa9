import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { BROWSERS, browser } from "../../wall/browser/browsers.mjs";
import { Cluster, Guest } from "./cluster.mjs";

const SHOTS = process.env.SHOTS; // a directory for pictures

async function shoot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
}

async function visitAll(context, url) {
  const guests = [];
  for (const transport of ["websocket", "sse", "long-poll"]) {
    const guest = new Guest(await context.newPage(), transport);
    guests.push(guest);
    await guest.page.goto(`${url}/?transport=${transport}`);
    await guest.live();
  }
  return guests;
}

// scene is a test in both browsers at the same time, each with a cluster of its
// own and a page on each transport.
function scene(title, play) {
  test(title, { concurrency: true, timeout: 90_000 }, (t) => Promise.all(BROWSERS.map((name) =>
    t.test(name, async () => {
      const cluster = await Cluster.start();
      const context = await (await browser(name)).createBrowserContext();
      let guests = [];
      try {
        guests = await visitAll(context, cluster.url);
        await play(guests, name);
      } finally {
        await context.close();
        assert.equal(await cluster.stop(), "");
      }
      assert.deepEqual(guests.flatMap((g) => g.faults), []);
    }))));
}

scene("a node is killed and another restarted by their buttons while events flow: 0 lost, 0 doubled", async (guests, name) => {
  const [first] = guests;
  for (const g of guests) await g.more(20);

  const killed = await first.onNode();
  await shoot(first.page, `${name}-before`);
  await first.press(killed, "kill");
  await first.nodeIs(killed, "down");
  await first.onNode(killed);
  await first.post("written after a node was killed");
  await shoot(first.page, `${name}-killed`);
  for (const g of guests) await g.more(20);
  await first.press(killed, "start");
  await first.nodeIs(killed, "up");

  const { connections } = await first.counters();
  const restarted = await first.onNode();
  await first.press(restarted, "restart");
  await first.reconnected(connections);
  await first.nodeIs(restarted, "up");
  for (const g of guests) await g.more(20);
  await first.post("the end");
  for (const g of guests) {
    await g.shows(["written after a node was killed", "the end"]);
    const { events, lost, doubled, gaps, connections } = await g.counters();
    assert.deepEqual({ lost, doubled, gaps }, { lost: 0, doubled: 0, gaps: 0 }, `on ${g.transport}`);
    console.log(`${name}, ${g.transport}: ${events} events over ${connections} connections, 0 lost, 0 doubled`);
  }
  await shoot(first.page, `${name}-end`);
  await first.page.setViewport({ width: 320, height: 640 });
  const [content, width] = await first.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= width, `the page is ${content} wide in ${width}`);
  await shoot(first.page, `${name}-phone`);
});
