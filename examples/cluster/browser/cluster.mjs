// The real cluster, as a child process, and pages of it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Visitor } from "../../wall/browser/visitor.mjs";

const BINARY = fileURLToPath(new URL("bin/cluster", import.meta.url));

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Cluster {
  #child;
  #errors = "";

  static async start() {
    const cluster = new Cluster();
    const child = spawn(BINARY, ["-addr", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, GORACE: "halt_on_error=1" } });
    cluster.#child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stderr.on("data", (text) => (cluster.#errors += text));
    for await (const line of createInterface({ input: child.stdout })) {
      if ((cluster.url = line.match(/The cluster is on (\S+)/)?.[1])) break;
    }
    if (!cluster.url) throw new Error(`the cluster did not start: ${cluster.#errors}`);
    child.stdout.resume();
    return cluster;
  }

  // stop ends the cluster and returns what it complained about.
  async stop() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const [code] = await gone;
    return code ? `exit code ${code}: ${this.#errors}` : this.#errors;
  }
}

// Guest is a visitor of the cluster's page.
export class Guest extends Visitor {
  // press clicks a button of a node.
  press(node, action) {
    return this.page.evaluate((n, a) => document.querySelector(`[data-node=${n}] [data-action=${a}]`).click(), node, action);
  }

  nodeIs(node, state) {
    return this.until(`node ${node} is ${state}`, (n, s) => document.querySelector(`[data-node=${n}]`)?.dataset.state === s, node, state);
  }

  // onNode waits until the page knows on which node it is, but not on one of
  // those, and returns its name.
  async onNode(...but) {
    const mine = (not) => {
      const [li, more] = document.querySelectorAll(".node.mine");
      return li && !more && !not.includes(li.dataset.node) && li.dataset.node;
    };
    await this.until(`on a node but ${but}`, mine, but);
    return (await this.page.evaluate(mine, but)) || this.onNode(...but); // it may have gone on
  }

  // reconnected waits for one more connection than there were.
  reconnected(connections) {
    return this.until("reconnected", (n) => Number(document.querySelector("#connections").textContent) > n, connections);
  }

  counters() {
    return this.page.$$eval("#counters dd", (all) => Object.fromEntries(all.map((dd) => [dd.id, Number(dd.textContent)])));
  }

  // more waits for so many more events.
  async more(n) {
    const { events } = await this.counters();
    await this.until(`${n} more events`, (want) => Number(document.querySelector("#events").textContent) >= want, events + n);
  }
}
