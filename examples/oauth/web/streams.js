// The same topics on three transports. Each stream has show(event), and state(name, note)
// with the names opening, live and stopped.

import { bearer, refresh, token } from "./login.js";

const STOP = 3003, EXPIRED = 3000;
const mayRefresh = () => new URLSearchParams(location.search).get("refresh") !== "off"; // off: to see what happens

async function ticket(topics) {
  const ask = () => fetch("/push/tickets", {
    method: "POST", headers: { ...bearer(), "Content-Type": "application/json" }, body: JSON.stringify({ topics }),
  });
  let answer = await ask();
  if (answer.status === 401 && mayRefresh()) {
    await refresh();
    answer = await ask();
  }
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
}

const after = (url, cursor) => (cursor ? `${url}${url.includes("?") ? "&" : "?"}after=${cursor}` : url);

export async function sse(topics, { show, state }, cursor) {
  const { sse_url } = await ticket(topics);
  const source = new EventSource(after(`${sse_url}&format=envelope`, cursor));
  let connection;
  const on = (name, f) => source.addEventListener(name, (e) => {
    cursor = e.lastEventId || cursor;
    f?.(JSON.parse(e.data || "{}"));
  });
  on("push.open", ({ data }) => state("live", `connection ${(connection = data.connection)}`));
  on("push.heartbeat");
  on("say", show);
  on("push.expiring", async () => {
    if (!mayRefresh()) return;
    await refresh();
    await fetch(`/push/connections/${connection}/credentials`, { method: "PUT", headers: bearer() });
  });
  on("push.close", ({ data }) => end(data.code, data.reason));
  source.onerror = () => {
    state("opening", "reconnecting");
    if (source.readyState === EventSource.CLOSED) end(EXPIRED, "refused");
  };
  function end(code, reason) {
    if (code !== STOP && code !== EXPIRED) return; // EventSource comes back by itself
    source.close();
    if (code === EXPIRED && mayRefresh()) again(sse, topics, { show, state }, cursor);
    else state("stopped", `${code} ${reason}`);
  }
}

export async function ws(topics, { show, state }, cursor) {
  const { ws_url, ws_protocols } = await ticket(topics);
  const socket = new WebSocket(after(ws_url, cursor), ws_protocols);
  socket.onmessage = async ({ data }) => {
    const event = JSON.parse(data);
    cursor = event.id ?? cursor;
    if (event.event === "push.open") state("live", `connection ${event.data.connection}`);
    if (event.event === "say") show(event);
    if (event.event === "push.expiring" && mayRefresh()) {
      await refresh();
      socket.send(JSON.stringify({ action: "credentials", token: token() }));
    }
  };
  socket.onclose = ({ code, reason }) => {
    if (code === STOP || (code === EXPIRED && !mayRefresh())) return state("stopped", `${code} ${reason}`);
    state("opening", "reconnecting");
    setTimeout(() => again(ws, topics, { show, state }, cursor), code === EXPIRED ? 0 : 1000);
  };
}

export async function poll(topics, { show, state }, cursor) {
  const query = topics.map((t) => `topic=${encodeURIComponent(t)}`).join("&");
  for (;;) {
    const answer = await fetch(after(`/push/events?${query}${cursor ? "" : "&limit=1"}`, cursor), {
      headers: { ...bearer(), Accept: "application/json", ...(cursor && { Prefer: "wait=25" }) },
    });
    if (answer.status === 401 && mayRefresh()) {
      await refresh();
      continue;
    }
    if (!answer.ok) return state("stopped", `${answer.status} ${(await answer.json()).detail}`);
    const page = await answer.json();
    if (cursor) page.items.forEach(show);
    cursor = page.last;
    state("live", "asking again after each answer");
  }
}

// again opens a stream in place of one that ended.
export async function again(open, topics, view, cursor) {
  try {
    await open(topics, view, cursor);
  } catch (e) {
    view.state("stopped", e.message);
  }
}
