import { Watch } from "./watch.js";

const MOST = 100;
const NAME = "wirespeed-demo-name";

/** A chat: what one says, all see. It comes back to where it was, so that nothing said meanwhile is missed. */
export class Chat {
  #form;
  #list;
  #state;
  #watch;
  #position = null;

  constructor(card) {
    this.#form = card.querySelector("form");
    this.#list = card.querySelector("ol");
    this.#state = card.querySelector(".state");
    this.#form.elements.name.value = stored() ?? `Guest ${Math.floor(100 + 900 * Math.random())}`;
    this.#form.elements.name.addEventListener("change", () => store(this.#form.elements.name.value));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#watch = new Watch({
      path: () => `/chat?positions=1${this.#position ? `&since=${this.#position}` : ""}`,
      receive: (data) => this.#receive(JSON.parse(data)),
      say: (words, mood) => this.#say(words, mood),
    });
    this.#watch.start();
  }

  #send() {
    const { name, text } = this.#form.elements;
    if (!name.value.trim() || !text.value.trim()) {
      this.#say("It takes a name and some words.", "bad");
    } else if (!this.#watch.isOpen) {
      this.#say("There is no connection now. What you wrote stays here until there is.", "bad");
    } else {
      this.#watch.send(JSON.stringify({ name: name.value, text: text.value }));
      text.value = "";
      text.focus();
    }
  }

  #receive({ position, value, error, lost }) {
    if (error) {
      const why = error.detail?.[0]?.msg ?? error.message;
      this.#say(`The server did not take that: ${why}.`, "bad");
    } else if (lost !== undefined) {
      this.#add(note("The server no longer has what was said in between."));
    } else {
      this.#position = position;
      this.#add(line(value));
      this.#say("Live", "live");
    }
  }

  /** Follows what is said, unless somebody has scrolled up to read. */
  #add(item) {
    const list = this.#list;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(item);
    while (list.children.length > MOST) {
      list.firstElementChild.remove();
    }
    if (follows) {
      list.scrollTop = list.scrollHeight;
    }
  }

  #say(words, mood = "") {
    if (this.#state.textContent !== words) {
      this.#state.textContent = words;
      this.#state.dataset.mood = mood;
    }
  }
}

/** Others wrote this: it is set as text, and never as markup. */
function line({ name, text, at }) {
  const item = document.createElement("li");
  const head = document.createElement("p");
  const who = document.createElement("b");
  const when = document.createElement("time");
  const words = document.createElement("p");
  const date = new Date(at * 1000);
  who.textContent = name;
  when.dateTime = date.toISOString();
  when.textContent = date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });
  words.textContent = text;
  head.append(who, " ", when);
  item.append(head, words);
  return item;
}

function note(words) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = words;
  return item;
}

// A browser may be told to keep nothing; then a name lasts as long as the page.

function stored() {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

function store(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // It is not kept.
  }
}
