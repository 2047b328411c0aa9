/** What went wrong. */
export declare class PushError extends Error {
    /** The HTTP status, or the close code of the WebSocket; 0 if the network failed. */
    readonly status: number;
    /** The topic that was refused; the others are read on. */
    readonly topic?: string;
    /** ms to stay away, if the server said so. */
    readonly retry?: number;
    constructor(message: string, status?: number, retry?: number, _foreign?: boolean);
}
export declare const LONGEST = 600000;
export declare const MOST: number;
/** Bounds what a server says. setTimeout runs at once above 2^31. */
export declare const bounded: (ms: any) => number | undefined;
