// The real example, as a child process with the provider that it starts.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePort } from "../../wall/browser/wall.mjs";

const BINARY = fileURLToPath(new URL("bin/oauth", import.meta.url));

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class App {
  #child;
  #errors = "";

  // start runs the example on a port, which browsers reach at url.
  static async start({ port, url, args = [] } = {}) {
    const app = new App();
    app.port = port ?? (await freePort());
    app.url = url ?? `http://127.0.0.1:${app.port}`;
    const child = spawn(BINARY, ["-addr", `127.0.0.1:${app.port}`, "-public", app.url, ...args], {
      stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, GORACE: "halt_on_error=1" },
    });
    app.#child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stderr.on("data", (text) => (app.#errors += text));
    for await (const line of createInterface({ input: child.stdout })) {
      if ((app.issuer = line.match(/identity provider on (\S+)/)?.[1])) break;
    }
    if (!app.issuer) throw new Error(`the example did not start: ${app.#errors}`);
    child.stdout.resume();
    return app;
  }

  // stop ends the example and returns what is wrong, data races first of all.
  async stop() {
    const child = this.#child;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const [code] = await gone;
    const faults = this.#errors.split("\n").filter((line) => line && !/level=INFO|INFO push: /.test(line)).join("\n");
    return code ? `exit code ${code}: ${this.#errors}` : faults;
  }

  // token asks the provider for a token of the robot's.
  async token(scope = "chat.read chat.write", { client = "robot", format = "", headers = {} } = {}) {
    const answer = await fetch(`${this.issuer}/token`, {
      method: "POST", headers: { ...headers, Authorization: `Basic ${btoa(`${client}:robot`)}` },
      body: new URLSearchParams({ grant_type: "client_credentials", scope, resource: `${this.url}/push${format && `?${format}`}` }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(body));
    return body.access_token;
  }

  // get reads a page of a topic with a token.
  get(token, topic = "chat/room") {
    return fetch(`${this.url}/push/topics/${topic}`, { headers: { Accept: "application/json", Authorization: `Bearer ${token}` } });
  }

  say(token, text, topic = "chat/room") {
    return fetch(`${this.url}/push/topics/${topic}`, {
      method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Push-Event": "say" },
      body: JSON.stringify({ from: "robot", text }),
    });
  }

  async revoke(whom) {
    const answer = await fetch(`${this.url}/push/revocations`, {
      method: "POST", headers: { Authorization: `Bearer ${await this.token("admin")}`, "Content-Type": "application/json" }, body: JSON.stringify(whom),
    });
    if (answer.status !== 204) throw new Error(`${answer.status} ${await answer.text()}`);
  }
}
