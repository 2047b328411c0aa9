import { publish, wanted } from "./actions.js";
import { final, PushError, sleep } from "./http.js";
import { since } from "./line.js";
import type { Push } from "./push.js";
import type { Post } from "./types.js";

const FULL = 1000; // events that wait
const KNOWN = 290_000; // ms for which the server surely knows an idempotency key
const LOOK = 4000; // ms: how often we look whether an event has waited too long

const TOO_BIG = 1009; // the close code

/**
 * Sends one event after the other, in order. What failed for now is sent again
 * with its key, so that it is published once, until the server may have
 * forgotten the key.
 *
 * @internal
 */
export const outbox = (p: Push) => {
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  const pause = (ms: number) => sleep(ms, (wake) => (p._flush = wake));

  // deliver publishes until there is an answer.
  const deliver = async (post: Post): Promise<{ id: string }> => {
    for (let sent = 0; ;) {
      if (p.readyState > 1) throw new PushError("publish: closed");
      if (sent && since(sent) > KNOWN) throw new PushError("publish: no answer");
      if (!p._line && wanted(p)[0]) await pause(LOOK);
      else {
        sent ||= Date.now();
        try {
          return await publish(p, post);
        } catch (e: any) {
          if (final(e) || e.status === TOO_BIG) throw e;
          await pause(e.retry ?? Math.random() * LOOK);
        }
      }
    }
  };

  return async (post: Post): Promise<{ id: string }> => {
    if (waiting >= FULL) throw new PushError("publish: too many wait");
    waiting++;
    const answer = last.then(() => deliver(post));
    const done = () => waiting--;
    last = answer.then(done, done);
    return answer;
  };
};
