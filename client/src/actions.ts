import { emit } from "./core.js";
import { AGAIN, ask, final, type PushError } from "./http.js";
import type { Line } from "./line.js";
import type { Push } from "./push.js";
import { utf8 } from "./topics.js";
import type { Envelope, Frame, Post } from "./types.js";

const ANSWER_WITHIN = 20_000; // ms

/** What has to be read. @internal */
export const wanted = (p: Push): string[] => [...p._own.keys(), ...p._others];

/** Hands an event to those who listen. @internal */
export const deliver = (p: Push, frame: Frame & Envelope): void => {
  if (frame.encoding) frame.data = Uint8Array.from(atob(frame.data), (c) => c.charCodeAt(0));
  emit(p, "message", frame.data, frame);
  p._named.dispatchEvent(new CustomEvent(frame.event, { detail: frame }));
};

/** Brings the topics of the line to what is wanted. @internal */
export const sync = async (p: Push): Promise<void> => {
  const line = p._line;
  p._idle?.();
  if (!line || p._syncing) return;
  const want = wanted(p);
  const more = want.filter((t) => !line._topics.includes(t));
  const topics = more[0] ? more : line._topics.filter((t) => !want.includes(t));
  if (!topics[0]) return;
  p._syncing = true;
  want[0] ? await change(p, line, more[0] ? "subscribe" : "unsubscribe", topics) : line._end(AGAIN);
  p._syncing = false;
  sync(p);
};

// change drops the topics that are refused, each with an error, and keeps the
// others. Where it cannot be changed the line is opened anew, with its cursor.
const change = async (p: Push, line: Line, action: string, topics: string[]): Promise<void> => {
  try {
    await line._change!(action, topics);
    const others = line._topics.filter((t) => !topics.includes(t));
    line._topics = action === "subscribe" ? [...others, ...topics] : others;
  } catch (e) {
    const why = e as PushError;
    if (!final(why) || why.status === 404) line._end(AGAIN);
    else if (topics[1]) for (const t of topics) await change(p, line, action, [t]);
    else drop(p, topics[0]!, why);
  }
};

/** A topic is refused. @internal */
export const drop = (p: Push, topic: string, why: PushError): void => {
  p._own.delete(topic);
  emit(p, "error", Object.assign(why, { topic }));
};

/** Shows the line a token: a fresh one, unless it is given. @internal */
export const renew = async (p: Push, line: Line, token?: string): Promise<void> => {
  try {
    token ??= await p._options.token!(true);
    if (line._send) await line._send({ action: "credentials", token });
    else await ask({ ...p, _options: { token: () => token! } }, `${p._base}/connections/${line._cid}/credentials`, { method: "PUT" });
  } catch (e: any) {
    if (e !== AGAIN) emit(p, "error", e); // the server ends the stream when the old ones are over
  }
};

/** Publishes by a frame; bytes, and where there are no frames, by REST. @internal */
export const publish = async (p: Push, { topic, event, key, type, body, idem }: Post): Promise<{ id: string }> => {
  if (p._line?._send && !type) return p._line._send({ action: "publish", topic, event, key, idem, data: JSON.parse(body as string) });
  const headers = { "Content-Type": type || "application/json", "Idempotency-Key": idem, "Push-Event": utf8(event), "Push-Key": utf8(key) };
  const path = "/topics/" + encodeURIComponent(topic).replaceAll("%2F", "/");
  return (await ask(p, p._base + path, { method: "POST", headers, body, signal: AbortSignal.timeout(ANSWER_WITHIN) })).json();
};
