// A Link is the page's line to the server: it has a cursor and one transport
// at a time, and it goes on from the cursor whatever happens.

import { eventSource, longPoll, webSocket } from "./transports.js";

const TRANSPORTS = { sse: eventSource, ws: webSocket, poll: longPoll };

const OPENS_WITHIN = 5000; // ms; a stream says push.open at once
const COMES_BACK_WITHIN = 15_000; // ms; an EventSource waits as long as the server's retry says

export class Link {
  #close = () => {}; // what ends the present connection
  #failures = 0; // in a row
  #retry = 0; // ms; when the server said to come back
  #silence = OPENS_WITHIN; // ms without a word after which a connection is dead
  #heard = 0; // when we were last told something
  #timer = 0; // until a reopening, or until the silence is too long
  #live = false;
  #opening = false; // a connection was asked for, and nothing came of it yet

  // on.event(envelope, transport), on.state("live" | "reconnecting" | "offline"), on.stuck(transport)
  constructor(url, cursor, on) {
    Object.assign(this, { url, cursor, on });
    // Firefox closes an EventSource for good while the machine is offline.
    addEventListener("online", () => this.#wake());
    addEventListener("pageshow", (e) => e.persisted && this.open());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
    addEventListener("offline", () => this.#down());
  }

  // use switches to another transport; the cursor stays.
  use(transport) {
    this.transport = transport;
    this.#failures = 0;
    this.open();
  }

  // open connects, or connects again, right after the last event seen.
  open() {
    this.#close();
    this.#down();
    this.#opening = true;
    this.#listen(OPENS_WITHIN);
    this.#close = TRANSPORTS[this.transport](this.url, this.cursor, {
      event: (envelope) => this.#event(envelope),
      lost: (closed) => this.#lost(closed),
    });
  }

  #event(envelope) {
    this.#opening = false;
    if (envelope.id) this.cursor = envelope.id;
    if (envelope.event === "push.open") this.#opened(envelope.data.heartbeat);
    if (envelope.event === "push.close") this.#retry = envelope.data.retry ?? 0;
    else this.#up();
    this.#listen(this.#silence);
    this.on.event(envelope, this.transport);
  }

  #opened(heartbeat) {
    this.#failures = 0;
    this.#retry = 0;
    this.#silence = heartbeat * 1.4; // 35 s for the usual 25
  }

  // listen starts to wait for the next word, at most so many milliseconds.
  #listen(patience) {
    this.#heard = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#silent(), patience);
  }

  #silent() {
    if (this.#opening) this.on.stuck(this.transport);
    this.#lost(true);
  }

  #lost(closed) {
    this.#opening = false;
    this.#down();
    if (!closed) return this.#listen(COMES_BACK_WITHIN); // an EventSource tries again by itself
    this.#close();
    this.#close = () => {};
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#pause());
  }

  // pause is how long to stay away: what the server asked for, else longer with
  // every failure, and never the same for all visitors.
  #pause() {
    const pause = this.#retry || Math.min(500 * 2 ** this.#failures++, 15_000);
    this.#retry = 0;
    return pause * (1 + Math.random() / 2);
  }

  // wake looks at the line when there is reason to think that it changed.
  #wake() {
    if (!this.#live || Date.now() - this.#heard > this.#silence) this.open();
  }

  #up() {
    if (!this.#live) this.on.state("live");
    this.#live = true;
  }

  #down() {
    this.#live = false;
    this.on.state(navigator.onLine ? "reconnecting" : "offline");
  }
}
