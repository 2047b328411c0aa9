import type { PushError } from "./http.js";
import type { Line } from "./line.js";
import { match } from "./match.js";
import type { Push } from "./push.js";
import type { drop } from "./actions.js";
import type { again } from "./core.js";
import type { page } from "./transports.js";
import type { Frame } from "./types.js";

const REMEMBERED = 5000; // ids of events

const failure = (message: string, status: number) => Object.assign(new Error(message), { status }) as PushError;

/** What tabs tell each other. */
type Join = { member: string; topics: string[] }; // a tab reads these; none: it has left
type Stand = { at: string; topics: readonly string[]; hello: any }; // the leader reads these, and is there
type Move = { prev: string; frame: Frame }; // it was at prev, and then this came
type Word = Join | Stand | Move | { who: 1 } | { lost: 1 } | { no: string; why: string; status: number };

/**
 * Tabs of one origin share a connection. Whoever holds the lock leads: it reads
 * what all of them want, and tells every message on a channel. Each tab has a
 * cursor of its own. One that may have missed something reads pages from its
 * cursor on, and knows what then comes twice by its id.
 *
 * Without locks or channels (a page that came by plain http) each tab is for
 * itself.
 *
 * @internal
 */
export const share = (p: Push, begin: typeof again, refuse: typeof drop, read: typeof page): void => {
  const { BroadcastChannel, navigator } = globalThis;
  if (!BroadcastChannel || !navigator?.locks || p.readyState > 1) return;
  const name = "push:" + p._base;
  const self = crypto.randomUUID();
  const channel = new BroadcastChannel(name);
  const members = new Map<string, string[]>();
  const known = new Set<string>(); // the newest events
  let leads = false;
  let chain = ""; // where the leader stands
  // What a member does with the leader's words: without a line it waits for one.
  const idle = (word: Word) => "at" in word && p._kick?.();
  let hear: (word: Word) => void = idle;

  const tell = (word: Word) => p._ends.signal.aborted || channel.postMessage(word);
  const join = () => tell({ member: self, topics: [...p._own.keys()] });
  const stand = () => p._line && tell({ at: chain, topics: p._line._topics, hello: p._hello });

  const lead = () =>
    new Promise<void>((done) => {
      leads = true;
      p._ways = undefined;
      p.addEventListener("open", () => {
        chain = p.cursor;
        stand();
      });
      p.addEventListener("error", ({ data: { topic, message, status } }) => {
        if (topic) refused(topic, message, status);
        else if (!p._line) tell({ lost: 1 });
      });
      p._ends.signal.addEventListener("abort", () => done());
      tell({ who: 1 });
      begin(p);
    });

  // Nobody wants it any more: else it would be asked for again and again.
  const refused = (topic: string, why: string, status: number) => {
    for (const [member, topics] of members) members.set(member, topics.filter((t) => t !== topic));
    p._others = p._others.filter((t) => t !== topic);
    tell({ no: topic, why, status });
  };

  const joined = ({ member, topics }: Join) => {
    topics[0] ? members.set(member, topics) : members.delete(member);
    p._others = [...new Set([...members.values()].flat())];
    p.subscribe([]); // looks whether that is read
    stand();
  };

  channel.onmessage = ({ data: word }: MessageEvent<Word>) => {
    if (leads) "member" in word && joined(word);
    else if ("who" in word) join();
    else if ("no" in word) {
      if (!p._own.has(word.no)) return;
      refuse(p, word.no, failure(word.why, word.status));
      p.subscribe([]); // the line has it, too
    } else hear(word);
  };

  // catchUp reads what the leader may not have told us.
  const catchUp = async (line: Line, after: string) => {
    for (let more = true; more;) {
      const got = await read(p, line, after);
      if (got.gap) line._on({ event: "push.gap", data: got.gap });
      got.items.forEach(line._on);
      more = !!got.items[0];
      line._on({ event: "push.heartbeat", id: (after = got.last), data: {} });
    }
  };

  p._skip = (frame) => {
    const { id, event, topic } = frame;
    if (!id) return false;
    if (leads) {
      tell({ prev: chain, frame });
      chain = id;
      if (event === "push.subscriptions") queueMicrotask(stand);
    }
    if (event.startsWith("push.")) return false;
    if (known.has(id)) return true;
    known.add(id);
    if (known.size > REMEMBERED) known.delete(known.values().next().value!);
    const ours = [...p._own.keys()].some((own) => match(own, topic!));
    if (!ours) p.cursor = id;
    return !ours;
  };

  // The line of a member: it follows the leader while that reads all we want.
  const follow = async (_: unknown, line: Line) => {
    let covered = false;
    let opened = false;
    const stands = async ({ at, topics, hello }: Stand) => {
      const behind = !covered || chain !== at;
      chain = at;
      covered = line._topics.every((t) => topics.includes(t));
      if (!covered) return;
      const from = opened ? p.cursor : line._after;
      if (!opened) line._on({ event: "push.open", id: from || at, data: { ...hello, topics: line._topics } });
      opened = true;
      if (from && behind) await catchUp(line, from);
    };
    const moves = async ({ prev, frame }: Move) => {
      const missed = prev !== chain;
      chain = frame.id!;
      if (!covered) return;
      if (missed) await catchUp(line, p.cursor);
      if (frame.event !== "push.subscriptions" && frame.event !== "push.close") line._on(frame);
    };
    line._change = async () => {
      covered = false;
      join();
    };
    let last: Promise<unknown> = Promise.resolve();
    await new Promise((_, fail) => {
      hear = (word) => {
        if ("lost" in word) fail(failure("the leading tab has lost its connection", 0));
        last = last.then(async () => ("at" in word ? stands(word) : "prev" in word && moves(word))).catch(fail);
      };
      line._signal.addEventListener("abort", () => (hear = idle));
      join();
    });
  };
  p._ways = { tab: follow };

  navigator.locks.request(name, { signal: p._ends.signal }, lead).catch(() => {}); // closed before it led
  const leave = () => tell({ member: self, topics: [] });
  globalThis.addEventListener?.("pagehide", leave, { signal: p._ends.signal });
  globalThis.addEventListener?.("pageshow", (e) => (e as PageTransitionEvent).persisted && begin(p), { signal: p._ends.signal }); // it had left
  p.addEventListener("close", () => {
    channel.postMessage({ member: self, topics: [] });
    channel.close();
  });
};
