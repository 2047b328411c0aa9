import type { Envelope, PublishOptions, PushEventMap } from "./types.js";
/**
 * A Push reads topics of one mount and publishes to it, over whatever transport
 * works. It is an EventTarget for what happens to itself; `on` and `for await`
 * have the events of the log. `connect` makes it.
 */
export declare class Push<Events extends Record<string, any> = Record<string, any>> extends EventTarget {
    /** 0 connecting, 1 open, 2 closed, as an EventSource has it. */
    readyState: 0 | 1 | 2;
    /** What it reads over now: "websocket", "sse", "long-poll", "poll", "tab"; "" if nothing. */
    transport: string;
    /** Whether the stream went on where the last one ended, with no gap since. */
    recovered: boolean;
    /** The position in the log; "" before the first open. */
    cursor: string;
    onopen?: ((e: PushEventMap["open"]) => void) | null;
    onmessage?: ((e: PushEventMap["message"]) => void) | null;
    ongap?: ((e: PushEventMap["gap"]) => void) | null;
    onerror?: ((e: PushEventMap["error"]) => void) | null;
    onclose?: ((e: PushEventMap["close"]) => void) | null;
    /** Hears the events of a name, on all topics. Returns what stops it. */
    on<Name extends keyof Events & string>(name: Name, listener: (data: Events[Name], event: Envelope<Events[Name]>) => void): () => void;
    /** Reads more topics or patterns, from now on. Returns what stops it. */
    subscribe(topics: string | readonly string[]): () => void;
    /** Undoes one subscribe of each of these topics. */
    unsubscribe(topics: string | readonly string[]): void;
    /**
     * Publishes once, whatever happens on the way; offline it waits. data is
     * anything that JSON can say; or bytes, which are yours again once it is done;
     * or, with options.type, text. Rejects with a PushError if the server refuses
     * it, or if nobody answered for five minutes.
     */
    publish(topic: string, event: string, data?: unknown, options?: PublishOptions): Promise<{
        id: string;
    }>;
    /** Ends it for good. */
    close(): void;
    /** The events from now on, in order. Ends with `close()`. */
    [Symbol.asyncIterator](): AsyncGenerator<Envelope<Events[keyof Events]>, void>;
}
export interface Push<Events> {
    addEventListener<Type extends keyof PushEventMap>(type: Type, listener: ((event: PushEventMap[Type]) => void) | null, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
