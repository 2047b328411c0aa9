// The time until the first event, in one run, on the same faults.

import { createServer } from "node:http";
import { once } from "node:events";
import { Server as SocketIO } from "socket.io";
import { io } from "socket.io-client";
import { FaultProxy } from "../test/proxy.mjs";
import { Server } from "../test/stage.mjs";
import { connect } from "../dist/client.js";

const PATIENCE = 75_000; // ms

const FAULTS = {
  "nothing wrong": {},
  "upgrade swallowed": { websocket: "swallow" },
  "WebSocket opens, then dies": { websocket: "die" },
};

// ours returns what stops a client that calls event for each event.
function ours(url, event) {
  const push = connect(url + "/push", { topics: ["t/a"] });
  push.onmessage = () => event(push.transport);
  return () => push.close();
}

const socketio = (options) => (url, event) => {
  const socket = io(url, { reconnection: true, forceNew: true, ...options });
  socket.on("n", () => event(socket.io.engine.transport.name));
  return () => socket.close();
};

const CLIENTS = {
  dualpush: ours,
  "Socket.IO, WebSocket first": socketio({ transports: ["websocket", "polling"] }),
  "Socket.IO, WebSocket first, tryAllTransports": socketio({ transports: ["websocket", "polling"], tryAllTransports: true }),
  "Socket.IO, polling first (its default)": socketio({}),
};

async function peers() {
  const own = await Server.start();
  const http = createServer();
  const other = new SocketIO(http);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  let n = 0;
  const timer = setInterval(() => { // each has an event every 20 ms
    other.emit("n", ++n);
    own.burst("t/a", n, 1);
  }, 20);
  const stop = async () => {
    clearInterval(timer);
    other.close();
    await own.stop();
  };
  return { ports: { dualpush: own.port, other: http.address().port }, stop };
}

// measure returns when a client has an event for good: the first that is
// followed by events for half a second.
async function measure(start, port, faults) {
  const proxy = new FaultProxy(port);
  await proxy.listen();
  for (const [kind, what] of Object.entries(faults)) proxy.fault(kind, what);
  const begun = performance.now();
  let first, last, transport;
  const stop = start(proxy.url, (name) => {
    const now = performance.now();
    if (name !== transport || now - last > 400) first = now;
    [last, transport] = [now, name];
  });
  let result = `none in ${PATIENCE / 1000} s`;
  while (performance.now() - begun < PATIENCE) {
    await new Promise((go) => setTimeout(go, 20));
    if (last - first > 500 && performance.now() - last < 200) {
      result = `${Math.round(first - begun)} ms, ${transport}`;
      break;
    }
  }
  stop();
  proxy.close();
  return result;
}

const { ports, stop } = await peers();
process.on("uncaughtException", (e) => { if (e.code !== "ECONNRESET") throw e; });
for (const [fault, faults] of Object.entries(FAULTS)) {
  console.log(`\n${fault}:`);
  for (const [name, start] of Object.entries(CLIENTS)) {
    console.log(`  ${name.padEnd(46)} ${await measure(start, ports[name] ?? ports.other, faults)}`);
  }
}
await stop();
process.exit();
