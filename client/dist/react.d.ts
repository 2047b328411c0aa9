import type { Push } from "./push.js";
import type { Envelope, Options } from "./types.js";
/** What a component sees of a Push. */
export interface PushState<Events extends Record<string, any> = Record<string, any>> {
    /** null before the component is there, as on a server. */
    push: Push<Events> | null;
    readyState: 0 | 1 | 2;
    /** What is read over; "" if nothing. */
    transport: string;
}
/**
 * Reads topics for as long as the component is there, and hands each event to
 * the listeners, of which the newest are used. The component is rendered again
 * when the connection changes, not with every event. Another url, or other
 * options but for functions, connect anew.
 */
export declare const usePush: <Events extends Record<string, any> = Record<string, any>>(url: string, options: Options, listeners?: { [Name in keyof Events]?: (data: Events[Name], event: Envelope<Events[Name]>) => void; }) => PushState<Events>;
