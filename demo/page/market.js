import { whenever } from "./attention.js";
import { errorIn } from "./connection.js";
import { money } from "./format.js";
import { Watch } from "./watch.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A table of which the server sends all rows first, and then the rows that change. */
export class Market {
  #body;
  #state;
  #watch;
  #rows = new Map();
  #changed = new Map();
  #anew = false;
  #frame = 0;

  constructor(card) {
    this.#body = card.querySelector("tbody");
    this.#state = card.querySelector(".state");
    this.#watch = new Watch({
      path: () => "/market?max_rate=10",
      opened: () => (this.#anew = true),
      receive: (data) => this.#receive(data),
      say: (words, mood) => this.#say(words, mood),
    });
    whenever(this);
  }

  start() {
    this.#watch.start();
  }

  pause(words) {
    this.#watch.stop();
    this.#say(words);
  }

  /** What comes between two paints is painted once. */
  #receive(data) {
    const error = errorIn(data);
    if (error) {
      this.#say(error, "bad");
      return;
    }
    const { key, value, reset } = JSON.parse(data);
    if (this.#anew || reset) {
      this.#anew = false;
      this.#forget();
    }
    if (!reset) {
      this.#changed.set(key, value ?? null);
      this.#frame ||= requestAnimationFrame(() => this.#paint());
    }
  }

  /** A connection begins with the whole table: rows that it does not name are no more. */
  #forget() {
    this.#changed.clear();
    for (const key of this.#rows.keys()) {
      this.#changed.set(key, null);
    }
  }

  #paint() {
    this.#frame = 0;
    for (const [key, value] of this.#changed) {
      if (value === null) {
        this.#rows.get(key)?.remove();
        this.#rows.delete(key);
      } else if (this.#rows.has(key)) {
        this.#update(this.#rows.get(key), value);
      } else {
        this.#insert(key, value);
      }
    }
    this.#changed.clear();
  }

  #insert(key, value) {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    const name = document.createElement("b");
    const symbol = document.createElement("small");
    head.scope = "row";
    name.textContent = value.name;
    symbol.textContent = value.symbol;
    head.append(name, " ", symbol);
    row.append(head, figure(), figure());
    row.dataset.key = key;
    this.#fill(row, value);
    const before = [...this.#body.children].find((each) => each.dataset.key > key);
    this.#body.insertBefore(row, before ?? null);
    this.#rows.set(key, row);
  }

  #update(row, value) {
    const was = Number(row.dataset.price);
    this.#fill(row, value);
    if (value.price !== was && !calm.matches) {
      const colour = value.price > was ? "var(--rise)" : "var(--fall)";
      row.animate({ backgroundColor: [colour, "transparent"] }, { duration: 900, easing: "ease-out" });
    }
  }

  #fill(row, { price, change }) {
    row.dataset.price = price;
    row.children[1].textContent = money(price);
    row.children[2].textContent = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)} %`;
    row.children[2].dataset.to = change < 0 ? "fall" : "rise";
  }

  #say(words, mood = "") {
    this.#state.textContent = words;
    this.#state.dataset.mood = mood;
  }
}

function figure() {
  const cell = document.createElement("td");
  cell.className = "figure";
  return cell;
}
