export interface EventSourceOptions extends EventSourceInit {
    /** Headers for each request. */
    headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
    /** Returns the bearer token; asked at each attempt, with `fresh` true after a 401. */
    token?: (fresh: boolean) => string | Promise<string>;
    /** The cursor to go on from. */
    lastEventId?: string;
}
type Handler<E> = ((this: EventSource, event: E) => void) | null;
/**
 * An EventSource by the WHATWG rules (HTML, "Server-sent events"), for any
 * server, which can send headers. It can replace the browser's own.
 */
declare class PushEventSource extends EventTarget {
    #private;
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSED = 2;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSED = 2;
    readonly url: string;
    readonly withCredentials: boolean;
    readyState: 0 | 1 | 2;
    constructor(url: string | URL, options?: EventSourceOptions);
    close(): void;
}
interface PushEventSource {
    onopen: Handler<Event>;
    onmessage: Handler<MessageEvent>;
    onerror: Handler<Event>;
    addEventListener: EventSource["addEventListener"];
    removeEventListener: EventSource["removeEventListener"];
}
export { PushEventSource as EventSource };
