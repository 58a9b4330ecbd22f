import { whenever } from "./attention.js";
import { errorIn } from "./connection.js";
import { count, money } from "./format.js";
import { Plot } from "./plot.js";
import { Watch } from "./watch.js";

const SECONDS = 20;

/** The chart of a price: the newest value at once, then as many per second as a screen can show. */
export class Price {
  #card;
  #watch;
  #plot;
  #state;
  #symbol;
  #quote = null;
  #first = null;
  #received = 0;
  #frame = 0;
  #inView = true;
  #since = { at: 0, number: 0, received: 0 };

  constructor(card) {
    this.#card = card;
    this.#state = card.querySelector(".state");
    this.#plot = new Plot(card.querySelector("canvas"), { seconds: SECONDS, format: money });
    this.#watch = new Watch({
      path: () => `/price/${this.#symbol}?max_rate=60`,
      opened: () => this.#begin(),
      receive: (data) => this.#receive(data),
      say: (words, mood) => this.#say(words, mood),
    });
    card.querySelector("form").addEventListener("change", () => this.#choose());
    new IntersectionObserver(([entry]) => (this.#inView = entry.isIntersecting)).observe(card);
    this.#name();
    whenever(this);
  }

  start() {
    this.#watch.start();
    this.#frame ||= requestAnimationFrame((now) => this.#next(now));
  }

  pause(words) {
    this.#watch.stop();
    this.#plot.gap();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#say(words);
  }

  /** Another symbol: another path, so another connection. */
  #choose() {
    const watching = this.#frame !== 0;
    this.#name();
    this.#plot.clear();
    this.#plot.draw();
    this.#quote = this.#first = null;
    this.#watch.stop();
    if (watching) {
      this.#watch.start();
    }
  }

  #name() {
    this.#symbol = new FormData(this.#card.querySelector("form")).get("symbol");
    this.#card.querySelector(".path").textContent = `/price/${this.#symbol}`;
    this.#card.querySelector("canvas").setAttribute("aria-label", `${this.#symbol} over the last ${SECONDS} seconds`);
  }

  #begin() {
    this.#plot.gap();
    this.#since = { at: 0, number: 0, received: 0 };
  }

  #receive(data) {
    const error = errorIn(data);
    if (error) {
      this.#say(error, "bad");
      return;
    }
    this.#quote = JSON.parse(data);
    this.#first ??= this.#quote;
    this.#received += 1;
    this.#plot.add(performance.now(), this.#quote.price);
  }

  #next(now) {
    this.#frame = requestAnimationFrame((later) => this.#next(later));
    if (this.#quote && this.#inView) {
      this.#plot.draw();
      this.#card.querySelector(".value").textContent = money(this.#quote.price);
      this.#card.querySelector(".since").textContent = this.#change();
      this.#rates(now);
    }
  }

  #change() {
    const percent = (this.#quote.price / this.#first.price - 1) * 100;
    return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} % since you came`;
  }

  /** Once per second: how often the price changed, and how many of those values came here. */
  #rates(now) {
    const { at, number, received } = this.#since;
    if (now - at < 1000) {
      return;
    }
    this.#since = { at: now, number: this.#quote.number, received: this.#received };
    if (at && this.#watch.isOpen) {
      const seconds = (now - at) / 1000;
      this.#card.querySelector(".changes").textContent = count((this.#quote.number - number) / seconds);
      this.#card.querySelector(".values").textContent = count((this.#received - received) / seconds);
    }
  }

  #say(words, mood = "") {
    this.#state.textContent = words;
    this.#state.dataset.mood = mood;
  }
}
