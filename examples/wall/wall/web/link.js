// A Link is the page's line to the server: the client of the mount, over the
// transports that were chosen. Another choice is another client that goes on
// from the cursor.

import { connect } from "/push/client.js";

export const TOPICS = ["wall", "wall/visitors"];

export class Link {
  #push;
  #posting = new Set(); // posts that the server has not answered yet

  // on.event(envelope, transport), on.gap(gap), on.open(transport),
  // on.lost(problem), which is undefined if it was not the network
  constructor(url, cursor, on, topics = TOPICS) {
    Object.assign(this, { url, cursor, on, topics });
  }

  // use reads over one transport, or with "auto" over the best that works.
  use(choice) {
    this.#retire();
    const push = connect(this.url, { topics: this.topics, after: this.cursor, ...(choice !== "auto" && { transports: [choice] }) });
    push.onmessage = (e) => this.on.event(e.detail, push.transport);
    push.ongap = (e) => this.on.gap(e.data);
    push.onopen = () => this.on.open(push.transport);
    push.onerror = (e) => this.on.lost(e.data);
    this.#push = push;
  }

  // retire ends a client, once what it has to publish is answered.
  async #retire() {
    const old = this.#push;
    if (!old) return;
    this.cursor = old.cursor || this.cursor;
    old.onmessage = old.ongap = old.onopen = old.onerror = null;
    old.unsubscribe(this.topics);
    this.on.lost();
    await Promise.allSettled(this.#posting);
    old.close();
  }

  // post publishes once, however often the network fails meanwhile.
  async post(text) {
    const answer = this.#push.publish("wall", "post", { text });
    this.#posting.add(answer);
    try {
      await answer;
    } finally {
      this.#posting.delete(answer);
    }
  }
}
