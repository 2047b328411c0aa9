/** Checks what a caller gives as topics. */
export declare const checked: (topics: unknown) => string[];
/** 128 random bits. */
export declare const random: () => string;
