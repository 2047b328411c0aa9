// What the page shows. Posts go in as text, never as HTML.

const SHOWN = 500; // entries; older ones leave the page

const VIA = { history: "history", websocket: "WebSocket", sse: "SSE", "long-poll": "long polling", poll: "polling" };

// What the server calls a transport when it counts.
const COUNTED = { websocket: "ws", sse: "sse", "long-poll": "poll", poll: "poll" };

const STEPS = 6; // of the trail that are shown

const GAPS = {
  trimmed: "Some posts are missing here: the wall keeps the newest 200, and you were away for more than that.",
  lagged: "Some posts are missing here: they came faster than this connection could take them.",
  epoch: "The server was restarted and its wall began anew. Older posts that you had not seen yet are lost.",
};

const posts = document.querySelector("#posts");

const counts = { sse: 0, ws: 0, poll: 0 };
let own; // this page's transport

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// tint gives a post one of six colours, the same in every page.
function tint(id) {
  let sum = 0;
  for (const c of id) sum = (sum * 31 + c.charCodeAt(0)) % 65_521;
  return sum % 6;
}

function add(entry) {
  posts.prepend(entry);
  document.querySelector("#empty").hidden = true;
  while (posts.children.length > SHOWN) posts.lastElementChild.remove();
}

export function addPost(event, via) {
  const entry = element("li", `post tint-${tint(event.id)}`);
  entry.dataset.id = event.id;
  const when = element("time", "", new Date(event.time).toLocaleTimeString([], { timeStyle: "short" }));
  when.dateTime = event.time;
  when.title = new Date(event.time).toLocaleString();
  const foot = element("footer");
  foot.append(when, element("span", "via", `via ${VIA[via]}`));
  entry.append(element("p", "text", event.data.text), foot);
  add(entry);
}

export function addGap(gap) {
  const entry = element("li", "gap", GAPS[gap.reason]);
  entry.dataset.reason = gap.reason;
  add(entry);
}

// ready: from now on what comes is news.
export function ready() {
  document.querySelector("#empty").hidden = posts.children.length > 0;
  posts.setAttribute("aria-live", "polite");
  posts.classList.add("live");
}

// showLink says over what the page is live, "" if it is not, and leaves a trail
// of the changes.
export function showLink(transport) {
  const shown = document.querySelector("#state");
  const state = transport ? "live" : navigator.onLine ? "reconnecting" : "offline";
  const text = { live: `Live over ${VIA[transport]}`, reconnecting: "Reconnecting…", offline: "Offline" }[state];
  if (shown.textContent === text) return;
  shown.dataset.state = state;
  shown.dataset.transport = transport;
  shown.textContent = text;
  addStep(state, text);
  showCounts(undefined, COUNTED[transport]);
}

function addStep(state, text) {
  const trail = document.querySelector("#trail");
  const step = element("li", state, text);
  const now = new Date();
  const when = element("time", "", now.toLocaleTimeString([], { timeStyle: "medium" }));
  when.dateTime = now.toISOString();
  step.prepend(when);
  trail.prepend(step);
  while (trail.children.length > STEPS) trail.lastElementChild.remove();
}

export function showLimit(on) {
  document.querySelector("#limit").hidden = !on;
}

// showCounts says how many read over each transport, this page apart.
export function showCounts(news = counts, transport = own) {
  Object.assign(counts, news);
  own = transport;
  for (const shown of document.querySelectorAll("[data-count]")) {
    const name = shown.dataset.count;
    const others = Math.max(0, counts[name] - (name === own ? 1 : 0));
    shown.textContent = name === own ? `you + ${others}` : `${others} ${others === 1 ? "other" : "others"}`;
  }
}
