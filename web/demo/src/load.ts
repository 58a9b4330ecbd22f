import { whenever } from "./attention.js";
import { Columns } from "./columns.js";
import { part, write } from "./dom.js";
import { count } from "./format.js";
import { live } from "./live.js";
import { Plot } from "./plot.js";
import { Standing } from "./standing.js";

const SECONDS = 60;
// Wide enough for two values, so that no column is empty.
const COLUMN = 2;

interface Traffic {
  path: string;
  watchers: number;
  published: number;
  delivered: number;
}

interface State {
  cpu: number;
  memory: number;
  feeds: Traffic[];
}

/** The load of the server's process and the watchers of each feed, once per second. */
export class Load {
  readonly #card: HTMLElement;
  readonly #columns = new Columns(SECONDS, COLUMN);
  readonly #plot: Plot;
  readonly #feed = live.feed<State>("server");
  readonly #standing: Standing;
  #stop: (() => void) | null = null;

  constructor(card: HTMLElement) {
    this.#card = card;
    const look = { seconds: SECONDS, format: (value: number) => `${count(value)} %`, zero: true, room: 48 };
    this.#plot = new Plot(part(card, ".canvas"), look, this.#columns.data);
    this.#standing = new Standing(part(card, ".state"), [this.#feed]);
    whenever(this);
  }

  start(): void {
    this.#standing.resume();
    this.#stop ??= this.#feed.onValue((state) => this.#show(state));
  }

  pause(words: string): void {
    this.#stop?.();
    this.#stop = null;
    this.#standing.pause(words);
  }

  #show({ cpu, memory, feeds }: State): void {
    this.#columns.add(performance.now() / 1000, cpu);
    this.#plot.draw(this.#columns.data);
    write(part(this.#card, ".cpu-now"), `${cpu.toFixed(1)} %`);
    write(part(this.#card, ".memory-now"), `${memory.toFixed(1)} MiB`);
    for (const { path, watchers, published, delivered } of feeds) {
      const cells = part(this.#card, `tr[data-path="${path}"]`).querySelectorAll("td");
      [watchers, published, delivered].forEach((figure, at) => {
        const cell = cells[at];
        if (cell) {
          write(cell, count(figure));
        }
      });
    }
  }
}
