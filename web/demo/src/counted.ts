import { part, write } from "./dom.js";
import { count, seconds } from "./format.js";
import { live } from "./live.js";
import type { Members } from "./members.js";
import type { News } from "./news.js";
import { Standing } from "./standing.js";

/** The page shows the mark of each 50th number, by which two pages can be compared. */
const STEP = 50;
const MOST = 6;

interface Count {
  number: number;
  mark: string;
  worker: number;
  /** Time in seconds since 1970. */
  at: number;
}

/** The counter: every number has to be one more than the number before. */
export class Counted {
  missed = 0;
  twice = 0;
  readonly #card: HTMLElement;
  readonly #marks: HTMLElement;
  readonly #news: News;
  readonly #members: Members;
  readonly #waiting: (() => void)[] = [];
  #received = 0;
  #newest: Count | null = null;

  constructor(card: HTMLElement, marks: HTMLElement, news: News, members: Members) {
    this.#card = card;
    this.#marks = part(marks, "tbody");
    this.#news = news;
    this.#members = members;
    const feed = live.feed<Count>("counter", { every: true });
    new Standing(part(card, ".state"), [feed]).resume();
    feed.onBatch((batch) => this.#take(batch));
  }

  /** Calls a function once, after the next numbers. */
  then(run: () => void): void {
    this.#waiting.push(run);
  }

  #take(batch: readonly Count[]): void {
    batch.forEach((each) => this.#check(each));
    if (this.#newest) {
      write(part(this.#card, ".number"), count(this.#newest.number));
      write(part(this.#card, ".runner"), `Worker ${this.#newest.worker}`);
      this.#members.runner = this.#newest.worker;
    }
    for (const [name, figure] of Object.entries({ received: this.#received, missed: this.missed, twice: this.twice })) {
      write(part(this.#card, `.${name}`), count(figure));
    }
    this.#card.dataset["sound"] = String(this.missed + this.twice === 0);
    this.#waiting.splice(0).forEach((run) => run());
  }

  #check(next: Count): void {
    this.#received++;
    const newest = this.#newest;
    if (newest && next.number <= newest.number) {
      this.twice++;
      return;
    }
    this.missed += newest ? next.number - newest.number - 1 : 0;
    if (newest && next.worker !== newest.worker) {
      const quiet = next.at - newest.at;
      const words = `Worker ${next.worker} runs the counter, from ${count(next.number)} on, ${seconds(quiet)} after the last number of worker ${newest.worker}.`;
      this.#news.add("runner", words, { from: newest.worker, to: next.worker, quiet });
    }
    this.#newest = next;
    if (next.number % STEP === 0) {
      this.#mark(next);
    }
  }

  #mark({ number, mark, worker }: Count): void {
    const row = document.createElement("tr");
    for (const text of [count(number), mark, `Worker ${worker}`]) {
      row.insertCell().textContent = text;
    }
    this.#marks.prepend(row);
    while (this.#marks.children.length > MOST) {
      this.#marks.lastElementChild?.remove();
    }
  }
}
