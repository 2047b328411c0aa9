// The form. The server says what a post may be, and the page shows its reason.

const MAX = 280;
const PATIENCE = 3000; // ms; then the page says why it takes so long

export class Composer {
  #form = document.querySelector("#composer");
  #text = document.querySelector("#text");
  #left = document.querySelector("#left");
  #problem = document.querySelector("#problem");
  #button = this.#form.querySelector("button");

  constructor(link) {
    this.link = link;
    this.#text.addEventListener("input", () => this.#count());
    this.#text.addEventListener("keydown", (e) => this.#key(e));
    this.#form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#post();
    });
    this.#count();
  }

  #key(e) {
    if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
    e.preventDefault();
    this.#form.requestSubmit();
  }

  #count() {
    const left = MAX - [...this.#text.value.trim()].length; // code points
    this.#left.textContent = left;
    this.#left.classList.toggle("over", left < 0);
  }

  async #post() {
    if (this.#button.disabled) return;
    this.#button.disabled = true;
    this.#say("");
    const slow = setTimeout(() => this.#say("No answer yet. Your post is sent once the network is back, and it cannot come twice."), PATIENCE);
    try {
      await this.link.post(this.#text.value);
      this.#say("");
      this.#clear();
    } catch (e) {
      this.#say(e.message); // the server's reason
    }
    clearTimeout(slow);
    this.#button.disabled = false;
  }

  #clear() {
    this.#text.value = "";
    this.#count();
    this.#text.focus();
  }

  #say(problem) {
    this.#problem.textContent = problem;
    this.#problem.hidden = !problem;
    this.#text.setAttribute("aria-invalid", Boolean(problem));
  }
}
