// The three ways to read the wall. Each is one function that opens a stream at
// url right after the cursor, and tells what happens:
//
//   on.event(envelope)   an event, or a control event of the server ("push.…")
//   on.lost(closed)      the connection is gone; closed: and does not come back by itself
//
// It returns a function that closes the stream; after that nothing is told.
// The same URL serves all three: the server sees from the request what we take.

function at(url, after) {
  const full = new URL(url, location.href);
  full.searchParams.set("after", after);
  return full;
}

const NAMES = ["post", "visitors", "push.open", "push.heartbeat", "push.gap", "push.close"];

export function eventSource(url, after, on) {
  const full = at(url, after);
  full.searchParams.set("format", "envelope"); // so that each event says its topic and its time
  const source = new EventSource(full); // comes back by itself, with Last-Event-ID
  for (const name of NAMES) {
    source.addEventListener(name, (e) => on.event(JSON.parse(e.data)));
  }
  source.onerror = () => on.lost(source.readyState === EventSource.CLOSED);
  return () => source.close();
}

export function webSocket(url, after, on) {
  const full = at(url, after);
  full.protocol = full.protocol.replace("http", "ws");
  const socket = new WebSocket(full, "push.v1");
  socket.onmessage = (e) => on.event(JSON.parse(e.data));
  socket.onclose = () => on.lost(true);
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

const WAIT = 25; // seconds a poll waits for news

export function longPoll(url, after, on) {
  const stop = new AbortController();
  poll(url, after, on, stop.signal).catch(() => stop.signal.aborted || on.lost(true));
  return () => stop.abort();
}

// poll asks again and again for what is after the cursor. What a stream would
// be told in control events, it says itself.
async function poll(url, after, on, signal) {
  for (let wait = 1; ; wait = WAIT) { // the first answer comes soon: then we are live
    const headers = { Accept: "application/json", Prefer: `wait=${wait}` };
    const answer = await fetch(at(url, after), { headers, signal, cache: "no-store" });
    if (!answer.ok) {
      const retry = Number(answer.headers.get("Retry-After")) * 1000;
      on.event({ event: "push.close", data: { retry } });
      return on.lost(true);
    }
    const page = await answer.json();
    signal.throwIfAborted();
    on.event({ event: "push.open", data: { heartbeat: WAIT * 1000 } });
    if (page.gap) on.event({ event: "push.gap", data: page.gap });
    for (const item of page.items) {
      on.event(item);
      if (signal.aborted) return; // an event made us switch
    }
    after = page.last;
    on.event({ event: "push.heartbeat", id: after, data: {} });
  }
}
