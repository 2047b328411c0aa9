import { ask, type Asker, bounded, final, post, PushError, read, sleep } from "./http.js";
import { type Line, since } from "./line.js";
import { random } from "./topics.js";
import type { Frame, Gap, Options } from "./types.js";

const SHORTEST = 500; // ms; a server that says "retry: 0" wants no tight loop

/** What transports know of the mount. @internal */
export interface Mount extends Asker {
  readonly _options: Options;
  /** ms: how long to stay away at first, by the server's `retry:`. */
  _retry: number;
  /** Whoever waits for the answer to a frame, by its ref. */
  readonly _replies: Map<string, (data: any, why?: PushError) => void>;
  /** There are no tickets here, so a WebSocket cannot show the token. */
  _noTickets?: boolean;
}

/** The URL of a stream or page. @internal */
export const url = ({ _base }: Mount, topics: readonly string[], after: string, more?: Record<string, string>): string => {
  const query = new URLSearchParams(more);
  for (const t of topics) query.append("topic", t);
  if (after) query.set("after", after);
  return `${_base}/events?${query}`;
};

/** WebSocket, with a ticket where there is a token. */
const websocket = async (mount: Mount, line: Line) => {
  const protocols = ["push.v1"];
  if (mount._options.token) {
    if (mount._noTickets) throw "no tickets";
    try {
      protocols.push("push.ticket." + (await post(mount, "/tickets", { topics: line._topics }, line._signal)).ticket);
    } catch (e: any) {
      mount._noTickets = final(e) && !e._foreign;
      throw new PushError("no tickets: " + e.message, 0, e.retry);
    }
  }
  await new Promise((_, fail) => {
    const socket = new WebSocket(url(mount, line._topics, line._after).replace("http", "ws"), protocols);
    line._signal.addEventListener("abort", () => socket.close());
    line._send = (action) =>
      new Promise((done, fail) => {
        const ref = random();
        mount._replies.set(ref, (data, why) => (why ? fail(why) : done(data)));
        socket.send(JSON.stringify({ ...action, ref }));
      });
    line._change = (action, topics) => line._send!({ action, topics });
    socket.onmessage = ({ data }) => {
      try {
        line._on(JSON.parse(data));
      } catch (e) {
        fail(e);
      }
    };
    socket.onerror = socket.onclose = ({ code }: any) => fail(new PushError("closed with " + code, code));
  });
};

/** SSE by a fetch that streams: unlike EventSource it takes headers. */
const sse = async (mount: Mount, line: Line) => {
  const res = await ask(mount, url(mount, line._topics, line._after, { format: "envelope" }), {
    headers: { Accept: "text/event-stream" },
    signal: line._signal,
  });
  line._change = (action, topics) => post(mount, `/connections/${line._cid}/messages`, { action, topics }, line._signal);
  // Our server ends lines with LF only, and an envelope is one of them.
  let rest = "";
  await read(line, res, "text/event-stream", (text) => {
    const lines = text.split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    for (const l of lines) {
      if (l.startsWith("data:")) line._on(JSON.parse(l.slice(5)));
      if (l.startsWith("retry:")) mount._retry = bounded(Math.max(SHORTEST, +l.slice(6) || 0))!;
    }
    return rest;
  });
};

interface Page {
  items: Frame[];
  gap?: Gap | null;
  last: string;
}

/** Reads the page after a cursor; without one only where the log stands. @internal */
export const page = async (mount: Mount, line: Line, after: string, wait = 0, topics = line._topics): Promise<Page> => {
  const res = await ask(mount, url(mount, topics, after, { limit: after ? "1000" : "1" }), {
    headers: { Accept: "application/json", ...(wait && { Prefer: "wait=" + wait }) },
    signal: line._signal,
  });
  let text = "";
  await read(line, res, "application/json", (more) => (text += more));
  const got = JSON.parse(text);
  return after ? got : { items: [], last: got.last };
};

export const HEARTBEAT = 25_000; // ms
const PAUSE = 2500; // ms between polls that do not wait

/** Polling. What a stream is told in control events it says itself. */
const poll = (wait: number) => async (mount: Mount, line: Line) => {
  let after = line._after;
  line._change = async (action, topics) => {
    if (action === "subscribe") await page(mount, line, "", 0, topics); // see whether we may
    throw 0; // and ask anew
  };
  for (let first = true; ; first = false) {
    const asked = Date.now();
    const got = await page(mount, line, after, first ? 0 : wait);
    const idle = !got.items[0] || got.last === after;
    if (first) line._on({ event: "push.open", id: after || got.last, data: { topics: line._topics, heartbeat: HEARTBEAT } });
    if (got.gap) line._on({ event: "push.gap", data: got.gap });
    got.items.forEach(line._on);
    line._on({ event: "push.heartbeat", id: (after = got.last) });
    // Not every server or proxy knows how to wait.
    if (!first && (!wait || (idle && since(asked) < PAUSE))) await sleep(PAUSE * (1 + Math.random() / 2));
    line._signal.throwIfAborted();
  }
};

/** All of them, best first. @internal */
export const transports: Record<string, (mount: Mount, line: Line) => Promise<unknown>> = {
  websocket,
  sse,
  "long-poll": poll(HEARTBEAT / 1000),
  poll: poll(0),
};
