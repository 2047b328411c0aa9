// A person with a browser, who logs in to the example.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultProxy } from "../../../client/test/proxy.mjs";
import { BROWSERS, browser } from "../../wall/browser/browsers.mjs";
import { freePort } from "../../wall/browser/wall.mjs";
import { App } from "./app.mjs";

const TIME = 120_000; // ms for one test
const PATIENCE = 30_000; // ms for what should come soon

export const TRANSPORTS = ["EventSource", "WebSocket", "long polling"];

// scene is a test that runs in both browsers, each time with an app of its own
// behind a fault proxy.
export function scene(title, { args = [] }, play) {
  for (const name of BROWSERS) {
    test(`${title} (${name})`, { timeout: TIME }, async () => {
      const port = await freePort();
      const proxy = new FaultProxy(port);
      await proxy.listen();
      const app = await App.start({ port, url: proxy.url, args });
      const people = [];
      try {
        await play({ app, proxy, person: async () => people.at(people.push(await Person.meet(await browser(name), app)) - 1) });
        assert.deepEqual(people.flatMap((p) => p.faults), []);
      } finally {
        await Promise.all(people.map((p) => p.context.close().catch(() => {})));
        proxy.close();
        assert.equal(await app.stop(), "");
      }
    });
  }
}

// What Firefox says of a connection that was lost; it counts as no fault of the page.
const LOST = /^Error: (The connection to|Firefox can.t establish)/;

class Person {
  faults = [];

  static async meet(browser, app) {
    const person = new Person();
    Object.assign(person, { app, context: await browser.createBrowserContext() }); // with cookies of its own
    return person;
  }

  // open opens a page of the app in a tab of this person's.
  async open(query = "") {
    const page = await this.context.newPage();
    page.on("pageerror", (e) => LOST.test(e) || this.faults.push(String(e)));
    page.on("console", (m) => /content.security.policy/i.test(m.text()) && this.faults.push(m.text()));
    await page.goto(`${this.app.url}/${query}`);
    return new Tab(page);
  }

  // logIn opens a tab and logs in; without a name the provider knows who it is.
  async logIn(name, query) {
    const tab = await this.open(query);
    await tab.page.waitForSelector("#login:not([hidden])", { timeout: PATIENCE });
    await tab.page.click("#login");
    if (name) {
      await tab.page.waitForSelector("input[name=name]", { timeout: PATIENCE });
      await tab.page.type("input[name=name]", name);
      await tab.page.keyboard.press("Enter");
    }
    await tab.until("logged in", () => document.querySelector("#who")?.dataset.sub);
    return tab;
  }
}

class Tab {
  urls = []; // what the page has asked for

  constructor(page) {
    this.page = page;
    page.on("request", (r) => this.urls.push(r.url()));
  }

  async until(what, condition, ...args) {
    try {
      await this.page.waitForFunction(condition, { polling: 50, timeout: PATIENCE }, ...args);
    } catch (e) {
      throw new Error(`not in time: ${what}; the page shows ${JSON.stringify(await this.page.evaluate(() => document.body.innerText))}`, { cause: e });
    }
  }

  // state waits until streams are in a state, all of them if none is named.
  state(state, ...transports) {
    const names = transports.length ? transports : TRANSPORTS;
    return this.until(`${names}: ${state}`, (s, all) => all.every(
      (t) => document.querySelector(`[data-transport="${t}"] .state`)?.dataset.state === s), state, names);
  }

  note(transport) {
    return this.page.$eval(`[data-transport="${transport}"] .note`, (n) => n.textContent);
  }

  notes() {
    return Promise.all(TRANSPORTS.map((t) => this.note(t)));
  }

  // shows waits until streams show a text as their newest.
  shows(text, ...transports) {
    const names = transports.length ? transports : TRANSPORTS;
    return this.until(`${names}: ${text}`, (want, all) => all.every(
      (t) => document.querySelector(`[data-transport="${t}"] li`)?.textContent === want), text, names);
  }

  entries(transport) {
    return this.page.$$eval(`[data-transport="${transport}"] li`, (all) => all.map((li) => li.textContent).reverse());
  }

  async say(text, to) {
    await this.page.type("#say input", text);
    await this.page.click(`#say button[value=${to}]`);
    await this.until("it is said", () => document.querySelector("#say input").value === "");
  }
}
