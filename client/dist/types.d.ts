import type { PushError } from "./http.js";
/** An event of the log. */
export interface Envelope<Data = any> {
    /** The cursor: pass it as `after` to go on from here. */
    id: string;
    topic: string;
    /** The event's name; "message" if it has none. */
    event: string;
    /** The media type. */
    type: string;
    /** When it was published, RFC 3339. */
    time: string;
    /** JSON as published, a string for text, a Uint8Array for anything else. */
    data: Data;
}
/** What the client can read over, best first. "tab" is another tab's connection. */
export type TransportName = "websocket" | "sse" | "long-poll" | "poll";
/** A hole: events after `from` and up to `to` may be lost. Fetch what you show anew. */
export interface Gap {
    from: string;
    to: string;
    reason: "trimmed" | "lagged" | "epoch";
    topics: string[];
}
export interface Options {
    /** Topics and patterns (`orders/*`, `chat/**`) to read. More with `subscribe`. */
    topics?: readonly string[];
    /**
     * Returns the bearer token. Asked at each attempt; with `fresh` true when the
     * server has refused the last one or is about to, so that a cache is passed by.
     */
    token?: (fresh: boolean) => string | Promise<string>;
    /** The cursor to go on from, e.g. `last` of a page of history. Default: what comes next. */
    after?: string;
    /** Which transports to use, best first. Default: all. */
    transports?: readonly TransportName[];
    /** One connection for all tabs of this origin. They must be the same person's. */
    share?: boolean;
    /** Send cookies to another origin, too. */
    withCredentials?: boolean;
}
export interface PublishOptions {
    /** The conflation key. */
    key?: string | undefined;
    /** The media type. Default application/json, of bytes application/octet-stream. */
    type?: string | undefined;
}
/** The events of a Push itself. `data` says more. */
export interface PushEventMap {
    /** A stream is open. `data.topics`, `data.connection`. */
    open: MessageEvent<{
        connection: string;
        topics: string[];
        heartbeat: number;
    }>;
    /** Any event of the log; `detail` is its envelope, `lastEventId` its cursor. */
    message: MessageEvent<any> & {
        detail: Envelope;
    };
    /** Something is lost. */
    gap: MessageEvent<Gap>;
    /** An attempt failed or a topic was refused; the client goes on unless `close` follows. */
    error: MessageEvent<PushError>;
    /** It is over: by `close()`, without data, or for the reason in `data`. */
    close: MessageEvent<PushError | null>;
}
