// The page: history first, then the live stream from where history ended.

import { Link } from "./link.js";
import { Composer } from "./composer.js";
import { addGap, addPost, ready, showCounts, showLimit, showLink } from "./view.js";

const TOPIC = "/push/topics/wall";
const VISITORS = "/push/topics/wall/visitors";
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
  if (event.event === "post") addPost(event, via);
  else if (event.event === "visitors") showCounts(event.data);
}

const choices = document.querySelector("#transports");

// The choice is in the address, so that it survives a reload.
function chosen() {
  const asked = new URLSearchParams(location.search).get("transport");
  return ["websocket", "sse", "long-poll"].includes(asked) ? asked : "auto";
}

function choose(transport) {
  history.replaceState(null, "", `?transport=${transport}`);
  showLimit(false);
  link.use(transport);
}

const [posts, counts] = await load();
for (const item of posts.items) show(item, "history");
for (const item of counts.items) show(item, "history");
ready();

const link = new Link("/push", posts.last, {
  event: show,
  gap: addGap,
  open: (transport) => {
    showLimit(false);
    showLink(transport);
  },
  lost: (problem) => {
    // Without an answer, and not for want of a network: WebSockets have a limit of their own.
    if (problem?.message.endsWith("silent")) showLimit(["sse", "long-poll"].includes(chosen()));
    showLink("");
  },
});
addEventListener("offline", () => showLink(""));
choices.elements.transport.value = chosen();
choices.addEventListener("change", () => choose(choices.elements.transport.value));
choose(chosen());
new Composer(link);
