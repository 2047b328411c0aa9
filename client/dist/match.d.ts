/** Whether a pattern matches a topic, as docs/PROTOCOL.md says. */
export declare const match: (pattern: string, topic: string) => boolean;
