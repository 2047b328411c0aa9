/** What an event stream says. */
export interface Sink {
    event(type: string, data: string, id: string): void;
    retry(ms: number): void;
}
/**
 * Returns a parser of text/event-stream by the WHATWG rules ("9.2.6 Interpreting
 * an event stream"), to be fed with text in pieces of any size. It throws when
 * an event or a line gets longer than most characters.
 */
export declare const parser: (sink: Sink, id: string, most: number) => ((text: string) => void);
