// The page: the wall's posts, the nodes with their visitors, and the counters.

import { Link, TOPICS } from "/link.js";
import { Composer } from "/composer.js";
import { addGap, addPost, ready, showLink } from "/view.js";
import { Nodes } from "/nodes.js";

const name = Math.random().toString(36).slice(2, 6); // this visitor's
const nodes = new Nodes(name);

async function read(topic, limit) {
  for (;;) {
    try {
      const answer = await fetch(`/push/topics/${topic}?limit=${limit}`, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.ok) return await answer.json();
    } catch {} // no node is ready
    await new Promise((done) => setTimeout(done, 300 + Math.random() * 700));
  }
}

const counters = { events: 0, lost: 0, doubled: 0, gaps: 0, connections: 0 };

function count(what, n = 1) {
  counters[what] += n;
  const shown = document.querySelector(`#${what}`);
  shown.textContent = counters[what];
  shown.classList.toggle("wrong", what === "lost" || what === "doubled" || what === "gaps");
}

let last; // the tick that came last

// Ticks are numbered without holes: what is missing was lost.
function check({ run, n }) {
  count("events");
  if (last?.run === run) {
    if (n > last.n + 1) count("lost", n - last.n - 1);
    if (n <= last.n) return count("doubled");
  }
  last = { run, n };
}

function show(event, via) {
  if (event.event === "post") addPost(event, via);
  else if (event.event === "visitors") nodes.visitors(event.data.nodes ?? {});
  else if (event.event === "tick") check(event.data);
}

const posts = await read("wall", 200);
const counts = await read("wall/visitors", 1);
for (const item of [...posts.items, ...counts.items]) show(item, "history");
ready();

const on = {
  event: show,
  gap: (gap) => (count("gaps"), addGap(gap)),
  open: (transport) => (count("connections"), showLink(transport)),
  lost: () => showLink(""),
};
const link = new Link("/push", posts.last, on, [...TOPICS, "ticks", `visitors/${name}`]);
const choice = document.querySelector("#transports").elements.transport;
const asked = new URLSearchParams(location.search).get("transport");
choice.value = [...choice.options].some((o) => o.value === asked) ? asked : "auto";
choice.addEventListener("change", () => link.use(choice.value));
link.use(choice.value);
new Composer(link);
