// The real wall, as a child process.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BINARY = fileURLToPath(new URL("bin/wall", import.meta.url));

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// freePort returns a port below those that the system gives to clients, so that
// nobody takes it while a wall is restarted.
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const probe = createServer();
    const free = await new Promise((done) => {
      probe.once("error", () => done(false)).listen(port, "127.0.0.1", () => done(true));
    });
    probe.close();
    if (free) return port;
  }
}

export class Wall {
  #child;
  #errors = "";

  constructor(port, heartbeat) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.heartbeat = heartbeat;
  }

  // start runs the wall until kill or drain, and may be called again then.
  async start() {
    const args = ["-addr", `127.0.0.1:${this.port}`, ...(this.heartbeat ? ["-heartbeat", this.heartbeat] : [])];
    const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"], env: { GORACE: "halt_on_error=1" } });
    this.#child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stderr.on("data", (text) => (this.#errors += text));
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith("The wall is on")) break;
    }
    if (child.exitCode !== null) throw new Error(`the wall did not start: ${this.#errors}`);
    child.stdout.resume();
  }

  async kill() {
    await this.#end("SIGKILL");
  }

  // drain ends the wall gently and returns its exit code.
  async drain() {
    return this.#end("SIGTERM");
  }

  async #end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, "exit");
    child.kill(signal);
    const [code] = await gone;
    return code;
  }

  // stop ends the wall and returns what it complained about, data races first of all.
  async stop() {
    const code = await this.drain();
    return code ? `exit code ${code}: ${this.#errors}` : this.#errors;
  }

  // post publishes as somebody without a browser.
  async post(text) {
    const answer = await fetch(`${this.url}/push/topics/wall`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Push-Event": "post" },
      body: JSON.stringify({ text }),
    });
    if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  }

  // history returns the texts of all posts in the log.
  async history() {
    const answer = await fetch(`${this.url}/push/topics/wall?limit=1000`, { headers: { Accept: "application/json" } });
    return (await answer.json()).items.map((item) => item.data.text);
  }
}
