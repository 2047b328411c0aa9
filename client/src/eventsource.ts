import { bounded } from "./http.js";
import { parser } from "./sse.js";
import { utf8 } from "./topics.js";

export interface EventSourceOptions extends EventSourceInit {
  /** Headers for each request. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** Returns the bearer token; asked at each attempt, with `fresh` true after a 401. */
  token?: (fresh: boolean) => string | Promise<string>;
  /** The cursor to go on from. */
  lastEventId?: string;
}

const RETRY = 2000; // ms
const MOST = 1 << 24; // characters of one event

type Handler<E> = ((this: EventSource, event: E) => void) | null;

/**
 * An EventSource by the WHATWG rules (HTML, "Server-sent events"), for any
 * server, which can send headers. It can replace the browser's own.
 */
class PushEventSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;

  readonly url: string;
  readonly withCredentials: boolean;
  readyState: 0 | 1 | 2 = 0;

  #options: EventSourceOptions;
  #handlers: Record<string, unknown> = {};
  #last: string;
  #retry = RETRY;
  #stop = new AbortController();

  constructor(url: string | URL, options: EventSourceOptions = {}) {
    super();
    try {
      this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href; // a worker has no document
    } catch {
      throw new DOMException(`EventSource: ${url} is no URL; outside a page give the whole one`, "SyntaxError");
    }
    const { token, headers } = options;
    if (token && typeof token !== "function") throw new TypeError("token: give a function");
    if (typeof headers === "object") new Headers(headers); // throws if they are none
    this.withCredentials = !!options.withCredentials;
    this.#options = options;
    this.#last = options.lastEventId ?? "";
    for (const type of ["open", "message", "error"]) {
      Object.defineProperty(this, "on" + type, {
        enumerable: true,
        get: () => this.#handlers[type] ?? null,
        set: (handler: unknown) => {
          if (!(type in this.#handlers)) this.addEventListener(type, (e) => (this.#handlers[type] as any)?.call(this, e));
          this.#handlers[type] = typeof handler === "function" ? handler : null;
        },
      });
    }
    queueMicrotask(() => this.#run());
  }

  close(): void {
    this.readyState = 2;
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    for (let fresh = false; this.readyState < 2;) {
      try {
        const res = await this.#fetch(fresh);
        fresh = res.status === 401 && !!this.#options.token && !fresh;
        if (fresh) continue;
        if (res.status !== 200 || !/^text\/event-stream *(;|$)/i.test(res.headers.get("content-type") ?? "")) {
          this.#stop.abort();
          return this.#fail();
        }
        await this.#read(res);
      } catch {}
      await this.#reestablish();
    }
  }

  async #fetch(fresh: boolean): Promise<Response> {
    const { headers, token } = this.#options;
    const bearer = await token?.(fresh);
    return fetch(this.url, {
      headers: {
        Accept: "text/event-stream",
        ...(typeof headers === "function" ? await headers() : headers),
        ...(bearer && { Authorization: "Bearer " + bearer }),
        ...(this.#last && { "Last-Event-ID": utf8(this.#last) }),
      },
      cache: "no-store",
      credentials: this.withCredentials ? "include" : "same-origin",
      signal: this.#stop.signal,
    });
  }

  async #read(res: Response): Promise<void> {
    if (this.readyState > 1) return;
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
    const { origin } = new URL(res.url);
    const feed = parser(
      {
        event: (type, data, id) => {
          if (this.readyState > 1) return;
          this.#last = id;
          if (type) this.dispatchEvent(new MessageEvent(type, { data, origin, lastEventId: id }));
        },
        retry: (ms) => (this.#retry = bounded(ms)!),
      },
      this.#last,
      MOST,
    );
    const reader = res.body!.pipeThrough(new TextDecoderStream() as any as TransformStream<Uint8Array, string>).getReader();
    try {
      for (let chunk; this.readyState < 2 && !(chunk = await reader.read()).done;) feed(chunk.value);
    } finally {
      reader.cancel().catch(() => {}); // or an event that does not end keeps its connection
    }
  }

  // reestablish waits for the reconnection time, and for longer if that is 0:
  // a server cannot make us spin.
  async #reestablish(): Promise<void> {
    if (this.readyState > 1) return;
    this.readyState = 0;
    this.dispatchEvent(new Event("error"));
    if (this.readyState === 0) await new Promise((go) => setTimeout(go, Math.max(this.#retry, 100)));
  }

  #fail(): void {
    if (this.readyState > 1) return;
    this.readyState = 2;
    this.dispatchEvent(new Event("error"));
  }
}

interface PushEventSource {
  onopen: Handler<Event>;
  onmessage: Handler<MessageEvent>;
  onerror: Handler<Event>;
  addEventListener: EventSource["addEventListener"];
  removeEventListener: EventSource["removeEventListener"];
}

export { PushEventSource as EventSource };
