export declare const HELLO_WITHIN = 10000;
/** How far two readings of the clock are apart: a clock that was set back is no reason to wait for it. */
export declare const since: (then: number) => number;
