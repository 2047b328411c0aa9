import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { connect, PushError } from "../dist/client.js";
import { staged, TRANSPORTS, until } from "./stage.mjs";

for (const transport of TRANSPORTS) {
  const only = { transports: [transport] };

  test(`events come once and in order over ${transport}, from the next one on`, () => staged(async ({ server, read }) => {
    await server.burst("t/a", -5, 3); // before
    const r = read(only);
    await r.live(transport);
    await server.burst("t/a", 1, 2500);
    await r.shows(2500);
    assert.equal(r.got[0].topic, "t/a");
    assert.equal(r.got.at(-1).id, r.push.cursor);
    assert.deepEqual([r.gaps, r.errors], [[], []]);
  }));

  test(`a cursor is gone on from over ${transport}`, () => staged(async ({ server, read }) => {
    await server.burst("t/a", 1, 10);
    const r = read({ ...only, after: "0" });
    await r.shows(10);
    r.push.close();
    await server.burst("t/a", 11, 5);
    const again = read({ ...only, after: r.got[6].id });
    await until("the rest", () => again.got.length === 8);
    assert.deepEqual(again.numbers, [8, 9, 10, 11, 12, 13, 14, 15]);
    assert.equal(again.push.recovered, true);
  }));

  test(`a hole is told with its edges over ${transport}`, () => staged(async ({ server, read }) => {
    await server.burst("t/a", 1, 3);
    const r = read({ ...only, after: "0" });
    await r.shows(3);
    r.push.close();
    await server.burst("t/a", 4, 30); // the topic keeps 10
    const late = read({ ...only, after: r.push.cursor });
    await until("the newest", () => late.numbers.at(-1) === 33);
    assert.equal(late.numbers[0], 33 - late.got.length + 1);
    assert.equal(late.gaps.length, 1);
    assert.equal(late.gaps[0].reason, "trimmed");
    assert.equal(late.gaps[0].from, r.push.cursor);
    assert.equal(late.gaps[0].after, 0, "before the first event after it");
    assert.equal(late.push.recovered, false);
  }, "-count", "10"));

  test(`topics are added and removed on the way over ${transport}`, () => staged(async ({ server, read }) => {
    const r = read(only);
    await r.live(transport);
    const off = r.push.subscribe(["t/b", "t/c/*"]);
    await until("it reads them", () => has(r, ["t/a", "t/b", "t/c/*"]));
    await server.burst("t/b", 1, 1);
    await server.burst("t/c/d", 2, 1);
    await server.burst("t/a", 3, 1);
    await r.shows(3);
    off();
    off(); // undoes one subscribe, once
    await until("it does not read them", () => has(r, ["t/a"]));
    await server.burst("t/b", 9, 1);
    await server.burst("t/a", 4, 1);
    await r.shows(4);
  }));

  test(`a topic that is refused is told, and the others go on, over ${transport}`, () => staged(async ({ server, read }) => {
    const r = read(only);
    await r.live(transport);
    r.push.subscribe(["secret", "t/b"]);
    await until("the refusal", () => r.errors.some((e) => e.topic));
    assert.deepEqual([r.errors[0].topic, r.errors[0].status], ["secret", 403]);
    await until("it reads the other", () => has(r, ["t/a", "t/b"]));
    await server.burst("t/a", 1, 1);
    await server.burst("t/b", 2, 1);
    await r.shows(2);
    assert.equal(r.errors.length, 1);
  }));
}

// has looks at what the connection reads; its name in the built file is mangled.
function has({ push }, topics) {
  const line = Object.values(push).find((v) => v && typeof v === "object" && Object.values(v).some((x) => x instanceof AbortSignal));
  const read = line && Object.values(line).find((v) => Array.isArray(v));
  return read && read.length === topics.length && topics.every((t) => read.includes(t));
}

test("without topics nothing is connected until the first subscribe", () => staged(async ({ server, proxy, read }) => {
  const r = read({ topics: [] });
  assert.equal(r.push.readyState, 0);
  assert.deepEqual((await r.push.publish("t/a", "n", 0)).id.length > 0, true);
  assert.equal(proxy.asked.websocket, undefined);
  const off = r.push.subscribe("t/a");
  await r.live("websocket");
  await server.burst("t/a", 1, 2);
  await r.shows(2);
  off();
  await until("it is idle", () => r.push.readyState === 0);
}));

