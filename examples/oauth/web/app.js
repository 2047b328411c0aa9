import { bearer, finish, logIn, logOut, subject } from "./login.js";
import { again, poll, sse, ws } from "./streams.js";

const find = (selector) => document.querySelector(selector);
const TRANSPORTS = { EventSource: sse, WebSocket: ws, "long polling": poll };

// view shows one stream.
function view(name) {
  const box = find("#stream").content.cloneNode(true).querySelector("section");
  box.dataset.transport = name;
  box.querySelector("h2").textContent = name;
  find("#streams").append(box);
  return {
    state(state, note = "") {
      Object.assign(box.querySelector(".state"), { textContent: state }).dataset.state = state;
      box.querySelector(".note").textContent = note;
    },
    show(event) {
      const item = document.createElement("li");
      item.className = event.topic.startsWith("users/") ? "private" : "shared";
      item.textContent = `${event.data.from}: ${event.data.text}`;
      box.querySelector("ol").prepend(item);
    },
  };
}

function live() {
  const sub = subject();
  find("#who").textContent = `You are ${sub}.`;
  find("#who").dataset.sub = sub;
  find("#logout").hidden = find("main").hidden = false;
  find("#logout").onclick = () => logOut().catch(fault);
  find("#say").onsubmit = (e) => say(e, sub).catch(fault);
  for (const [name, open] of Object.entries(TRANSPORTS)) again(open, ["chat/room", `users/${sub}/inbox`], view(name));
}

async function say(e, sub) {
  e.preventDefault();
  const form = e.target;
  const topic = e.submitter?.value === "me" ? `users/${sub}/inbox` : "chat/room";
  const answer = await fetch(`/push/topics/${topic}`, {
    method: "POST", headers: { ...bearer(), "Content-Type": "application/json", "Push-Event": "say" },
    body: JSON.stringify({ from: sub, text: form.text.value }),
  });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  form.reset();
}

function fault(e) {
  find("#fault").textContent = e.message;
}

try {
  if (await finish()) {
    live();
  } else {
    find("#login").hidden = false;
    find("#login").onclick = () => logIn().catch(fault);
  }
} catch (e) {
  fault(e);
}
