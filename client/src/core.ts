import { deliver, drop, renew, sync, wanted } from "./actions.js";
import { AGAIN, bounded, final, PushError, sleep } from "./http.js";
import { type Line, open, race, since } from "./line.js";
import { BETTER_AFTER, type Push } from "./push.js";
import { HEARTBEAT, page, transports } from "./transports.js";
import type { Envelope, Frame, PushEventMap } from "./types.js";

const PROVEN = 10_000; // ms; a transport that dies sooner is no good
const BETTER_AT_MOST = 600_000; // ms
const UNKNOWN = 1e9;

/** Tells what happens to a Push. @internal */
export const emit = (p: Push, type: keyof PushEventMap, data?: unknown, detail?: Envelope): void => {
  p.dispatchEvent(Object.assign(new MessageEvent(type, { data, lastEventId: p.cursor }), { detail }));
};

/** 8 round trips, as far as the page knows how long one takes. */
const hedge = (): number => {
  const files = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  const took = Math.min(...files.map((f) => f.responseStart - f.requestStart || UNKNOWN));
  return Math.min(Math.max(8 * (took % UNKNOWN || 0), 700), 2500);
};

const ways = (p: Push): readonly string[] => (!p._ways && p._options.transports) || Object.keys(p._ways ?? transports);

/** Opens a line beside the one that is read. */
const start = (p: Push, name: string, opened: (line: Line, frame: Frame) => void, ended: (line: Line, why: PushError) => void): Line =>
  open(
    name,
    (line) => (p._ways ?? transports)[name]!(p, line),
    p.cursor,
    wanted(p),
    (line, frame) => {
      if (line === p._line) hear(p, line, frame);
      else if (frame.event === "push.open") opened(line, frame);
      else line._end(closing(frame.data));
    },
    ended,
  );

/** The life of a Push: connect, read until that ends, pause, and again. @internal */
export const run = async (p: Push): Promise<void> => {
  if (p._options.share) (await import("./share.js").catch(() => undefined))?.share(p, again, drop, page);
  while (p.readyState < 2) {
    if (!wanted(p).length) {
      p.cursor = p._options.after ?? "";
      await new Promise<void>((go) => (p._idle = go));
      continue;
    }
    const why = await read(p);
    if (why === AGAIN || p.readyState > 1) continue;
    emit(p, "error", why);
    if (final(why) && !(why._foreign && p._hello)) {
      console.error(why);
      stop(p, why);
    } else await pause(p, why.retry);
  }
};

// read connects by what works first, and returns why that ended.
const read = (p: Push): Promise<PushError> =>
  new Promise((ended) => {
    const names = ways(p);
    const at = Math.max(0, names.indexOf(p._first!));
    p._raced = Date.now();
    const stopRace = race(
      [...names.slice(at), ...names.slice(0, at)],
      hedge(),
      (name, failed) =>
        start(
          p,
          name,
          (line, frame) => {
            p._line = line;
            stopRace(AGAIN, line);
            hello(p, line, frame);
          },
          (line, why) => (line === p._line ? ended(lost(p, line, why, names)) : failed(why)),
        ),
      (why) => {
        p._fails++;
        ended(why);
      },
    );
    p._stopRace = () => {
      stopRace(AGAIN);
      ended(AGAIN);
    };
  });

// hello: the first line that opens is the one; nothing else is listened to.
const hello = (p: Push, line: Line, { id, data }: Frame): void => {
  line._topics = [...data.topics]; // it throws if there are none, as trim does: no hello
  p.cursor = id!.trim();
  line._cid = data.connection;
  line._limit = (bounded(data.heartbeat) || HEARTBEAT) * 1.4;
  p.readyState = 1;
  p._first = p.transport = line._name;
  p.recovered = !!line._after;
  p._fresh = false;
  p._hello = data;
  if (line._send && p._options.token) renew(p, line, p._bearer); // first: a ticket is for reading these topics only
  seekBetter(p, line); // and who hears of it may end it
  emit(p, "open", data);
  sync(p);
  p._flush?.();
};

