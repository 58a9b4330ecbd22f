import { whenever } from "./attention.js";
import { count } from "./format.js";
import { Plot } from "./plot.js";
import { delayAfter } from "./watch.js";

/** What the server's process needs, and who watches what: Server-Sent Events, by the browser's own EventSource. */
export class Load {
  #card;
  #state;
  #plot;
  #source = null;
  #timer = 0;
  #attempts = 0;

  constructor(card) {
    this.#card = card;
    this.#state = card.querySelector(".state");
    this.#plot = new Plot(card.querySelector("canvas"), { seconds: 60, format: (value) => `${count(value)} %`, zero: true });
    whenever(this);
  }

  start() {
    if (!this.#source && !this.#timer) {
      this.#say("Connecting");
      this.#open();
    }
  }

  pause(words) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#source?.close();
    this.#source = null;
    this.#plot.gap();
    this.#say(words);
  }

  #open() {
    this.#timer = 0;
    this.#source = new EventSource("/server");
    this.#source.onopen = () => {
      this.#say(this.#attempts ? "Live again" : "Live", "live");
      this.#attempts = 0;
    };
    this.#source.onmessage = ({ data }) => this.#show(JSON.parse(data));
    this.#source.onerror = () => this.#lost();
  }

  /** An EventSource comes back by itself, with pauses of the browser's own and for some errors only; so this does. */
  #lost() {
    this.#source.close();
    this.#source = null;
    this.#plot.gap();
    this.#say("The server does not answer. Trying again.", "bad");
    this.#timer = setTimeout(() => this.#open(), delayAfter(this.#attempts));
    this.#attempts += 1;
  }

  #show({ cpu, memory, feeds }) {
    this.#plot.add(performance.now(), cpu);
    this.#plot.draw();
    this.#card.querySelector(".cpu-now").textContent = `${cpu.toFixed(1)} %`;
    this.#card.querySelector(".memory-now").textContent = `${memory.toFixed(1)} MiB`;
    for (const { path, watchers, published, delivered } of feeds) {
      const row = this.#card.querySelector(`tr[data-path="${path}"]`);
      [watchers, published, delivered].forEach((figure, at) => (row.children[at + 1].textContent = count(figure)));
    }
  }

  #say(words, mood = "") {
    this.#state.textContent = words;
    this.#state.dataset.mood = mood;
  }
}
