// The page: history first, then the live stream from where history ended.

import { Link } from "./link.js";
import { Composer } from "./composer.js";
import { addGap, addPost, ready, showCounts, showLimit, showState } from "./view.js";

const TOPIC = "/push/topics/wall";
const VISITORS = "/push/topics/wall/visitors";
const STREAM = "/push/events?topic=wall&topic=wall/visitors";
const KEPT = 200; // posts the wall keeps

async function read(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

// load reads what is there already, and tries until it has it.
async function load() {
  for (;;) {
    try {
      return await Promise.all([read(`${TOPIC}?limit=${KEPT}`), read(`${VISITORS}?limit=1`)]);
    } catch {
      await new Promise((done) => setTimeout(done, 500 + Math.random() * 1500));
    }
  }
}

function show(event, via) {
  switch (event.event) {
    case "post": return addPost(event, via);
    case "visitors": return showCounts(event.data);
    case "push.gap": return addGap(event.data);
    case "push.open": return showLimit(false);
  }
}

const choices = document.querySelector("#transports");

// The choice is in the address, so that it survives a reload.
function chosen() {
  const asked = new URLSearchParams(location.search).get("transport");
  return ["sse", "ws", "poll"].includes(asked) ? asked : "sse";
}

function choose(link, transport) {
  history.replaceState(null, "", `?transport=${transport}`);
  showLimit(false);
  showCounts(undefined, transport);
  link.use(transport);
}

const [posts, counts] = await load();
for (const item of posts.items) show(item, "history");
for (const item of counts.items) show(item, "history");
ready();

const link = new Link(STREAM, posts.last, {
  event: show,
  state: showState,
  stuck: (transport) => showLimit(transport !== "ws"), // WebSockets have a limit of their own
});
choices.elements.transport.value = chosen();
choices.addEventListener("change", () => choose(link, choices.elements.transport.value));
choose(link, chosen());
new Composer(TOPIC);
