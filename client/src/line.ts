import { PushError } from "./http.js";
import type { Frame } from "./types.js";

/**
 * A Line is one attempt to read the log over one transport, from its cursor on.
 * It is over once: when its transport ends, when it is silent for too long, or
 * when somebody ends it. After that it says nothing any more.
 *
 * @internal
 */
export interface Line {
  readonly _name: string;
  readonly _signal: AbortSignal;
  readonly _after: string;
  _topics: readonly string[];
  _cid?: string;
  /** ms of silence after which the line is dead. */
  _limit: number;
  _heard: number;
  _started: number;
  /** Bytes have come. */
  _alive(): void;
  /** A message has come. */
  _on(frame: Frame): void;
  /** Changes the topics; rejects where that is not possible. */
  _change?: (action: string, topics: string[]) => Promise<unknown>;
  /** Sends an action and waits for its reply, on transports that can. */
  _send?: (action: object) => Promise<any>;
  _end(why: PushError): void;
}

/** Reads until the signal aborts or the server ends it; throws if that is a failure. @internal */
export type Transport = (line: Line) => Promise<unknown>;

export const HELLO_WITHIN = 10_000; // ms until push.open

/** How far two readings of the clock are apart: a clock that was set back is no reason to wait for it. */
export const since = (then: number): number => Math.abs(Date.now() - then);

/** Opens a line. ended is called once. @internal */
export const open = (
  name: string,
  transport: Transport,
  after: string,
  topics: readonly string[],
  on: (line: Line, frame: Frame) => void,
  ended: (line: Line, why: PushError) => void,
): Line => {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout>;
  // Timers of hidden tabs are late and those of sleeping machines stand still:
  // the clock says how long it was silent, the timer only looks at it.
  const listen = () => {
    clearTimeout(timer);
    const left = line._limit - since(line._heard);
    if (left > 0) timer = setTimeout(listen, left);
    else line._end(new PushError(name + ": silent"));
  };
  const line: Line = {
    _name: name,
    _signal: stop.signal,
    _after: after,
    _topics: topics,
    _limit: HELLO_WITHIN,
    _heard: Date.now(),
    _started: Date.now(),
    _alive: () => void (line._heard = Date.now()),
    _on: (frame) => {
      if (stop.signal.aborted) return;
      line._alive();
      on(line, frame);
      if (frame.event === "push.open") listen();
    },
    _end: (why) => {
      if (stop.signal.aborted) return;
      clearTimeout(timer);
      stop.abort(why);
      ended(line, why);
    },
  };
  listen();
  transport(line).then(
    () => line._end(new PushError(name + ": over")),
    (e) => line._end(e instanceof PushError ? e : new PushError(`${name}: ${e?.message ?? e}`)),
  );
  return line;
};

/**
 * Starts transports one after the other, each when the one before it has failed
 * or has not said push.open within hedge ms. Returns what ends the race.
 *
 * @internal
 */
export const race = (
  names: readonly string[],
  hedge: number,
  start: (name: string, failed: (why: PushError) => void) => Line,
  lost: (why: PushError) => void,
): ((why: PushError, but?: Line) => void) => {
  const lines: Line[] = [];
  let left = names.length;
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const finish = (why: PushError, but?: Line) => {
    over = true;
    clearTimeout(timer);
    for (const line of lines) if (line !== but) line._end(why);
  };
  const more = () => {
    clearTimeout(timer);
    const name = names[lines.length];
    if (!name) return;
    timer = setTimeout(more, hedge);
    const failed = (why: PushError) => {
      if (over) return;
      // A server that says when to come back is asked by no other way till then.
      if (--left && why.retry === undefined) return more();
      finish(why);
      lost(why);
    };
    lines.push(start(name, failed));
  };
  more();
  return finish;
};
