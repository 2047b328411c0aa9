// What a test plays on: the real server, a fault proxy before it, and clients
// that note what they are told.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "../dist/client.js";
import { FaultProxy } from "./proxy.mjs";

const BINARY = fileURLToPath(new URL("bin/server", import.meta.url));

export const TRANSPORTS = ["websocket", "sse", "long-poll", "poll"];

export class Server {
  #child;
  #errors = "";

  static async start(...args) {
    const server = new Server();
    server.args = args;
    await server.run("127.0.0.1:0");
    return server;
  }

  async run(addr) {
    const child = (this.#child = spawn(BINARY, ["-addr", addr, ...this.args], { env: { GORACE: "halt_on_error=1 atexit_sleep_ms=0" } }));
    child.stderr.on("data", (text) => (this.#errors += text));
    const [line] = await once(createInterface({ input: child.stdout }), "line");
    this.addr = line;
    this.port = Number(line.split(":").at(-1));
    this.url = `http://${line}`;
  }

  // burst publishes the numbers from … from+n-1.
  async burst(topic, from, n) {
    const res = await fetch(`${this.url}/burst?topic=${topic}&from=${from}&n=${n}`, { method: "POST" });
    assert.ok(res.ok, await res.text());
  }

  async history(topic) {
    const res = await fetch(`${this.url}/push/topics/${topic}?limit=1000`, { headers: { Accept: "application/json" } });
    return (await res.json()).items.map((item) => item.data);
  }

  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode) return;
    const gone = once(this.#child, "exit");
    this.#child.stdin.end();
    await gone;
    assert.equal(this.#errors, "", "what the server complained about");
  }
}

// until waits for a condition; what changes it are events, so it looks often.
export async function until(what, condition, within = 30_000) {
  for (const end = performance.now() + within; !(await condition()); ) {
    assert.ok(performance.now() < end, `not in time: ${typeof what === "function" ? what() : what}`);
    await new Promise((go) => setTimeout(go, 5));
  }
}

// A Reader is a client and what it was told.
export class Reader {
  got = [];
  gaps = [];
  errors = [];
  opens = [];

  constructor(url, options) {
    this.begun = Date.now();
    this.push = connect(url, options);
    this.push.on("n", (data, event) => this.got.push({ data, ...event }));
    this.push.ongap = (e) => this.gaps.push({ ...e.data, after: this.got.length });
    this.push.onerror = (e) => this.errors.push(e.data);
    this.push.onopen = () => this.opens.push({ transport: this.push.transport, ms: Date.now() - this.begun });
    this.push.onclose = (e) => (this.closed = e);
  }

  get numbers() {
    return this.got.map((e) => e.data);
  }

  live(transport) {
    return until(
      () => `open over ${transport ?? "anything"}: ${this.push.transport}, ${this.errors.map((e) => e.message)}`,
      () => this.push.readyState === 1 && (!transport || this.push.transport === transport),
    );
  }

  // shows waits for so many events and asserts that they are 1, 2, 3 …
  async shows(n) {
    await until(() => `${n} events, and there are ${this.got.length}; ${this.push.transport}`, () => this.got.length >= n);
    assert.deepEqual(this.numbers, Array.from({ length: n }, (_, i) => i + 1));
  }
}

// staged runs a test with a server, a proxy, and clients that are closed in the end.
export async function staged(play, ...args) {
  const server = await Server.start(...args);
  const proxy = new FaultProxy(server.port);
  await proxy.listen();
  const readers = [];
  const read = (options = {}, url = proxy.url) => {
    const reader = new Reader(url + "/push", { topics: ["t/a"], ...options });
    readers.push(reader);
    return reader;
  };
  try {
    await play({ server, proxy, read });
  } finally {
    for (const { push } of readers) push.close();
    proxy.close();
    await server.stop();
  }
}
