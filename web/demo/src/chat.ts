import { button, find, part, reason } from "./dom.js";
import { live } from "./live.js";
import { Standing } from "./standing.js";

const MOST = 100;
const NAME = "wirespeed-demo-name";

interface Said {
  name: string;
  text: string;
  /** Time in seconds since 1970. */
  at: number;
}

/** A chat: every page sees every message. After a reconnect it resumes where it left off, and misses no message. */
export class Chat {
  readonly #form: HTMLFormElement;
  readonly #name: HTMLInputElement;
  readonly #text: HTMLInputElement;
  readonly #list: HTMLElement;
  readonly #scroll: HTMLElement;
  readonly #standing: Standing;

  constructor(card: HTMLElement) {
    this.#form = find(card, "form", HTMLFormElement);
    this.#name = find(card, "input[name=name]", HTMLInputElement);
    this.#text = find(card, "input[name=text]", HTMLInputElement);
    this.#list = part(card, "ol");
    this.#scroll = part(card, ".scroll");
    this.#name.value = stored() ?? `Guest ${Math.floor(100 + 900 * Math.random())}`;
    this.#name.addEventListener("change", () => store(this.#name.value));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    const said = live.feed<Said>("chat", { every: true });
    this.#standing = new Standing(part(card, ".state"), [said]);
    this.#standing.resume();
    said.onBatch((batch) => this.#receive(batch));
    said.onLoss(() => this.#add([note("The server no longer has the messages in between.")]));
  }

  async #send(): Promise<void> {
    const said = { name: this.#name.value, text: this.#text.value };
    if (!said.name.trim() || !said.text.trim()) {
      this.#standing.complain("Enter a name and a message.");
    } else if (live.status.current.state !== "connected") {
      this.#standing.complain("There is no connection. Your message stays here until you can send it.");
    } else {
      this.#text.value = "";
      this.#text.focus();
      await this.#publish(said);
    }
  }

  async #publish(said: Pick<Said, "name" | "text">): Promise<void> {
    const send = button(this.#form);
    send.setAttribute("aria-disabled", "true");
    try {
      await live.publish("chat", said);
    } catch (error) {
      this.#text.value ||= said.text;
      this.#standing.complain(`The server refused the message: ${reason(error)}`);
    } finally {
      send.removeAttribute("aria-disabled");
    }
  }

  #receive(batch: readonly Said[]): void {
    this.#add(batch.map(line));
    this.#standing.settle();
  }

  /** Follows the newest message, unless the visitor has scrolled up to read. */
  #add(items: HTMLElement[]): void {
    const [list, scroll] = [this.#list, this.#scroll];
    const follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
    list.append(...items);
    while (list.children.length > MOST) {
      list.firstElementChild?.remove();
    }
    if (follows) {
      scroll.scrollTop = scroll.scrollHeight;
    }
  }
}

/** Returns a message as text, never as markup: other visitors wrote it. */
function line({ name, text, at }: Said): HTMLElement {
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

function note(words: string): HTMLElement {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = words;
  return item;
}

// A browser may be configured to store nothing; then a name lasts as long as the page.

function stored(): string | null {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

function store(name: string): void {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // It is not stored.
  }
}
