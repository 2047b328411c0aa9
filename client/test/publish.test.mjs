import assert from "node:assert/strict";
import { test } from "node:test";
import { PushError } from "../dist/client.js";
import { staged, until } from "./stage.mjs";

for (const transport of ["websocket", "sse", "long-poll"]) {
  const only = { transports: [transport], topics: ["t/other"] };

  test(`publishing over ${transport} is answered with the id, in order`, () => staged(async ({ server, proxy, read }) => {
    const { push } = read(only);
    const ids = await Promise.all(Array.from({ length: 30 }, (_, i) => push.publish("t/ü b", "n", i)));
    assert.equal(new Set(ids.map((r) => r.id)).size, 30);
    assert.deepEqual(await server.history("t/%C3%BC%20b"), Array.from({ length: 30 }, (_, i) => i));
    if (transport === "websocket") assert.equal(proxy.asked.post, undefined, "by frames");
  }));

  test(`an event whose answer was lost over ${transport} is published once`, () => staged(async ({ server, proxy, read }) => {
    const r = read(only);
    await r.live();
    for (let i = 1; i <= 3; i++) {
      proxy.loseAnswers("posts");
      if (transport === "websocket") proxy.loseAnswers();
      const done = r.push.publish("t/a", "n", i);
      await until("the server has it", async () => (await server.history("t/a")).includes(i));
      await new Promise((go) => setTimeout(go, 50));
      proxy.pass();
      await done;
    }
    assert.deepEqual(await server.history("t/a"), [1, 2, 3]);
  }));

  test(`a name and a key in any script are published over ${transport}`, () => staged(async ({ read }) => {
    const { push } = read({ ...only, topics: ["t/a"] });
    const got = [];
    push.onmessage = (e) => got.push([e.detail.event, e.data]);
    await until("it is open", () => push.readyState === 1);
    await push.publish("t/a", "événement 日本 🎈", 1, { key: "ключ" });
    await until("it has come", () => got.length);
    assert.deepEqual(got, [["événement 日本 🎈", 1]]);
  }));

  test(`what the server refuses over ${transport} is rejected with its reason, and the next one goes on`, () => staged(async ({ server, read }) => {
    const { push } = read(only);
    const is = (status, text) => (e) => e instanceof PushError && e.status === status && text.test(e.message);
    await assert.rejects(push.publish("t/refused", "n", 1), is(422, /not this one/));
    await assert.rejects(push.publish("secret", "n", 1), is(403, /not granted/));
    const big = await push.publish("t/a", "n", "x".repeat(100_000)).then(() => 0, (e) => e.status);
    assert.ok([413, 1009].includes(big), `too big: ${big}`);
    await push.publish("t/a", "n", 7);
    assert.deepEqual(await server.history("t/a"), [7]);
  }));
}

test("offline, events wait in order, and only so many", () => staged(async ({ server, proxy, read }) => {
  const r = read({ topics: ["t/other"] });
  await r.live();
  proxy.cut();
  await until("it is offline", () => r.push.readyState === 0);
  const all = Array.from({ length: 1000 }, (_, i) => r.push.publish("t/a", "n", i));
  await assert.rejects(r.push.publish("t/a", "n", -1), /too many wait/);
  r.push.close();
  const results = await Promise.allSettled(all);
  assert.ok(results.every((x) => x.status === "rejected" && /closed/.test(x.reason.message)));
  proxy.pass();
  assert.deepEqual(await server.history("t/a"), []);
}));

test("what was written offline is published when the network is back", () => staged(async ({ server, proxy, read }) => {
  const r = read({ topics: ["t/other"] });
  await r.live();
  proxy.cut();
  await until("it is offline", () => r.push.readyState === 0);
  const all = [1, 2, 3].map((i) => r.push.publish("t/a", "n", i));
  proxy.pass();
  await Promise.all(all);
  assert.deepEqual(await server.history("t/a"), [1, 2, 3]);
}));

test("what nobody answered for five minutes is rejected, and not sent again", (t) => staged(async ({ server, proxy, read }) => {
  const { now } = Date;
  t.after(() => (Date.now = now));
  const r = read({ transports: ["sse"], topics: ["t/other"] });
  await r.live();
  proxy.loseAnswers("posts");
  const done = r.push.publish("t/a", "n", 1);
  await until("the server has it", async () => (await server.history("t/a")).length === 1);
  Date.now = () => now() + 300_000;
  await assert.rejects(done, /no answer/);
}));

// Where a ticket is good for reading the topics that it names, the token has to
// come before anything else.
for (const [auth, transport] of [["resource", "websocket"], ["own", "sse"]]) {
  test(`signed in, for an Auth that is ${auth}: what was asked for while it connected is granted`, () => staged(async ({ server, read }) => {
    const token = async () => {
      await new Promise((go) => setTimeout(go, 30));
      return "ann";
    };
    const r = read({ token }, server.url);
    await until("it has begun", () => r.push.readyState === 0);
    r.push.onopen = () => r.push.subscribe("t/c");
    r.push.subscribe("t/b");
    const done = r.push.publish("t/a", "n", 1);
    await r.live(transport);
    await done;
    await server.burst("t/b", 2, 1);
    await until("both", () => r.got.length === 2);
    assert.deepEqual(r.errors, []);
    assert.equal(r.push.transport, transport);
  }, "-signed-in", auth));
}
