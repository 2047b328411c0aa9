// A TCP proxy that can lose the network between a browser and the wall.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class FaultProxy {
  #server = createServer((client) => this.#serve(client));
  ended = 0; // connections that flake has ended
  #pairs = new Set();
  #mode = "pass"; // "cut" or "stall" for what connects now; "lose" for all
  #budget = () => Infinity; // bytes of answers until a connection ends

  constructor(target) {
    this.target = target;
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  #serve(client) {
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
    if (!pair.stalled) return pair.server.write(bytes);
    if (this.#mode !== "stall") pair.client.resetAndDestroy(); // as a router does that knows nothing of it
  }

  #answer(pair, bytes) {
    if (this.#mode === "lose") return pair.client.resetAndDestroy();
    pair.left = (pair.left ?? this.#budget()) - bytes.length; // browsers open spare connections, too
    if (pair.left > 0) pair.client.write(bytes);
    else this.#flake(pair, bytes.subarray(0, bytes.length + pair.left));
  }

  #flake(pair, last) {
    this.ended++;
    pair.stalled = true;
    pair.client.end(last, () => pair.client.destroy());
  }

  // cut resets every connection, now and until pass.
  cut() {
    this.#mode = "cut";
    this.#reset();
  }

  // stall swallows every byte. Connections that there are, and new ones until
  // pass, stay open but never work again; once they pass, they are reset when
  // the browser uses them.
  stall() {
    this.#mode = "stall";
    for (const pair of this.#pairs) pair.stalled = true;
  }

  // loseAnswers lets requests through and resets the connection instead of
  // passing on what the server says, until pass.
  loseAnswers() {
    this.#mode = "lose";
  }

  // flake ends each connection after as many bytes of answers as next says,
  // wherever in an event that is.
  flake(next) {
    this.#budget = next;
    this.#reset();
  }

  // pass is a good network again, for new connections.
  pass() {
    this.#mode = "pass";
    this.#budget = () => Infinity;
  }

  #reset() {
    for (const { client } of this.#pairs) client.resetAndDestroy();
  }

  close() {
    this.#reset();
    this.#server.close();
  }
}
