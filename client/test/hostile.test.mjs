import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect, PushError } from "../dist/client.js";
import { until } from "./stage.mjs";

// against runs a client against a server that answers as it likes.
async function against(answer, options, play) {
  const asked = [];
  const server = createServer((req, res) => {
    asked.push(Date.now());
    res.on("error", () => {});
    answer(req, res, asked.length);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const push = connect(`http://127.0.0.1:${server.address().port}/push`, { topics: ["t/a"], ...options });
  const seen = { errors: [], closed: undefined, got: [] };
  push.onerror = (e) => seen.errors.push(e.data);
  push.onclose = (e) => (seen.closed = e.data);
  push.onmessage = (e) => seen.got.push(e.data);
  try {
    await play({ push, asked, seen });
  } finally {
    push.close();
    server.closeAllConnections();
    server.close();
  }
}

console.error = () => {}; // it says there why it ends

const problem = (res, status, headers = {}) => {
  res.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
  res.end(JSON.stringify({ title: "No", status, detail: `because ${status}` }));
};

const HELLO = 'retry: 100\nid: a1.x\nevent: push.open\ndata: {"id":"a1.x","event":"push.open","data":{"connection":"c","topics":["t/a"],"heartbeat":25000}}\n\n';

const http = ["sse", "long-poll", "poll"];

// Trying again as it is cannot help: told, and over.
for (const status of [400, 401, 403, 404, 405, 406, 410, 413, 421, 431]) {
  test(`${status}: it is told and over, after each transport was asked once`, () => against((_, res) => problem(res, status), {}, async ({ push, asked, seen }) => {
    await until("it is closed", () => push.readyState === 2);
    assert.ok(seen.closed instanceof PushError);
    assert.deepEqual([seen.closed.status, seen.closed.message, seen.errors.length], [status, `because ${status}`, 1]);
    assert.ok(asked.length <= (status === 421 ? 8 : 4), `${asked.length} requests`); // fetch itself repeats a 421 (RFC 9110)
    await assert.rejects(push.publish("t/a", "n", 1), /closed/);
  }));
}

// For now only: it comes back, never in a tight loop.
for (const [what, answer] of Object.entries({
  "500": (_, res) => problem(res, 500),
  "502 of a proxy": (_, res) => res.writeHead(502, { "Content-Type": "text/html" }).end("<h1>Bad gateway</h1>"),
  "429": (_, res) => problem(res, 429),
  "a page instead of a stream": (_, res) => res.writeHead(200, { "Content-Type": "text/html" }).end("<h1>Log in</h1>"),
  "nothing at all": (req) => req.socket.destroy(),
  "an empty answer": (_, res) => res.writeHead(204).end(),
  "no JSON": (req, res) => res.writeHead(200, { "Content-Type": req.headers.accept }).end("data: {{{\n\n"),
  "JSON that is no event": (req, res) => res.writeHead(200, { "Content-Type": req.headers.accept }).end("data: 7\n\ndata: null\n\n"),
  "a page that is none": (_, res) => res.writeHead(200, { "Content-Type": "application/json" }).end("{}"),
  "a push.open that does not say what is read": (req, res) => res.writeHead(200, { "Content-Type": req.headers.accept }).end(HELLO.replace('"topics":["t/a"],', "")),
  "events before push.open": (req, res) => res.writeHead(200, { "Content-Type": req.headers.accept }).end('data: {"event":"n","data":1}\n\n'),
  "streams that open and end, and retry: 0": (req, res) => res.writeHead(200, { "Content-Type": req.headers.accept }).end(HELLO.replace("100", "0")),
})) {
  test(`${what}: it comes back, and slower every time`, () => against(answer, { transports: http }, async ({ push, asked, seen }) => {
    await until("it has tried again", () => seen.errors.length >= 2);
    const before = asked.length;
    await new Promise((go) => setTimeout(go, 1500));
    assert.notEqual(push.readyState, 2);
    assert.equal(seen.got.length, 0);
    assert.ok(asked.length - before <= 24, `${asked.length - before} requests in 1.5 s`);
  }));
}

test("Retry-After is honoured, and the other transports are left alone meanwhile", () => against((_, res, n) => {
  if (n === 1) return problem(res, 503, { "Retry-After": "1" });
  res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO);
}, { transports: http }, async ({ push, asked }) => {
  await until("it is open", () => push.readyState === 1);
  assert.equal(asked.length, 2);
  assert.ok(asked[1] - asked[0] >= 990, `${asked[1] - asked[0]} ms`);
}));

test("a push.close says when to come back, and 3003 means never", () => against((_, res, n) => {
  res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO);
  const [code, retry] = n === 1 ? [1012, 700] : [3003, 0];
  res.end(`data: {"id":"a1.x","event":"push.close","data":{"code":${code},"reason":"stop","retry":${retry}}}\n\n`);
}, { transports: ["sse"] }, async ({ push, asked, seen }) => {
  await until("it is over", () => push.readyState === 2);
  assert.equal(asked.length, 2);
  assert.ok(asked[1] - asked[0] >= 690, `${asked[1] - asked[0]} ms`);
  assert.equal(seen.closed.status, 3003);
}));

