import { Push } from "./push.js";
import type { Options } from "./types.js";
export type { Envelope, Gap, Options, PublishOptions, PushEventMap, TransportName } from "./types.js";
export { PushError } from "./http.js";
export { Push };
/**
 * Reads topics of the mount at url, e.g. "/push", and publishes to it. Wrong
 * arguments throw at once; everything else is an event, and the Push goes on.
 */
export declare const connect: <Events extends Record<string, any> = Record<string, any>>(url: string | URL, options?: Options) => Push<Events>;
