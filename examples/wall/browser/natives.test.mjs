// What works without our client: plain EventSource and WebSocket, and htmx with
// its extensions; and our React hook.

import assert from "node:assert/strict";
import { build } from "esbuild";
import { inEngines } from "./engine.mjs";
import { until } from "../../../client/test/stage.mjs";

const text = (page, selector) => page.evaluate(async (s) => document.querySelector(s)?.textContent ?? "", selector);

const publish = (server, topic, body, type = "text/plain") =>
  fetch(`${server.url}/push/topics/${topic}`, { method: "POST", headers: { "Content-Type": type, "Push-Event": "note" }, body });

inEngines("new EventSource and new WebSocket need nothing of ours", async ({ server, open }) => {
  const page = await open();
  await page.evaluate(async () => {
    window.heard = { sse: [], ws: [] };
    const source = new EventSource("/push/topics/t/a");
    source.addEventListener("note", (e) => heard.sse.push(e.data));
    const socket = (window.socket = new WebSocket(`ws://${location.host}/push/topics/t/a`));
    socket.onmessage = (e) => heard.ws.push(e.data);
    await Promise.all([new Promise((go) => (source.onopen = go)), new Promise((go) => (socket.onopen = go))]);
  });
  await publish(server, "t/a", "one");
  await page.evaluate(async () => socket.send("two")); // published under the topic, as text
  await until("both", async () => (await page.evaluate(async () => heard.ws.length)) === 2);
  assert.deepEqual(await page.evaluate(async () => heard), { sse: ["one"], ws: ["one", "two"] });
  assert.deepEqual(await server.history("t/a"), ["one", "two"]);
});

const HTMX = `
  <script src="/files/node_modules/htmx.org/dist/htmx.min.js"></script>
  <script src="/files/node_modules/htmx-ext-sse/sse.js"></script>
  <script src="/files/node_modules/htmx-ext-ws/ws.js"></script>
  <div hx-ext="sse" sse-connect="/push/topics/t/a"><p id="sse" sse-swap="note"></p></div>
  <div hx-ext="ws" ws-connect="/push/topics/t/b"><p id="ws"></p><form id="form" ws-send><input name="text" value="hi"></form></div>`;

inEngines("htmx works with its sse and ws extensions", async ({ server, open }) => {
  const page = await open();
  await page.evaluate(async (html) => {
    document.documentElement.innerHTML = "<head></head><body></body>";
    const box = document.createElement("div");
    box.innerHTML = html;
    for (const script of box.querySelectorAll("script")) {
      script.remove();
      const s = document.createElement("script");
      s.src = script.getAttribute("src");
      await new Promise((go) => ((s.onload = go), document.head.append(s)));
    }
    document.body.append(box);
    const opened = new Promise((go) => document.body.addEventListener("htmx:sseOpen", go));
    const connected = new Promise((go) => document.body.addEventListener("htmx:wsOpen", go));
    htmx.process(box);
    await Promise.all([opened, connected]);
  }, HTMX);
  await publish(server, "t/a", "<b>swapped</b>", "text/html");
  await publish(server, "t/b", '<p id="ws">out of band</p>', "text/html");
  await until("sse-swap", async () => (await text(page, "#sse")) === "swapped");
  await until("ws", async () => (await text(page, "#ws")) === "out of band");
  await page.evaluate(async () => document.querySelector("#form").requestSubmit());
  await until("the form's message is in the log", async () => (await server.history("t/b")).some((d) => d.text === "hi"));
});

const APP = `
  import { createElement as h, StrictMode, useState } from "react";
  import { createRoot } from "react-dom/client";
  import { usePush } from ${JSON.stringify(new URL("../../../client/dist/react.js", import.meta.url).pathname)};
  function App({ topic }) {
    const [last, set] = useState([]);
    const { push, transport, readyState } = usePush("/push", { topics: [topic] }, { n: (n, e) => set([...last, e.topic + n]) });
    window.push = push;
    return h("p", { id: "app" }, transport, " ", readyState, " ", last.join());
  }
  const root = createRoot(document.body.appendChild(document.createElement("div")));
  window.show = (topic) => root.render(topic && h(StrictMode, null, h(App, { topic })));
  show("t/a");`;

inEngines("the React hook reads while its component is there, with its newest listeners", async ({ server, open }) => {
  const { outputFiles: [bundle] } = await build({
    stdin: { contents: APP, resolveDir: new URL(".", import.meta.url).pathname }, bundle: true, write: false, format: "esm",
    define: { "process.env.NODE_ENV": '"development"' }, nodePaths: [new URL("node_modules", import.meta.url).pathname],
    alias: { react: new URL("node_modules/react", import.meta.url).pathname },
  });
  const page = await open();
  await page.evaluate(async (code) => {
    await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  }, bundle.text);
  const shows = (want) => until(async () => want, async () => (await text(page, "#app")) === want);
  await shows("websocket 1 ");
  await server.burst("t/a", 1, 1);
  await shows("websocket 1 t/a1");
  await server.burst("t/a", 2, 1); // the listener of the first render knows nothing of the first event
  await shows("websocket 1 t/a1,t/a2");
  await page.evaluate(async () => {
    window.before = push;
    show("t/b");
  });
  await until("it connects anew", async () => page.evaluate(async () => push !== before && push.readyState === 1 && document.querySelector("#app").textContent.startsWith("websocket 1")));
  await server.burst("t/a", 3, 1);
  await server.burst("t/b", 1, 1);
  await shows("websocket 1 t/a1,t/a2,t/b1");
  const state = await page.evaluate(async () => {
    const { push } = window;
    show(null);
    while (push.readyState !== 2) await new Promise((go) => setTimeout(go, 5));
    return push.readyState;
  });
  assert.equal(state, 2);
});
