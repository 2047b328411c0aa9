// A stage is what a test plays on: a wall, a fault proxy before it, and pages
// in one browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultProxy } from "../../../client/test/proxy.mjs";
import { BROWSERS, browser } from "./browsers.mjs";
import { Visitor } from "./visitor.mjs";
import { Wall, freePort } from "./wall.mjs";

const TIME = 90_000; // ms for one test

export const TRANSPORTS = ["sse", "websocket", "long-poll"];

// scene is a test that runs in both browsers, each time on a stage of its own.
export function scene(title, play, options = {}) {
  for (const name of BROWSERS) {
    test(`${title} (${name})`, { timeout: TIME }, async () => {
      const stage = new Stage(name);
      await stage.open(options);
      try {
        await play(stage);
      } catch (e) {
        await stage.close().catch(() => {});
        throw e;
      }
      await stage.close();
    });
  }
}

class Stage {
  #visitors = [];

  constructor(browserName) {
    this.browserName = browserName;
  }

  async open({ heartbeat }) {
    this.wall = new Wall(await freePort(), heartbeat);
    await this.wall.start();
    this.proxy = new FaultProxy(this.wall.port);
    await this.proxy.listen();
    this.context = await (await browser(this.browserName)).createBrowserContext(); // with connections of its own
  }

  // visit opens a page that reads over a transport, at url if it is not to be
  // the wall itself. prepare runs in the page before its own scripts; opened is
  // called before the page is live.
  async visit(transport, { url = this.wall.url, prepare, opened } = {}) {
    const page = await this.context.newPage();
    if (prepare) await page.evaluateOnNewDocument(prepare);
    const visitor = new Visitor(page, transport);
    this.#visitors.push(visitor);
    await page.goto(`${url}/?transport=${transport}`);
    await opened?.(visitor);
    await visitor.live();
    return visitor;
  }

  // visitAll opens a page on each transport.
  async visitAll(options) {
    const all = [];
    for (const transport of TRANSPORTS) all.push(await this.visit(transport, options));
    return all;
  }

  async close() {
    const faults = this.#visitors.flatMap((v) => v.faults);
    await this.context.close();
    this.proxy.close();
    assert.equal(await this.wall.stop(), "");
    assert.deepEqual(faults, []);
  }
}