test("binary data comes as bytes, text as a string", () => staged(async ({ read }) => {
  const r = read();
  const got = [];
  r.push.onmessage = (e) => got.push(e.data);
  await r.live();
  await r.push.publish("t/a", "bytes", new Uint8Array([0, 255, 128]));
  await r.push.publish("t/a", "", { a: ["ü", 1.5, null] });
  await until("both", () => got.length === 2);
  assert.deepEqual(got, [new Uint8Array([0, 255, 128]), { a: ["ü", 1.5, null] }]);
}));

test("for await reads everything and ends with close", () => staged(async ({ server, read }) => {
  const r = read();
  const all = [];
  const reading = (async () => {
    for await (const m of r.push) if (all.push(m.data) === 500) r.push.close();
  })();
  await r.live();
  await server.burst("t/a", 1, 500);
  await reading;
  assert.deepEqual(all, Array.from({ length: 500 }, (_, i) => i + 1));
  assert.equal(r.push.readyState, 2);
  assert.equal(r.closed.data, null);
}));

test("a for await that is too slow is told so, once, and one that is left holds nothing", () => staged(async ({ server, read }) => {
  const r = read();
  for (let i = 0; i < 20; i++) {
    const reading = r.push[Symbol.asyncIterator]();
    const next = reading.next();
    await r.live();
    await server.burst("t/a", i, 1);
    assert.equal((await next).value.data, i);
    await reading.return();
  }
  assert.equal(getEventListeners(r.push, "message").length, 1);
  assert.equal(getEventListeners(r.push, "close").length, 1);
  const slow = r.push[Symbol.asyncIterator]();
  const first = slow.next();
  await server.burst("t/a", 100, 10_100);
  await first;
  await until("all came", () => r.got.length === 20 + 10_100);
  await assert.rejects(slow.next(), /too slow/);
  assert.equal((await slow.next()).done, true);
}));

test("a listener that throws stops nothing", (t) => staged(async ({ server, read }) => {
  const r = read();
  const thrown = [];
  const mine = (e) => thrown.push(e.message);
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", mine);
  t.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const l of others) process.on("uncaughtException", l);
  });
  r.push.onmessage = () => {
    throw new Error("of the page");
  };
  await r.live();
  await server.burst("t/a", 1, 3);
  await r.shows(3);
  await until("they are reported", () => thrown.length === 3);
  assert.deepEqual([r.opens.length, r.errors], [1, []]);
}));

test("wrong arguments throw at once and say what to do", () => {
  const wrong = (fix, ...args) => assert.throws(() => connect(...args).close(), (e) => e instanceof TypeError && fix.test(e.message));
  wrong(/an https: URL/, "/push"); // outside a page
  wrong(/an https: URL/, "ftp://a/push");
  wrong(/function/, "http://127.0.0.1:1/push", { token: "secret" });
  wrong(/choose from websocket/, "http://127.0.0.1:1/push", { transports: ["carrier pigeon"] });
  wrong(/choose from websocket/, "http://127.0.0.1:1/push", { transports: [] });
  wrong(/a topic is like/, "http://127.0.0.1:1/push", { topics: ["/a"] });
  wrong(/a topic is like/, "http://127.0.0.1:1/push", { topics: 7 });
  wrong(/a topic is like/, "http://127.0.0.1:1/push", { topics: ["a", ""] });
  wrong(/an https: URL/, "http://127.0.0.1:1/push?tenant=7");
  const push = connect("http://127.0.0.1:1/push");
  assert.throws(() => push.on("a"), /function/);
  assert.throws(() => push.subscribe("a//b"), /a topic is like/);
  assert.throws(() => push.publish("a", "b", () => {}), /JSON or a Uint8Array/);
  assert.throws(() => push.publish("a", { no: 1 }), /give a name/);
  assert.throws(() => push.publish("a", "b", { a: 1 }, { type: "application/json" }), /JSON or a Uint8Array/);
  for (const topic of ["../admin", "a/../../b", "a/.", "..", ".", "a/", "\ud800"]) assert.throws(() => push.publish(topic, "b"), /a topic is like/, topic);
  for (const bad of ["b\r\nc", "b\0"]) {
    assert.throws(() => push.publish("a", bad), /give a name/);
    assert.throws(() => push.publish("a", "b", 1, { key: bad }), /give a name/);
  }
  push.close();
  push.close();
  return assert.rejects(push.publish("a", "b"), (e) => e instanceof PushError && /closed/.test(e.message));
});
