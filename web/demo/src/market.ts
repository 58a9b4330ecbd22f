import type { Table } from "wirespeed";
import { whenever } from "./attention.js";
import { find, part, write } from "./dom.js";
import { count, money, percent } from "./format.js";
import { live } from "./live.js";
import { calm, RATE } from "./motion.js";
import { Standing } from "./standing.js";

interface Contract {
  symbol: string;
  name: string;
  price: number;
  change: number;
}

/** The time for which a row is highlighted after a change, in milliseconds. */
const LIT = 300;

/** The number of rows that a browser skips together while they are out of view; style.css has their height. */
const GROUP = 25;

type Direction = "rise" | "fall";

/** A table of a thousand rows: first all rows, then each row that changes, in place and once per paint. */
export class Market {
  readonly #card: HTMLElement;
  readonly #scroll: HTMLElement;
  readonly #sheet: HTMLTableElement;
  readonly #table: Table<Contract>;
  readonly #standing: Standing;
  readonly #lines = new Map<string, Line>();
  #stop: (() => void) | null = null;
  #timer = 0;
  #changes = 0;
  /** The highlighted rows, with the end of their highlight. */
  readonly #lit = new Map<Line, number>();

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#scroll = part(card, ".scroll");
    this.#sheet = find(card, "table", HTMLTableElement);
    this.#table = live.table<Contract>("market", { maxRate: RATE });
    this.#standing = new Standing(part(card, ".state"), [this.#table]);
    whenever(this);
  }

  start(): void {
    this.#standing.resume();
    this.#stop ??= this.#table.onChange((changed) => this.#paint(changed));
    this.#changes = 0;
    this.#timer ||= window.setInterval(() => this.#rate(), 1000);
  }

  pause(words: string): void {
    this.#standing.pause(words);
    this.#stop?.();
    this.#stop = null;
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  #rate(): void {
    write(part(this.#card, ".rate"), `${count(this.#changes)} changed rows in the last second`);
    this.#changes = 0;
  }

  #paint(changed: ReadonlyMap<string, Contract | undefined>): void {
    const now = performance.now();
    const [from, to] = this.#seen();
    let added = false;
    this.#darken(now);
    for (const [key, contract] of changed) {
      const line = this.#lines.get(key);
      if (contract === undefined) {
        line?.row.remove();
        this.#lines.delete(key);
      } else if (line === undefined) {
        this.#lines.set(key, new Line(key, contract));
        added = true;
      } else {
        const direction = line.update(contract);
        if (direction && line.index >= from && line.index <= to && !calm.matches) {
          line.light(direction);
          this.#lit.set(line, now + LIT);
        }
      }
    }
    this.#changes += changed.size;
    if (added) {
      this.#order();
    }
  }

  /** Ends the highlight of rows that changed a while ago. */
  #darken(now: number): void {
    for (const [line, until] of this.#lit) {
      if (until < now) {
        line.light(null);
        this.#lit.delete(line);
      }
    }
  }

  /** Rows arrive in any order; they are shown by key, in groups. */
  #order(): void {
    const lines = [...this.#lines.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    lines.forEach((line, index) => (line.index = index));
    [...this.#sheet.tBodies].forEach((body) => body.remove());
    for (let from = 0; from < lines.length; from += GROUP) {
      const body = this.#sheet.createTBody();
      body.role = "rowgroup";
      body.append(...lines.slice(from, from + GROUP).map((line) => line.row));
    }
  }

  /** Returns the indices of the visible rows: only those are highlighted when they change. */
  #seen(): [from: number, to: number] {
    const height = this.#scroll.scrollHeight / Math.max(this.#lines.size, 1);
    const from = this.#scroll.scrollTop / height;
    return [from - 1, from + this.#scroll.clientHeight / height];
  }
}

/** One row, and the values in it. */
class Line {
  readonly key: string;
  readonly row = document.createElement("tr");
  index = 0;
  readonly #price = new Figure();
  readonly #change = new Figure();
  #shown: Contract;

  constructor(key: string, contract: Contract) {
    this.key = key;
    this.#shown = contract;
    const head = document.createElement("th");
    // Its style is not that of a table, and browsers then no longer treat it as one.
    this.row.role = "row";
    head.role = "rowheader";
    head.scope = "row";
    head.textContent = contract.name;
    this.row.append(head, this.#price.cell, this.#change.cell);
    this.#price.write(money(contract.price));
    this.#writeChange(contract.change);
  }

  /** Writes the cells that have changed; returns whether the price has risen or fallen. */
  update(contract: Contract): Direction | null {
    const was = this.#shown;
    this.#shown = contract;
    if (contract.change !== was.change) {
      this.#writeChange(contract.change);
    }
    if (contract.price === was.price) {
      return null;
    }
    this.#price.write(money(contract.price));
    return contract.price > was.price ? "rise" : "fall";
  }

  /** Highlights a change; null ends the highlight. */
  light(direction: Direction | null): void {
    this.row.className = direction ?? "";
  }

  #writeChange(change: number): void {
    this.#change.write(percent(change));
    this.#change.cell.dataset["to"] = change < 0 ? "fall" : "rise";
  }
}

/** A cell in which only the text changes: that is the least work for a browser. */
class Figure {
  readonly cell = document.createElement("td");
  readonly #text = document.createTextNode("");

  constructor() {
    this.cell.role = "cell";
    this.cell.className = "figure";
    this.cell.append(this.#text);
  }

  write(text: string): void {
    this.#text.data = text;
  }
}
