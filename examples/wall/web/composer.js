// The form. The server says what a post may be, and the page shows its reason.

const MAX = 280;
const ANSWER_WITHIN = 10_000; // ms

export class Composer {
  #form = document.querySelector("#composer");
  #text = document.querySelector("#text");
  #left = document.querySelector("#left");
  #problem = document.querySelector("#problem");
  #button = this.#form.querySelector("button");
  #sent = {}; // the text that was sent last, and its key

  constructor(url) {
    this.url = url;
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
    try {
      const answer = await this.#send(this.#text.value);
      if (answer.ok) this.#clear();
      else this.#say(await reason(answer));
    } catch {
      this.#say("The server did not answer. Your text is still here: post it again, it cannot come twice.");
    }
    this.#button.disabled = false;
  }

  #send(text) {
    if (this.#sent.text !== text) this.#sent = { text, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    return fetch(this.url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "Push-Event": "post",
        "Idempotency-Key": this.#sent.key, // the same text sent again is the same post
      },
      body: JSON.stringify({ text }),
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    });
  }

  #clear() {
    this.#sent = {};
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

// reason reads a problem+json (RFC 9457).
async function reason(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail ?? problem.title ?? `The server said ${answer.status}.`;
}