// pour writes the same bytes until the client is gone.
function pour(res, bytes) {
  let poured = 0;
  const more = () => {
    while (!res.destroyed && poured < 2 ** 30) {
      poured += bytes.length;
      if (!res.write(bytes)) return res.once("drain", more);
    }
  };
  more();
  return () => poured;
}

for (const [what, start] of Object.entries({ "a line": "data: ", "an event": "data: 1\ndata: " })) {
  test(`${what} of 1 GiB ends the connection after a few MiB`, () => {
    let poured;
    return against((_, res) => {
      res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO + start);
      poured ??= pour(res, Buffer.alloc(65_536, "x"));
    }, { transports: ["sse"] }, async ({ seen }) => {
      await until("it is noticed", () => seen.errors.length);
      assert.ok(poured() < 64 * 2 ** 20, `${poured()} bytes`);
    });
  });
}

test("a page of 1 GiB ends the connection after a few MiB", () => {
  let poured;
  return against((_, res) => {
    res.writeHead(200, { "Content-Type": "application/json" }).write('{"items":["');
    poured ??= pour(res, Buffer.alloc(65_536, "x"));
  }, { transports: ["long-poll"] }, async ({ seen }) => {
    await until("it is noticed", () => seen.errors.length);
    assert.match(seen.errors[0].message, /does not end/);
    assert.ok(poured() < 64 * 2 ** 20, `${poured()} bytes`);
  });
});

test("once it was open, a portal's 403 is no end", () => against((_, res, n) => {
  if (n === 1) return res.writeHead(200, { "Content-Type": "text/event-stream" }).end(HELLO);
  if (n < 4) return res.writeHead(403, { "Content-Type": "text/html" }).end("<h1>Pay first</h1>");
  res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO);
}, { transports: ["sse"] }, async ({ push, asked }) => {
  await until("it is open again", () => asked.length >= 4 && push.readyState === 1);
}));

test("the token is asked for at each attempt, and anew after a 401", () => {
  const bearers = [];
  return against((req, res, n) => {
    bearers.push(req.headers.authorization);
    if (n === 2) return problem(res, 401);
    res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO);
    if (n === 1) res.end();
  }, { transports: ["sse"], token: async (fresh) => (fresh ? "new" : "old") }, async ({ push, asked }) => {
    await until("it is open again", () => asked.length === 3 && push.readyState === 1);
    assert.deepEqual(bearers, ["Bearer old", "Bearer old", "Bearer new"]);
  });
});

test("where there are no tickets, a client with a token does without WebSocket", () => {
  const urls = [];
  return against((req, res) => {
    urls.push(`${req.method} ${req.url}`);
    if (req.url.endsWith("/tickets")) return problem(res, 404);
    res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO);
  }, { token: () => "t" }, async ({ push }) => {
    await until("it is open", () => push.readyState === 1);
    assert.equal(push.transport, "sse");
    assert.deepEqual(urls, ["POST /push/tickets", "GET /push/events?format=envelope&topic=t%2Fa"]);
  });
});

for (const [what, items] of Object.entries({ "a page that comes at once": [], "the same page, again and again": [{ id: "a2.x", event: "n", data: 1 }] })) {
  test(`${what} where the server should wait is no tight loop`, () => against((_, res) => {
    res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ items, gap: null, last: "a2.x" }));
  }, { transports: ["long-poll"], after: "a1.x" }, async ({ push, asked }) => {
    await until("it is open", () => push.readyState === 1);
    await new Promise((go) => setTimeout(go, 1000));
    assert.ok(asked.length <= 3, `${asked.length} requests in a second`);
  }));
}

test("a portal's 403 to a ticket does not end WebSocket for good", () => {
  const tickets = [];
  return against((req, res) => {
    if (req.url.endsWith("/tickets")) return tickets.push(1), res.writeHead(403, { "Content-Type": "text/html" }).end("<h1>Pay first</h1>");
    res.writeHead(200, { "Content-Type": "text/event-stream" }).end(HELLO);
  }, { transports: ["websocket", "sse"], token: () => "t" }, async () => {
    await until("it is asked for again", () => tickets.length >= 2);
  });
});

test("who closes when it opens has closed: no better transport is looked for", (t) => {
  const { setTimeout: real, WebSocket } = globalThis;
  let sockets = 0;
  globalThis.WebSocket = class {
    constructor() {
      sockets++;
      throw new Error("no");
    }
  };
  globalThis.setTimeout = (f, ms) => real(f, ms > 10_000 ? ms / 100 : ms);
  t.after(() => Object.assign(globalThis, { setTimeout: real, WebSocket }));
  return against((_, res) => res.writeHead(200, { "Content-Type": "text/event-stream" }).write(HELLO), { transports: ["websocket", "sse"] }, async ({ push }) => {
    push.onopen = () => push.close();
    await until("it is over", () => push.readyState === 2);
    await new Promise((go) => real(go, 500));
    assert.equal(sockets, 1);
  });
});
