// A TCP proxy that can lose the network between a client and a server, or
// behave as badly as middleboxes do toward one transport only.

import { once } from "node:events";
import { connect, createServer } from "node:net";

// What a request is for: the start of it tells.
function kindOf(bytes) {
  const head = bytes.subarray(0, 4096).toString("latin1");
  if (!/^(GET|POST|PUT|PATCH|DELETE) /.test(head)) return undefined;
  if (/^upgrade: websocket/im.test(head)) return "websocket";
  if (/^accept: text\/event-stream/im.test(head)) return "sse";
  if (/^prefer: wait=/im.test(head)) return "long-poll";
  return head.startsWith("GET") ? "page" : "post";
}

export class FaultProxy {
  #server = createServer((client) => this.#serve(client));
  ended = 0; // connections that flake has ended
  asked = {}; // requests by kind
  #pairs = new Set();
  #mode = "pass"; // "cut" or "stall" for what connects now; "lose" for all
  #budget = () => Infinity; // bytes of answers until a connection ends
  #faults = {};

  constructor(target) {
    this.target = target;
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  #serve(client) {
    client.setNoDelay();
    if (this.#mode === "cut") return client.resetAndDestroy();
    const server = connect(this.target, "127.0.0.1");
    const pair = { client, server, stalled: this.#mode === "stall" };
    this.#pairs.add(pair);
    client.on("data", (bytes) => this.#ask(pair, bytes));
    server.on("data", (bytes) => pair.stalled || this.#answer(pair, bytes));
    for (const socket of [client, server]) socket.on("error", () => {}).on("close", () => this.#end(pair));
  }

  #end(pair) {
    pair.server.destroy();
    if (pair.stalled && !pair.client.destroyed) return; // not even the end comes through
    this.#pairs.delete(pair);
    pair.client.destroy();
  }

  #ask(pair, bytes) {
    if (pair.kind !== "websocket") {
      const kind = kindOf(bytes);
      if (kind) {
        this.asked[kind] = (this.asked[kind] ?? 0) + 1;
        Object.assign(pair, { kind, fault: this.#faults[kind], answered: false });
      }
    }
    if (pair.fault === "swallow") return;
    if (pair.fault === "refuse") return pair.client.resetAndDestroy();
    if (!pair.stalled) return pair.server.write(bytes);
    if (this.#mode !== "stall") pair.client.resetAndDestroy(); // as a router does that knows nothing of it
  }

  #answer(pair, bytes) {
    if (this.#mode === "lose" || (this.#mode === "lose posts" && pair.kind === "post")) return pair.client.resetAndDestroy();
    if (pair.fault === "buffer") return; // until an end that never comes
    if (pair.fault === "die" && !pair.answered) setTimeout(() => pair.client.resetAndDestroy(), 30);
    pair.answered = true;
    if (pair.fault === "drip") return this.#drip(pair, bytes);
    pair.left = (pair.left ?? this.#budget()) - bytes.length; // browsers open spare connections, too
    if (pair.left > 0) pair.client.write(bytes);
    else this.#flake(pair, bytes.subarray(0, bytes.length + pair.left));
  }

  // drip passes on every byte by itself.
  async #drip(pair, bytes) {
    pair.dripping = (pair.dripping ?? Promise.resolve()).then(async () => {
      for (let i = 0; i < bytes.length && !pair.client.destroyed; i++) {
        pair.client.write(bytes.subarray(i, i + 1));
        await new Promise(setImmediate);
      }
    });
  }

  #flake(pair, last) {
    this.ended++;
    pair.stalled = true;
    pair.client.end(last, () => pair.client.destroy());
  }

  // fault has requests of a kind ("websocket", "sse", "page", "long-poll",
  // "post") fail from now on: "swallow" them, "buffer" the answer for ever,
  // "die" soon after the answer began, "drip" it, "refuse" the connection.
  fault(kind, what) {
    this.#faults[kind] = what;
  }

  // cut resets every connection, now and until pass.
  cut() {
    this.#mode = "cut";
    this.reset();
  }

  // stall swallows every byte. Connections that there are, and new ones until
  // pass, stay open but never work again; once they pass, they are reset when
  // the client uses them.
  stall() {
    this.#mode = "stall";
    for (const pair of this.#pairs) pair.stalled = true;
  }

  // loseAnswers lets requests through and resets the connection instead of
  // passing on what the server says, until pass: to all, or to posts only.
  loseAnswers(only) {
    this.#mode = only ? `lose ${only}` : "lose";
  }

  // flake ends each connection after as many bytes of answers as next says,
  // wherever in an event that is.
  flake(next) {
    this.#budget = next;
    this.reset();
  }

  // pass is a good network again, for new connections.
  pass() {
    this.#mode = "pass";
    this.#faults = {};
    this.#budget = () => Infinity;
  }

  // reset resets every connection, once.
  reset() {
    for (const { client } of this.#pairs) client.resetAndDestroy();
  }

  close() {
    this.reset();
    this.#server.close();
  }
}
