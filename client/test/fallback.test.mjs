import assert from "node:assert/strict";
import { test } from "node:test";
import { staged, until } from "./stage.mjs";

// first returns what the reader is on once it has had an event, and after how
// many milliseconds.
async function first({ server, read }, options) {
  await server.burst("t/a", 1, 1);
  const r = read({ after: "0", ...options });
  await r.shows(1);
  return { r, transport: r.push.transport, ms: Date.now() - r.begun };
}

test("an upgrade that is swallowed: the first event within 2 s, over SSE", () => staged(async (stage) => {
  stage.proxy.fault("websocket", "swallow");
  const { transport, ms } = await first(stage);
  assert.equal(transport, "sse");
  assert.ok(ms <= 2000, `${ms} ms`);
  console.log(`websocket swallowed: first event over ${transport} after ${ms} ms`);
}));

test("a WebSocket that opens and dies: live within 2 s, over SSE", () => staged(async (stage) => {
  stage.proxy.fault("websocket", "die");
  const { r } = await first(stage);
  await until("the first one has died", () => r.push.readyState === 0);
  const died = Date.now();
  await r.live("sse");
  assert.ok(Date.now() - died <= 2000, `${Date.now() - died} ms`);
  console.log(`websocket opens and dies: live over sse ${Date.now() - died} ms later`);
  await stage.server.burst("t/a", 2, 1);
  await r.shows(2);
}));

test("a WebSocket that is cut before its hello: the first event within 2 s, over SSE", () => staged(async (stage) => {
  stage.proxy.fault("websocket", "refuse");
  const { transport, ms } = await first(stage);
  assert.equal(transport, "sse");
  assert.ok(ms <= 700, `${ms} ms: the failure was known, so there was nothing to wait for`);
}));

test("SSE is buffered, too: the first event within 4 s, by long polling", () => staged(async (stage) => {
  stage.proxy.fault("websocket", "swallow");
  stage.proxy.fault("sse", "buffer");
  const { r, transport, ms } = await first(stage);
  assert.equal(transport, "long-poll");
  assert.ok(ms <= 4000, `${ms} ms`);
  console.log(`websocket swallowed, sse buffered: first event over ${transport} after ${ms} ms`);
  await stage.server.burst("t/a", 2, 10);
  await r.shows(11);
}));

test("requests that wait are cut: plain polling takes over", () => staged(async (stage) => {
  for (const kind of ["websocket", "sse", "long-poll"]) stage.proxy.fault(kind, "refuse");
  const { r } = await first(stage);
  await r.live("poll");
  await stage.server.burst("t/a", 2, 10);
  await r.shows(11);
}));

test("every byte by itself makes no difference", () => staged(async (stage) => {
  for (const transport of ["websocket", "sse", "long-poll"]) {
    for (const kind of ["websocket", "sse", "page", "long-poll"]) stage.proxy.fault(kind, "drip");
    const r = stage.read({ transports: [transport], topics: ["t/" + transport] });
    await r.live();
    await stage.server.burst("t/" + transport, 1, 20);
    await r.shows(20);
    assert.equal(r.opens.length, 1);
    r.push.close();
  }
}));

test("a better transport is taken again when it works, and nothing is lost", (t) => staged(async (stage) => {
  const { random } = Math;
  Math.random = () => 0;
  t.after(() => (Math.random = random));
  stage.proxy.fault("websocket", "refuse");
  const { r, transport } = await first(stage);
  assert.equal(transport, "sse");
  stage.proxy.fault("websocket", undefined);
  let n = 1;
  while (r.push.transport !== "websocket") {
    await stage.server.burst("t/a", ++n, 1);
    await new Promise((go) => setTimeout(go, 20));
  }
  await stage.server.burst("t/a", ++n, 1);
  await r.shows(n);
  assert.deepEqual(r.opens.map((o) => o.transport), ["sse", "websocket"]);
}));

test("a network that swallows everything is noticed by its silence", () => staged(async ({ server, proxy, read }) => {
  for (const transport of ["websocket", "sse"]) {
    const r = read({ transports: [transport], topics: ["t/" + transport] });
    await r.live();
    proxy.stall();
    await server.burst("t/" + transport, 1, 5);
    await until("it is noticed", () => r.push.readyState === 0);
    assert.match(r.errors[0].message, /silent/);
    proxy.pass();
    await r.shows(5);
    r.push.close();
  }
}, "-heartbeat", "1s"));

test("a restarted server is another log: a gap says so, and the client goes on", () => staged(async ({ server, read }) => {
  for (const transport of ["websocket", "sse", "long-poll"]) {
    const topic = "t/" + transport;
    const r = read({ transports: [transport], topics: [topic] });
    await r.live();
    await server.burst(topic, 1, 3);
    await r.shows(3);
    await server.kill();
    await until("it is lost", () => r.push.readyState === 0);
    await server.run(server.addr);
    await r.live();
    await server.burst(topic, 4, 2);
    await r.shows(5);
    assert.deepEqual(r.gaps.map((g) => [g.reason, g.after]), [["epoch", 3]]);
    r.push.close();
  }
}));
