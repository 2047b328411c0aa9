import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { EventSource } from "../dist/eventsource.js";
import { STREAMS } from "./streams.mjs";
import { until } from "./stage.mjs";

async function against(answer, play) {
  const asked = [];
  const server = createServer((req, res) => {
    asked.push(req);
    res.on("error", () => {});
    answer(req, res, asked.length);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}/`;
  const sources = [];
  const open = (options) => {
    const source = new EventSource(url, options);
    sources.push(source);
    return source;
  };
  try {
    await play({ open, asked, url });
  } finally {
    for (const s of sources) s.close();
    server.closeAllConnections();
    server.close();
  }
}

const stream = (res) => res.writeHead(200, { "Content-Type": "text/event-stream" });

for (const [name, { bytes, events }] of Object.entries(STREAMS)) {
  for (const size of [1, 2, 3, 7, 10_000]) {
    test(`${name}, in pieces of ${size}`, () => against(async (_, res, n) => {
      if (n > 1) return res.writeHead(204).end();
      stream(res);
      const all = Buffer.from(bytes);
      for (let i = 0; i < all.length; i += size) {
        res.write(all.subarray(i, i + size));
        await new Promise(setImmediate);
      }
      res.end();
    }, async ({ open, url }) => {
      const got = [];
      const source = open();
      const heard = (e) => {
        assert.equal(e.origin, url.slice(0, -1));
        got.push([e.type, e.data, e.lastEventId]);
      };
      for (const type of ["message", "a", "ä b", "open ", "x"]) source.addEventListener(type, heard);
      await until("the stream has ended", () => source.readyState !== 1 && got.length >= events.length);
      assert.deepEqual(got, events);
    }));
  }
}

test("it reconnects after the reconnection time, with Last-Event-ID as UTF-8", () => against((_, res, n) => {
  stream(res).end(n === 1 ? "retry: 150\nid: ü1\ndata: a\n\n" : "data: b\n\n");
}, async ({ open, asked }) => {
  const source = open();
  const states = [];
  source.onopen = () => states.push(`open ${source.readyState}`);
  source.onerror = () => states.push(`error ${source.readyState}`);
  source.onmessage = (e) => states.push(`${e.data} ${e.lastEventId}`);
  const begun = Date.now();
  await until("it is back", () => states.length >= 6);
  assert.deepEqual(states.slice(0, 6), ["open 1", "a ü1", "error 0", "open 1", "b ü1", "error 0"]);
  assert.ok(Date.now() - begun >= 149);
  assert.equal(Buffer.from(asked[1].headers["last-event-id"], "latin1").toString(), "ü1");
  assert.equal(asked[0].headers["last-event-id"], undefined);
  assert.equal(asked[0].headers.accept, "text/event-stream");
}));

for (const [what, answer] of Object.entries({
  "204": (res) => res.writeHead(204).end(),
  "404": (res) => res.writeHead(404, { "Content-Type": "text/event-stream" }).end("data: x\n\n"),
  "503": (res) => res.writeHead(503).end(),
  "text/plain": (res) => res.writeHead(200, { "Content-Type": "text/plain" }).end("data: x\n\n"),
  "text/event-streams": (res) => res.writeHead(200, { "Content-Type": "text/event-streams" }).end("data: x\n\n"),
  "no type": (res) => res.writeHead(200).end("data: x\n\n"),
})) {
  test(`${what} fails the connection for good, with one error`, () => against((_, res) => answer(res), async ({ open, asked }) => {
    const source = open();
    let errors = 0;
    source.onerror = () => errors++;
    source.onmessage = () => assert.fail("an event");
    await until("it is closed", () => source.readyState === EventSource.CLOSED);
    await new Promise((go) => setTimeout(go, 50));
    assert.deepEqual([errors, asked.length], [1, 1]);
  }));
}

for (const type of ["text/event-stream;charset=utf-8", "TEXT/EVENT-STREAM", "text/event-stream ; x=y"]) {
  test(`${type} is an event stream`, () => against((_, res) => res.writeHead(200, { "Content-Type": type }).write("data: x\n\n"), async ({ open }) => {
    const source = open();
    const [e] = await once(source, "message");
    assert.equal(e.data, "x");
  }));
}

test("headers and a token go along, and the token is asked for anew after a 401", () => against((req, res, n) => {
  if (n === 1) return res.writeHead(401).end();
  stream(res).write("data: x\n\n");
}, async ({ open, asked }) => {
  const source = open({ headers: async () => ({ "X-Tenant": "7" }), token: (fresh) => (fresh ? "new" : "old"), lastEventId: "5" });
  await once(source, "message");
  assert.deepEqual(asked.map((r) => [r.headers.authorization, r.headers["x-tenant"], r.headers["last-event-id"]]), [["Bearer old", "7", "5"], ["Bearer new", "7", "5"]]);
}));

test("after close nothing is heard, and nothing asked", () => against((_, res) => {
  stream(res).write("data: 1\n\ndata: 2\n\n");
}, async ({ open, asked }) => {
  const source = open();
  const got = [];
  source.onmessage = (e) => {
    got.push(e.data);
    source.close();
  };
  source.onerror = () => got.push("error");
  await until("the first", () => got.length);
  await new Promise((go) => setTimeout(go, 100));
  assert.deepEqual([got, source.readyState, asked.length], [["1"], 2, 1]);
}));

test("it looks like an EventSource", () => {
  assert.throws(() => new EventSource("http://["), { name: "SyntaxError" });
  const source = new EventSource("http://127.0.0.1:1/a b", { withCredentials: 1 });
  assert.deepEqual([source.url, source.withCredentials, source.readyState], ["http://127.0.0.1:1/a%20b", true, 0]);
  assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED, EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2, 0, 1, 2]);
  source.onmessage = 7;
  assert.equal(source.onmessage, null);
  const handler = () => {};
  source.onmessage = handler;
  assert.equal(source.onmessage, handler);
  assert.ok(source instanceof EventTarget);
  source.close();
  assert.equal(source.readyState, 2);
});

test("an event that does not end gives its connection back", () => {
  const connections = new Set();
  return against((req, res) => {
    connections.add(req.socket.on("close", () => connections.delete(req.socket)));
    stream(res).write("retry: 1\ndata: ");
    const more = () => {
      while (!res.destroyed) if (!res.write(Buffer.alloc(65_536, "x"))) return res.once("drain", more);
    };
    more();
  }, async ({ open, asked }) => {
    open();
    await until("it has tried four times", () => asked.length > 4);
    await until("one connection is left", () => connections.size <= 1);
  });
});

test("wrong arguments throw at once", () => {
  assert.throws(() => new EventSource("http://127.0.0.1:1/", { token: "secret" }).close(), /token: give a function/);
  assert.throws(() => new EventSource("http://127.0.0.1:1/", { headers: { "no good": "x" } }).close(), TypeError);
});

test("in a worker a URL is relative to its script", (t) => {
  t.after(() => delete globalThis.location);
  globalThis.location = new URL("http://127.0.0.1:1/a/worker.js");
  const source = new EventSource("events");
  source.close();
  assert.equal(source.url, "http://127.0.0.1:1/a/events");
});
