// A visitor is a page of the wall and what a person sees and does there.

import assert from "node:assert/strict";

const PATIENCE = 40_000; // ms

// What Firefox says of a connection that was lost; it counts as no fault of the page.
const LOST = /^Error: (The connection to|Firefox can.t establish)/;

export class Visitor {
  faults = []; // what the page must never complain about

  constructor(page, transport) {
    this.page = page;
    this.transport = transport;
    page.on("pageerror", (e) => LOST.test(e) || this.faults.push(String(e)));
    page.on("console", (m) => /content.security.policy/i.test(m.text()) && this.faults.push(m.text()));
  }

  // until waits for a condition in the page.
  async until(what, condition, ...args) {
    try {
      await this.page.waitForFunction(condition, { polling: 50, timeout: PATIENCE }, ...args);
    } catch (e) {
      throw new Error(`${this.transport}: not in time: ${what}; the page shows ${JSON.stringify(await this.look())}`, { cause: e });
    }
  }

  look() {
    return this.page.evaluate(() => document.body.innerText);
  }

  state(state) {
    return this.until(`state ${state}`, (s) => document.querySelector("#state").dataset.state === s, state);
  }

  live() {
    return this.state("live");
  }

  notLive() {
    return this.until("not live", () => document.querySelector("#state").dataset.state !== "live");
  }

  use(transport) {
    this.transport = transport;
    return this.page.evaluate((t) => document.querySelector(`#transports [value=${t}]`).click(), transport);
  }

  async write(text) {
    await this.page.evaluate((t) => {
      const box = document.querySelector("#text");
      box.value = t;
      box.dispatchEvent(new Event("input"));
      document.querySelector("#composer button").click();
    }, text);
  }

  // post writes a text and waits until the server has it.
  async post(text) {
    await this.write(text);
    await this.posted();
  }

  posted() {
    return this.until("the post is sent", () => {
      const form = document.querySelector("#composer");
      return form.text.value === "" && !form.querySelector("button").disabled;
    });
  }

  // entries are the texts of posts and the reasons of gaps, the oldest first.
  entries() {
    return this.page.evaluate(() => [...document.querySelectorAll("#posts > li")].reverse().map(
      (li) => (li.matches(".gap") ? { gap: li.dataset.reason } : li.querySelector(".text").textContent)));
  }

  newest(text) {
    return this.until(`the post ${text}`, (t) => document.querySelector("#posts .text")?.textContent === t, text);
  }

  // shows waits for the last entry and then asserts that there are just these,
  // in this order.
  async shows(entries) {
    await this.newest(entries.at(-1));
    assert.deepEqual(await this.entries(), entries, `what the page on ${this.transport} shows`);
  }

  // counts waits until the page shows these numbers of others.
  counts(expected) {
    return this.until(`counts ${JSON.stringify(expected)}`, (want) => Object.entries(want).every(
      ([name, text]) => document.querySelector(`[data-count=${name}]`).textContent === text), expected);
  }
}
