import type { Options } from "./types.js";

/** How requests show who asks. @internal */
export interface Asker {
  /** The URL of the mount. */
  readonly _base: string;
  readonly _options: Pick<Options, "token" | "withCredentials">;
  /** The server did not like the last token. */
  _fresh?: boolean;
  /** The last token. */
  _bearer?: string | undefined;
}

/** What went wrong. */
export class PushError extends Error {
  /** The HTTP status, or the close code of the WebSocket; 0 if the network failed. */
  declare readonly status: number;
  /** The topic that was refused; the others are read on. */
  declare readonly topic?: string;
  /** ms to stay away, if the server said so. */
  declare readonly retry?: number;
  /** A proxy or a portal on the way said it, not our server. @internal */
  declare readonly _foreign?: boolean;

  constructor(message: string, status = 0, retry?: number, _foreign?: boolean) {
    super(message);
    Object.assign(this, { name: "PushError", status, retry, _foreign });
  }
}

/** Whether trying the same again cannot help. @internal */
export const final = ({ status }: PushError): boolean =>
  /^(4(?!0[89]|2[59])..|501|3003)$/.test(status as any);

export const LONGEST = 600_000; // ms that a server can ask us to stay away
export const MOST = 1 << 24; // characters that we keep of one event or page

/** Bounds what a server says. setTimeout runs at once above 2^31. */
export const bounded = (ms: any): number | undefined => (ms >= 0 ? Math.min(ms, LONGEST) : undefined);

const fault = async (res: Response): Promise<PushError> => {
  const wait = res.headers.get("retry-after") as string;
  const ours = res.headers.get("content-type") === "application/problem+json";
  const { title, detail } = ours ? await res.json().catch(() => 0) : {};
  return new PushError(
    detail ?? title ?? "HTTP " + res.status,
    res.status,
    bounded(+wait * 1000 || Date.parse(wait) - Date.now()),
    !ours,
  );
};

/**
 * Fetches with the asker's credentials. An answer that is not 2xx is thrown as
 * a PushError; after a 401 the token is asked for once more.
 *
 * @internal
 */
export const ask = async (asker: Asker, url: string, init: RequestInit, fresh = !!asker._fresh): Promise<Response> => {
  const { token, withCredentials } = asker._options;
  const bearer = (asker._bearer = await token?.(fresh));
  const res = await fetch(url, {
    cache: "no-store",
    ...(withCredentials && { credentials: "include" }),
    ...init,
    headers: { ...(init.headers as {}), ...(bearer && { Authorization: "Bearer " + bearer }) },
  });
  if (res.ok) return res;
  if (res.status === 401 && token && !fresh) return ask(asker, url, init, true);
  throw await fault(res);
};

/** Reads a body of a media type as text, as it comes. on returns what it keeps. @internal */
export const read = async (line: { _alive(): void }, res: Response, type: string, on: (text: string) => string): Promise<void> => {
  const got = res.headers.get("content-type");
  if (!got?.startsWith(type)) throw new PushError(`${got} came, not ${type}`);
  const reader = res.body!.pipeThrough(new TextDecoderStream() as any as TransformStream<Uint8Array, string>).getReader();
  for (let chunk; !(chunk = await reader.read()).done;) {
    line._alive();
    if (on(chunk.value).length > MOST) throw "it does not end";
  }
};

/** An end that is no failure: connect again at once. @internal */
export const AGAIN = new PushError("");

/** Posts JSON. @internal */
export const post = async (asker: Asker, path: string, body: object, signal: AbortSignal): Promise<any> =>
  (
    await ask(asker, asker._base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    })
  ).json();

/** Waits so many ms, or until what it gives away is called. @internal */
export const sleep = (ms: number, waker?: (wake: () => void) => void): Promise<void> =>
  new Promise((go) => {
    const timer = setTimeout(go, ms);
    waker?.(() => {
      clearTimeout(timer);
      go();
    });
  });