const lost = (p: Push, line: Line, why: PushError, names: readonly string[]): PushError => {
  p._line = undefined;
  p.transport = "";
  (p.readyState as number) &= 2; // closed stays closed
  p._replies.forEach((reply) => reply(0, why));
  p._replies.clear();
  if (why === AGAIN) return why;
  if (since(line._started) > PROVEN) {
    p._fails = 0;
    if (line._name === names[0]) p._better = BETTER_AFTER;
  } else if (why.retry === undefined) p._first = names[(names.indexOf(line._name) + 1) % names.length]!; // opened, then died
  p._fails++;
  p._fresh = why.status === 3000;
  return why;
};

const hear = (p: Push, line: Line, frame: Frame): void => {
  const { event, data, id } = frame;
  if (p._skip?.(frame)) return;
  p.cursor = id ?? p.cursor;
  if (event === "push.reply") {
    const { problem } = data;
    if (problem?.status === 501) {
      p._noTickets = true; // a ticket is all that a WebSocket could show here
      return line._end(AGAIN);
    }
    p._replies.get(frame.ref!)?.(data, problem && new PushError(problem.detail ?? problem.title, problem.status));
    p._replies.delete(frame.ref!);
  } else if (event === "push.gap") {
    p.recovered = false;
    emit(p, "gap", data);
  } else if (event === "push.subscriptions") {
    line._topics = [...data.topics];
    sync(p); // one that is not granted any more is asked for, refused, and told
  } else if (event === "push.expiring") renew(p, line);
  else if (event === "push.close") line._end(closing(data));
  else if (!event.startsWith("push.")) deliver(p, frame as Frame & Envelope);
};

const closing = ({ reason, code, retry }: any) => new PushError("closed: " + reason, code, bounded(retry));

// seekBetter tries a transport before the line's, now and then, beside it.
const seekBetter = (p: Push, line: Line): void => {
  const names = ways(p);
  const name = names[p._tried++ % names.indexOf(line._name)];
  if (!name) return;
  const timer = setTimeout(
    () => {
      p._better = Math.min(p._better * 2, BETTER_AT_MOST);
      const probe = start(
        p,
        name,
        () => {
          p._first = name;
          line._end(AGAIN); // and the probe with it
        },
        (_, why) => why === AGAIN || seekBetter(p, line),
      );
      line._signal.addEventListener("abort", () => probe._end(AGAIN));
    },
    p._better * (1 + Math.random() / 2),
  );
  line._signal.addEventListener("abort", () => clearTimeout(timer));
};

/** The page is back, or the network is another one. @internal */
export const wake = (p: Push, type: string): void => {
  const line = p._line;
  const online = type === "online";
  if (online) p._first = "";
  else if (globalThis.document?.hidden || (line ? since(line._heard) < line._limit / 1.4 : since(p._raced) < 5000)) return;
  if (Date.now() < p._until) return;
  p._fails = -1; // if a connection that has died meanwhile is tried first, the pause is short
  again(p);
};

/** Begins anew at once. @internal */
export const again = (p: Push): void => {
  p._line?._end(AGAIN);
  p._stopRace?.();
  p._kick?.();
  p._idle?.();
};

// pause stays away: as long as the server asked, else for a random time that
// gets longer with every failure.
const pause = (p: Push, asked?: number): Promise<void> => {
  const least = (asked ?? 0) * (1 + Math.random() / 2);
  const most = p._retry * Math.min(2 ** (p._fails - 1), 32);
  p._until = Date.now() + least;
  return sleep(Math.max(least, asked === undefined || p._fails > 1 ? Math.random() * most : 0), (wake) => (p._kick = wake));
};

/** Ends it for good. @internal */
export const stop = (p: Push, why?: PushError): void => {
  if (p.readyState > 1) return;
  p.readyState = 2;
  p._ends.abort();
  again(p);
  emit(p, "close", why);
};
