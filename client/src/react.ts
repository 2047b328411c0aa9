import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Push } from "./push.js";
import type { Envelope, Options } from "./types.js";
// @ts-expect-error: it is beside this file once both are built
import { connect as make } from "./client.js";

const connect: typeof import("./connect.js").connect = make;

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
export const usePush = <Events extends Record<string, any> = Record<string, any>>(
  url: string,
  options: Options,
  listeners: { [Name in keyof Events]?: (data: Events[Name], event: Envelope<Events[Name]>) => void } = {},
): PushState<Events> => {
  const newest = useRef({ listeners, options });
  newest.current = { listeners, options };
  const [push, set] = useState<Push<Events> | null>(null);

  useEffect(() => {
    const { token } = newest.current.options;
    const made: Push<Events> = connect(url, {
      ...options,
      ...(token && { token: (fresh: boolean) => newest.current.options.token!(fresh) }),
    });
    made.addEventListener("message", ({ detail }) => {
      const { listeners } = newest.current;
      if (Object.hasOwn(listeners, detail.event)) listeners[detail.event]?.(detail.data, detail as any);
    });
    set(made);
    return () => made.close();
  }, [url, JSON.stringify(options)]);

  const heard = (tell: () => void) => {
    const stop = new AbortController();
    for (const type of ["open", "error", "close"] as const) push?.addEventListener(type, tell, { signal: stop.signal });
    return () => stop.abort();
  };
  const state = useSyncExternalStore(
    heard,
    () => (push ? `${push.readyState} ${push.transport}` : "0 "),
    () => "0 ",
  );
  return { push, readyState: +state[0]! as 0 | 1 | 2, transport: state.slice(2) };
};
