import { sync } from "./actions.js";
import { run, stop, wake } from "./core.js";
import { PushError } from "./http.js";
import type { Line } from "./line.js";
import { outbox } from "./outbox.js";
import { checked, random } from "./topics.js";
import type { transports } from "./transports.js";
import type { Envelope, Frame, Options, PublishOptions, PushEventMap } from "./types.js";

/** ms until a better transport is tried, then doubling. @internal */
export const BETTER_AFTER = 12_000;
const UNREAD = 10_000; // events that wait for a for await
const HEARD = ["message", "close"]; // by a for await

/**
 * A Push reads topics of one mount and publishes to it, over whatever transport
 * works. It is an EventTarget for what happens to itself; `on` and `for await`
 * have the events of the log. `connect` makes it.
 */
export class Push<Events extends Record<string, any> = Record<string, any>> extends EventTarget {
  /** 0 connecting, 1 open, 2 closed, as an EventSource has it. */
  readyState: 0 | 1 | 2 = 0;
  /** What it reads over now: "websocket", "sse", "long-poll", "poll", "tab"; "" if nothing. */
  transport = "";
  /** Whether the stream went on where the last one ended, with no gap since. */
  recovered = false;
  /** The position in the log; "" before the first open. */
  cursor: string;

  declare onopen?: ((e: PushEventMap["open"]) => void) | null;
  declare onmessage?: ((e: PushEventMap["message"]) => void) | null;
  declare ongap?: ((e: PushEventMap["gap"]) => void) | null;
  declare onerror?: ((e: PushEventMap["error"]) => void) | null;
  declare onclose?: ((e: PushEventMap["close"]) => void) | null;

  /** ms: the longest pause after the first failure. @internal */ _retry = 1000;
  /** @internal */ declare _fresh?: boolean;
  /** @internal */ declare _bearer?: string;
  /** @internal */ declare _noTickets?: boolean;
  /** The one that is read. @internal */ declare _line: Line | undefined;
  /** The data of the last push.open. @internal */ declare _hello?: any;
  /** Whoever waits for the answer to a frame. @internal */ _replies = new Map<string, (data: any, why?: PushError) => void>();
  /** How often each topic was asked for. @internal */ _own = new Map<string, number>();
  /** What a tab reads over that shares another tab's connection. @internal */ declare _ways: typeof transports | undefined;
  /** What other tabs want to read. @internal */ _others: string[] = [];
  /** Whether a message is nothing new for this tab. @internal */ declare _skip?: (frame: Frame) => boolean;
  /** The events by their names. @internal */ _named = new EventTarget();
  /** @internal */ _post = outbox(this as Push);
  /** Ends a pause of the outbox. @internal */ declare _flush?: () => void;
  /** The transport to begin with. @internal */ declare _first?: string;
  /** In a row. @internal */ _fails = 0;
  /** ms until a better transport is tried. @internal */ _better = BETTER_AFTER;
  /** How often one was. @internal */ _tried = 0;
  /** Ends a pause. @internal */ declare _kick?: () => void;
  /** Ends the time without topics. @internal */ declare _idle?: () => void;
  /** Until when the server wants us away. @internal */ declare _until: number;
  /** Ends a race. @internal */ declare _stopRace?: () => void;
  /** When the last race began. @internal */ declare _raced: number;
  /** @internal */ declare _syncing?: boolean;
  /** @internal */ _ends = new AbortController();

  /** @internal */ declare _base: string;
  /** @internal */ declare _options: Options;

  /** @internal */
  constructor(base: string, options: Options) {
    super();
    this._base = base;
    this._options = options;
    this.cursor = options.after ?? "";
    for (const topic of checked(options.topics ?? [])) this._own.set(topic, 1);
    for (const type of ["open", "message", "gap", "error", "close"]) this.addEventListener(type, (e) => (this as any)["on" + type]?.(e));
    for (const type of ["online", "pageshow", "visibilitychange"]) {
      globalThis.addEventListener?.(type, () => wake(this as Push, type), { signal: this._ends.signal });
    }
    run(this as Push);
  }

  /** Hears the events of a name, on all topics. Returns what stops it. */
  on<Name extends keyof Events & string>(name: Name, listener: (data: Events[Name], event: Envelope<Events[Name]>) => void): () => void {
    if (!listener?.call) throw TypeError("on: give a function");
    const heard = (e: any) => listener(e.detail.data, e.detail);
    this._named.addEventListener(name, heard);
    return () => this._named.removeEventListener(name, heard);
  }

  /** Reads more topics or patterns, from now on. Returns what stops it. */
  subscribe(topics: string | readonly string[]): () => void {
    const list = [...checked(topics)];
    for (const t of list) this._own.set(t, (this._own.get(t) ?? 0) + 1);
    sync(this as Push);
    return () => this.unsubscribe(list.splice(0));
  }

  /** Undoes one subscribe of each of these topics. */
  unsubscribe(topics: string | readonly string[]): void {
    for (const t of checked(topics)) {
      const n = this._own.get(t)! - 1;
      n > 0 ? this._own.set(t, n) : this._own.delete(t);
    }
    sync(this as Push);
  }

  /**
   * Publishes once, whatever happens on the way; offline it waits. data is
   * anything that JSON can say; or bytes, which are yours again once it is done;
   * or, with options.type, text. Rejects with a PushError if the server refuses
   * it, or if nobody answered for five minutes.
   */
  publish(topic: string, event: string, data: unknown = null, options: PublishOptions = {}): Promise<{ id: string }> {
    checked(topic);
    const type = options.type ?? (data instanceof Uint8Array && "application/octet-stream");
    const body = type ? (data as string) : JSON.stringify(data);
    if (!event?.at || !body?.at || /[\0\r\n]/.test([event, options.key, type] + ""))
      throw TypeError("publish: give a name, and JSON or a Uint8Array");
    return this._post({ key: options.key, type, topic, event, body, idem: random() });
  }

  /** Ends it for good. */
  close(): void {
    stop(this as Push);
  }

  /** The events from now on, in order. Ends with `close()`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Envelope<Events[keyof Events]>, void> {
    const waiting: Envelope[] = [];
    let wake: (() => void) | undefined;
    const heard = (e: any) => {
      waiting[UNREAD] || waiting.push(e.detail);
      wake?.();
    };
    for (const type of HEARD) this.addEventListener(type, heard);
    try {
      while (waiting[0] || this.readyState < 2) {
        if (waiting[UNREAD]) throw new PushError("for await: too slow, use on()");
        if (waiting[0]) yield waiting.shift()!;
        else await new Promise<void>((go) => (wake = go));
      }
    } finally {
      for (const type of HEARD) this.removeEventListener(type, heard);
    }
  }
}

export interface Push<Events> {
  addEventListener<Type extends keyof PushEventMap>(
    type: Type,
    listener: ((event: PushEventMap[Type]) => void) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
