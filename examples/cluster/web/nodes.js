// The nodes, who is on which, and their buttons.

const LOOK_EVERY = 300; // ms

export class Nodes {
  #shown = new Map(); // the list item of each node
  #on = {}; // the visitors of each node

  constructor(me) {
    this.me = me;
    this.#look();
  }

  // visitors shows who is on which node.
  visitors(on) {
    this.#on = on;
    for (const [name, item] of this.#shown) this.#fill(name, item);
  }

  async #look() {
    try {
      const answer = await fetch("/nodes", { cache: "no-store" });
      for (const node of await answer.json()) this.#show(node);
    } catch {} // the whole cluster is gone; the state of the link says so
    setTimeout(() => this.#look(), LOOK_EVERY);
  }

  #show({ name, state, starts }) {
    if (!this.#shown.has(name)) this.#add(name);
    const item = this.#shown.get(name);
    item.dataset.state = state;
    item.querySelector(".status").textContent = starts > 1 ? `${state}, ${starts} starts` : state;
    for (const button of item.querySelectorAll("button")) {
      const { action } = button.dataset;
      button.hidden = (action === "start") !== (state === "down") || state === "draining" && action === "restart";
    }
    this.#fill(name, item);
  }

  #add(name) {
    const item = document.querySelector("#node").content.cloneNode(true).querySelector("li");
    item.dataset.node = name;
    item.querySelector("h2").textContent = `Node ${name}`;
    for (const button of item.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent} node ${name}`);
      button.addEventListener("click", () => fetch(`/nodes/${name}/${button.dataset.action}`, { method: "POST" }));
    }
    document.querySelector("#nodes").append(item);
    this.#shown.set(name, item);
  }

  #fill(name, item) {
    const here = item.dataset.state === "down" ? [] : this.#on[name] ?? []; // a dead node's are told for a while
    item.querySelector(".visitors").replaceChildren(...here.map((visitor) => {
      const dot = document.createElement("li");
      dot.textContent = visitor === this.me ? "you" : visitor;
      dot.className = visitor === this.me ? "me" : "";
      return dot;
    }));
    item.classList.toggle("mine", here.includes(this.me));
  }
}
