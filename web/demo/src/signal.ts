import type { Feed } from "wirespeed";
import { whenever } from "./attention.js";
import { Columns } from "./columns.js";
import { find, part, pause, reason, write } from "./dom.js";
import { count, money } from "./format.js";
import { frames, live } from "./live.js";
import { RATE } from "./motion.js";
import { Paints } from "./paints.js";
import { Plot } from "./plot.js";
import { Slider } from "./slider.js";
import { Standing } from "./standing.js";
import { work } from "./work.js";

const SECONDS = 10;
const COLUMN = 1 / 30;
const NONE = "none";
/** The time until the server is asked again for more watchers, in milliseconds. */
const AGAIN = 1_000;

/** A price, as the server sends it. */
interface Quote {
  price: number;
  /** The number of this change of the price. */
  number: number;
  /** Time by the server's clock, in seconds since 1970. */
  at: number;
}

interface Load {
  cpu: number;
}

/** One price that changes fast, and the controls that make it faster, slower, or more work. */
export class Signal {
  readonly #card: HTMLElement;
  readonly #columns = new Columns(SECONDS, COLUMN);
  readonly #plot: Plot;
  readonly #paints = new Paints();
  readonly #rate: Slider<number>;
  readonly #most: Slider<number>;
  readonly #work: Slider<number>;
  readonly #watchers: Slider<number>;
  readonly #load = live.feed<Load>("server");
  #standing: Standing | null = null;
  #stops: (() => void)[] = [];
  #inView = true;
  #number = 0;
  #received = 0;
  #batches = 0;
  #lost = 0;
  #then = { at: 0, number: 0, received: 0, batches: 0 };

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#plot = new Plot(part(card, ".canvas"), { seconds: SECONDS, format: money, room: 74 }, this.#columns.data);
    const again = (): void => this.#restart();
    this.#rate = new Slider(card, "rate", [10, 100, 1_000, 10_000, 25_000, 50_000], count, again);
    this.#most = new Slider(card, "most", [1, 2, 5, 10, 30, 60], count, again);
    this.#work = new Slider(card, "work", [0, 10, 50, 100, 500, 1_000], (each) => (each ? `${count(each)} µs` : NONE), () => {});
    this.#watchers = new Slider(card, "watchers", [0, 10, 100, 1_000], (each) => (each ? count(each) : NONE), again);
    part(card, "form").addEventListener("submit", (event) => event.preventDefault());
    card.querySelectorAll("input[name=kind]").forEach((each) => each.addEventListener("change", again));
    new IntersectionObserver((entries) => {
      this.#inView = entries.at(-1)?.isIntersecting ?? true;
    }).observe(card);
    whenever(this);
  }

  start(): void {
    if (this.#stops.length === 0) {
      this.#watch();
    }
  }

  pause(words: string): void {
    this.#stop();
    this.#standing?.pause(words);
  }

  #restart(): void {
    if (this.#stops.length > 0) {
      this.#stop();
      this.#watch();
    }
  }

  #watch(): void {
    const every = find(this.#card, "input[value=every]", HTMLInputElement).checked;
    const path = every ? "ticks/BTC" : "price/BTC";
    const options = { params: { rate: this.#rate.value }, maxRate: Math.min(RATE, this.#most.value), every };
    const feed: Feed<Quote> = live.feed<Quote>(path, options);
    this.#write(".path", `/${path}`);
    this.#write(".per-frame", "–");
    frames.take();
    this.#standing?.end();
    this.#standing = new Standing(part(this.#card, ".state"), [feed]);
    this.#standing.resume();
    this.#columns.clear();
    this.#number = this.#received = this.#batches = this.#lost = this.#then.at = 0;
    this.#paints.start();
    const timer = window.setInterval(() => this.#figures(), 1000);
    this.#stops = [
      feed.onBatch((quotes) => this.#take(quotes)),
      feed.onLoss((lost) => (this.#lost += lost ?? 0)),
      this.#load.onValue(({ cpu }) => write(part(this.#card, ".cpu-now"), `${cpu.toFixed(0)} %`)),
      () => clearInterval(timer),
      () => this.#paints.stop(),
      this.#crowd(),
    ];
  }

  #stop(): void {
    this.#stops.forEach((stop) => stop());
    this.#stops = [];
  }

  /** Makes the server watch the same price many times, until the function that it returns is called. */
  #crowd(): () => void {
    const left = new AbortController();
    write(part(this.#card, ".crowd"), "–");
    if (this.#watchers.value > 0) {
      const wanted = { symbol: "BTC", rate: this.#rate.value, count: this.#watchers.value };
      void this.#showCrowd(wanted, left.signal);
    }
    return () => left.abort();
  }

  /** A server that has restarted does not have the watchers any more, so they are added again. */
  async #showCrowd(wanted: object, signal: AbortSignal): Promise<void> {
    const cell = part(this.#card, ".crowd");
    while (!signal.aborted) {
      try {
        for await (const values of live.stream<number>("crowd", wanted, { signal })) {
          write(cell, count(values));
        }
      } catch (error) {
        if (!signal.aborted) {
          write(cell, reason(error));
        }
      }
      await pause(AGAIN);
    }
  }

  /** Handles all changes that arrived since the last paint. */
  #take(quotes: readonly Quote[]): void {
    work((quotes.length * this.#work.value) / 1000);
    for (const { at, price } of quotes) {
      this.#columns.add(at, price);
    }
    const newest = quotes.at(-1);
    if (newest) {
      this.#received += quotes.length;
      this.#batches += 1;
      this.#number = newest.number;
      if (this.#inView) {
        this.#plot.draw(this.#columns.data);
        write(part(this.#card, ".value"), money(newest.price));
      }
    }
  }

  /** Shows, once per second, the changes at the server, the values that arrived, and the paints. */
  #figures(): void {
    const then = this.#then;
    const now = { at: performance.now(), number: this.#number, received: this.#received, batches: this.#batches };
    this.#then = now;
    if (then.at && then.number) {
      const seconds = (now.at - then.at) / 1000;
      const received = now.received - then.received;
      this.#write(".changes", count((now.number - then.number) / seconds));
      this.#write(".values", count(received / seconds));
      this.#write(".batch", now.batches > then.batches ? count(received / (now.batches - then.batches)) : "–");
    }
    const perFrame = frames.take();
    if (perFrame !== null) {
      this.#write(".per-frame", count(perFrame));
    }
    this.#write(".lost", count(this.#lost));
    const paints = this.#paints.count();
    if (paints) {
      this.#write(".paints", count(paints.perSecond));
      this.#write(".dropped", count(paints.dropped));
    }
  }

  #write(selector: string, words: string): void {
    write(part(this.#card, selector), words);
  }
}
