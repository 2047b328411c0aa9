// Compiled, never run: each line after @ts-expect-error has to be an error.
import { connect, type Envelope, PushError } from "../dist/connect.js";
import { EventSource as FetchEventSource } from "../dist/eventsource.js";
import { usePush } from "../dist/react.js";

interface Order {
  total: number;
}

const push = connect<{ "order.created": Order; note: { text: string } }>("/push", { topics: ["orders/42"], token: () => "t", share: true });
push.on("order.created", (o, e) => [o.total.toFixed(), e.topic, e.id]);
// @ts-expect-error
push.on("order.creatd", () => {});
// @ts-expect-error
push.on("note", (n) => n.txt);
push.addEventListener("gap", (e) => e.data.from + e.data.reason);
// @ts-expect-error
push.addEventListener("gap", (e) => e.data.nothing);
push.onopen = () => [push.transport, push.recovered];
push.onclose = (e) => e.data?.status;
push.onerror = (e) => e.data instanceof PushError;
const off: () => void = push.subscribe("news");
const answer: Promise<{ id: string }> = push.publish("orders/42", "note", { text: "hi" });
// @ts-expect-error
connect("/push", { topic: "orders/42" });
// @ts-expect-error
connect("/push", { transports: ["pigeon"] });

export async function all(): Promise<Envelope> {
  for await (const m of push) return m;
  off();
  await answer;
  push.close();
  throw new Error();
}

// It can replace the browser's own.
const native: EventSource = new FetchEventSource("/push/topics/a", { headers: { A: "b" } });
native.onmessage = (e) => e.data;

export const useOrder = () => {
  const { transport, push } = usePush<{ note: { text: string } }>("/push", { topics: ["a"] }, { note: (n) => n.text });
  return [transport, push?.cursor];
};
