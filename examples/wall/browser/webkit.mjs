// WebKitGTK's MiniBrowser, driven over WebDriver (W3C) on a display of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "./wall.mjs";

// Debian has the browser in a folder of its architecture and its API.
function miniBrowser() {
  if (process.env.MINIBROWSER) return process.env.MINIBROWSER;
  for (const arch of readdirSync("/usr/lib")) {
    for (const api of ["4.1", "4.0", "6.0"]) {
      const dir = `/usr/lib/${arch}/${api === "6.0" ? "webkitgtk" : "webkit2gtk"}-${api}`;
      try {
        if (readdirSync(dir).includes("MiniBrowser")) return `${dir}/MiniBrowser`;
      } catch {}
    }
  }
  throw new Error("there is no MiniBrowser: apt-get install webkit2gtk-driver");
}

export class WebKit {
  #children = [];
  #home = mkdtempSync(join(tmpdir(), "webkit-"));

  // launch starts a browser, with capabilities of WebDriver's (acceptInsecureCerts) if they are named.
  static async launch(capabilities = {}) {
    const browser = new WebKit();
    const display = await browser.#display();
    const port = await freePort();
    browser.#spawn("WebKitWebDriver", ["-p", String(port)], {
      ...process.env, HOME: browser.#home, XDG_RUNTIME_DIR: browser.#home, DISPLAY: `:${display}`,
      WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1", LIBGL_ALWAYS_SOFTWARE: "1", GIO_USE_VFS: "local",
    });
    browser.url = `http://127.0.0.1:${port}`;
    await browser.#session(capabilities);
    return browser;
  }

  #spawn(command, args, env, stdio = ["ignore", "ignore", "ignore"]) {
    const child = spawn(command, args, { env, stdio });
    child.on("error", (e) => { throw e; });
    this.#children.push(child);
    return child;
  }

  // display starts an X server that picks its own number, and returns that.
  async #display() {
    const x = this.#spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1200x800x24", "-nolisten", "tcp"], process.env, ["ignore", "ignore", "ignore", "pipe"]);
    const [line] = await once(createInterface({ input: x.stdio[3] }), "line");
    return line;
  }

  async #session(wanted) {
    const options = { binary: miniBrowser(), args: ["--automation"] };
    const capabilities = { alwaysMatch: { ...wanted, "webkitgtk:browserOptions": options } };
    for (let tries = 0; ; tries++) {
      try {
        ({ sessionId: this.session } = await this.#call("POST", "/session", { capabilities }));
        break;
      } catch (e) {
        if (!(e instanceof TypeError) || tries > 100) throw e; // the driver does not listen yet
        await new Promise((go) => setTimeout(go, 50));
      }
    }
    await this.command("POST", "/timeouts", { script: 60_000 });
  }

  async #call(method, path, body) {
    const answer = await fetch(this.url + path, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }

  command(method, path, body) {
    return this.#call(method, `/session/${this.session}${path}`, body ?? (method === "POST" ? {} : undefined));
  }

  // newPage opens a tab; the first one stays, since the session ends with the last. Commands go to one tab at a time, so they wait for each other.
  async newPage() {
    return this.inTurn(async () => {
      await this.#toFirst();
      return new Page(this, (await this.command("POST", "/window/new", { type: "tab" })).handle);
    });
  }

  async #toFirst() {
    const [handle] = await this.command("GET", "/window/handles");
    await this.command("POST", "/window", { handle });
  }

  #last = Promise.resolve();

  inTurn(work) {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async close() {
    await this.command("DELETE", "").catch(() => {});
    for (const child of this.#children.reverse()) child.kill();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

// script runs f with its arguments; without eval, which a page's policy may forbid.
const script = (f) => `
  const [args, done] = arguments;
  (async () => (${f})(...args))().then((value) => done({ value }), (e) => done({ error: String(e && e.stack ? e + "\\n" + e.stack : e) }));
`;

class Page {
  constructor(browser, handle) {
    Object.assign(this, { browser, handle });
  }

  goto(url) {
    return this.#here("POST", "/url", { url });
  }

  async evaluate(f, ...args) {
    const { value, error } = await this.#here("POST", "/execute/async", { script: script(f), args: [args] });
    if (error) throw new Error(error);
    return value;
  }

  close() {
    return this.#here("DELETE", "/window");
  }

  #here(...command) {
    return this.browser.inTurn(async () => {
      await this.browser.command("POST", "/window", { handle: this.handle });
      return this.browser.command(...command);
    });
  }
}
