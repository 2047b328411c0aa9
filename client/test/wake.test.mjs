import assert from "node:assert/strict";
import { test } from "node:test";
import { staged, until } from "./stage.mjs";

// Node has no page, so this one is made: what wakes a client are its events.
const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
const wake = (type) => page.dispatchEvent(new Event(type));
globalThis.document = { hidden: false };

// sleeps has the clock jump, as a machine's does that was asleep: its timers stood still.
function sleeps(t, ms) {
  const { now } = Date;
  Date.now = () => now() + ms;
  t.after(() => (Date.now = now));
}

for (const type of ["visibilitychange", "pageshow", "online"]) {
  test(`after 10 minutes asleep it is live again within 1 s of ${type}, and nothing is lost`, (t) => staged(async ({ server, proxy, read }) => {
    for (const transport of ["websocket", "sse", "long-poll"]) {
      const r = read({ transports: [transport], topics: ["t/" + transport] });
      await r.live();
      proxy.stall(); // the connection is dead, and nobody was told
      await server.burst("t/" + transport, 1, 50);
      sleeps(t, 600_000);
      proxy.pass();
      const woke = performance.now();
      wake(type);
      await until("it has all", () => r.got.length === 50);
      const took = performance.now() - woke;
      assert.ok(took <= 1000, `${took} ms`);
      console.log(`${transport}: live ${Math.round(took)} ms after ${type}`);
      await r.shows(50);
      r.push.close();
    }
  }));
}

test("a page that comes to the front leaves a connection alone that is alive", () => staged(async ({ read }) => {
  const r = read();
  await r.live();
  wake("visibilitychange");
  wake("pageshow");
  await r.push.publish("t/a", "n", 1);
  await r.shows(1);
  assert.equal(r.opens.length, 1);
}));

test("a hidden page goes on reading, and its waking is no reason to connect", () => staged(async ({ server, read }) => {
  const r = read();
  await r.live();
  document.hidden = true;
  wake("visibilitychange");
  await server.burst("t/a", 1, 3);
  await r.shows(3);
  document.hidden = false;
  assert.equal(r.opens.length, 1);
}));

test("another network begins with the best transport again", () => staged(async ({ server, proxy, read }) => {
  proxy.fault("websocket", "refuse");
  const r = read();
  await r.live("sse");
  proxy.pass();
  wake("online");
  await r.live("websocket");
  await server.burst("t/a", 1, 3);
  await r.shows(3);
}));
