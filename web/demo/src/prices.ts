import type { Feed } from "wirespeed";
import { whenever } from "./attention.js";
import { Columns } from "./columns.js";
import { find, part, write } from "./dom.js";
import { count, money, percent } from "./format.js";
import { live } from "./live.js";
import { Paints } from "./paints.js";
import { Plot } from "./plot.js";
import type { Quote } from "./quote.js";
import { Standing } from "./standing.js";

const SECONDS = 10;
const COLUMN = 1 / 30;

/** Four prices: every change reaches the page and is drawn. */
export class Prices {
  readonly #card: HTMLElement;
  readonly #charts: PriceChart[];
  readonly #standing: Standing;
  readonly #paints = new Paints();
  #timer = 0;
  #then = { at: 0, number: 0, received: 0 };

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#charts = [...card.querySelectorAll<HTMLElement>("[data-symbol]")].map((box) => new PriceChart(box));
    this.#standing = new Standing(part(card, ".state"), this.#charts.map((chart) => chart.feed));
    new IntersectionObserver((entries) => {
      this.#charts.forEach((chart) => (chart.inView = entries.at(-1)?.isIntersecting ?? true));
    }).observe(card);
    whenever(this);
  }

  start(): void {
    this.#standing.resume();
    this.#charts.forEach((chart) => chart.start());
    this.#paints.start();
    this.#then.at = 0;
    this.#timer ||= window.setInterval(() => this.#rates(), 1000);
  }

  pause(words: string): void {
    this.#standing.pause(words);
    this.#charts.forEach((chart) => chart.stop());
    this.#paints.stop();
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  /** Shows, once per second, the changes at the server, the values that arrived, and the paints. */
  #rates(): void {
    const now = {
      at: performance.now(),
      number: sum(this.#charts.map((chart) => chart.number)),
      received: sum(this.#charts.map((chart) => chart.received)),
    };
    const { at, number, received } = this.#then;
    this.#then = now;
    if (at && number) {
      const seconds = (now.at - at) / 1000;
      write(part(this.#card, ".changes"), count((now.number - number) / seconds));
      write(part(this.#card, ".values"), count((now.received - received) / seconds));
    }
    const paints = this.#paints.count();
    if (paints) {
      write(part(this.#card, ".paints"), count(paints.perSecond));
      write(part(this.#card, ".dropped"), count(paints.dropped));
    }
  }
}

/** The chart of one price. */
class PriceChart {
  readonly feed: Feed<Quote>;
  inView = true;
  /** The newest change that was handled. */
  number = 0;
  received = 0;
  readonly #box: HTMLElement;
  readonly #columns = new Columns(SECONDS, COLUMN);
  readonly #plot: Plot;
  #first = 0;
  #stop: (() => void) | null = null;

  constructor(box: HTMLElement) {
    this.#box = box;
    this.feed = live.feed<Quote>(`ticks/${box.dataset["symbol"]}`, { every: true });
    const look = { seconds: SECONDS, format: money, room: 74 };
    this.#plot = new Plot(find(box, ".canvas", HTMLElement), look, this.#columns.data);
  }

  start(): void {
    this.#stop ??= this.feed.onBatch((quotes) => this.#take(quotes));
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  /** Handles all changes that arrived since the last paint. */
  #take(quotes: readonly Quote[]): void {
    for (const { at, price } of quotes) {
      this.#columns.add(at, price);
    }
    const newest = quotes.at(-1);
    if (newest) {
      this.received += quotes.length;
      this.number = newest.number;
      this.#first ||= newest.price;
      this.#show(newest.price);
    }
  }

  #show(price: number): void {
    if (this.inView) {
      this.#plot.draw(this.#columns.data);
      write(part(this.#box, ".value"), money(price));
      write(part(this.#box, ".since"), percent((price / this.#first - 1) * 100));
    }
  }
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
