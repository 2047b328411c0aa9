import { Push } from "./push.js";
import { transports } from "./transports.js";
import type { Options } from "./types.js";

export type { Envelope, Gap, Options, PublishOptions, PushEventMap, TransportName } from "./types.js";
export { PushError } from "./http.js";
export { Push };

/**
 * Reads topics of the mount at url, e.g. "/push", and publishes to it. Wrong
 * arguments throw at once; everything else is an event, and the Push goes on.
 */
export const connect = <Events extends Record<string, any> = Record<string, any>>(
  url: string | URL,
  options: Options = {},
): Push<Events> => {
  const { token, transports: names } = options;
  let base;
  try {
    base = new URL(url, globalThis.location?.href).href;
  } catch {}
  if (!/^https?:[^?#]+$/.test(base!)) throw TypeError(`connect(${url}): give a path or an https: URL`);
  if (token && !token.call) throw TypeError("token: give a function");
  if (names && (!names[0] || names.some((name) => !transports[name])))
    throw TypeError("transports: choose from " + Object.keys(transports));
  return new Push<Events>(base!.replace(/\/*$/, ""), options);
};
