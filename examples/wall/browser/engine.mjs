// The three engines, under one interface: a page goes to a URL, and runs async
// functions.

import { after, test } from "node:test";
import { BROWSERS, browser } from "./browsers.mjs";
import { WebKit } from "./webkit.mjs";
import { FaultProxy } from "../../../client/test/proxy.mjs";
import { Server } from "../../../client/test/stage.mjs";

export const ENGINES = [...BROWSERS, "webkit"];

let webkit;

function engine(name) {
  return name === "webkit" ? (webkit ??= WebKit.launch()) : browser(name);
}

after(async () => (await webkit)?.close());

// inEngines is a test that runs in all three, each time with a server and a
// fault proxy of its own.
export function inEngines(title, play, { engines = ENGINES, args = [] } = {}) {
  for (const name of engines) {
    test(`${title} (${name})`, { timeout: 90_000 }, async () => {
      const server = await Server.start("-files", new URL(".", import.meta.url).pathname, ...args);
      const proxy = new FaultProxy(server.port);
      await proxy.listen();
      const pages = [];
      // open opens a page of the server's origin.
      const open = async (path = "/blank", url = proxy.url) => {
        const page = await (await engine(name)).newPage();
        pages.push(page);
        await page.goto(url + path);
        return page;
      };
      try {
        await play({ name, server, proxy, open });
      } finally {
        for (const page of pages) await page.close().catch(() => {});
        proxy.close();
        await server.stop();
      }
    });
  }
}
