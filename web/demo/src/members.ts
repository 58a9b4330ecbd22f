import { find, part, write } from "./dom.js";
import { live } from "./live.js";
import { Standing } from "./standing.js";

/** A worker: its number, its process, and how often it was started. */
export interface Member {
  number: number;
  process: number;
  starts: number;
}

/** The workers: which one is at the other end of this page's connection, and which one runs the counter. */
export class Members {
  readonly #body: HTMLElement;
  readonly #table = live.table<Member>("workers");
  #mine = 0;
  #runner = 0;

  constructor(card: HTMLElement) {
    this.#body = find(card, "tbody", HTMLElement);
    new Standing(part(card, ".state"), [this.#table]).resume();
    this.#table.onChange((_, rows) => {
      rows.forEach((each) => this.#show(each));
      this.#mark();
    });
  }

  /** Sets the worker that this page is connected to; 0 for none. */
  set mine(number: number) {
    this.#mine = number;
    this.#mark();
  }

  set runner(number: number) {
    if (this.#runner !== number) {
      this.#runner = number;
      this.#mark();
    }
  }

  #show({ number, process, starts }: Member): void {
    const row = this.#row(number);
    write(row.cells[1] as HTMLElement, String(process));
    write(row.cells[2] as HTMLElement, String(starts));
  }

  #row(number: number): HTMLTableRowElement {
    const rows = [...this.#body.querySelectorAll("tr")];
    const found = rows.find((each) => Number(each.dataset["worker"]) === number);
    if (found) {
      return found;
    }
    const row = document.createElement("tr");
    row.dataset["worker"] = String(number);
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = `Worker ${number}`;
    row.append(head);
    for (let cell = 0; cell < 3; cell++) {
      row.insertCell().className = cell < 2 ? "figure" : "roles";
    }
    this.#body.insertBefore(row, rows.find((each) => Number(each.dataset["worker"]) > number) ?? null);
    return row;
  }

  #mark(): void {
    for (const row of this.#body.querySelectorAll("tr")) {
      const number = Number(row.dataset["worker"]);
      const roles = [number === this.#mine && "serves this page", number === this.#runner && "runs the counter"];
      write(row.cells[3] as HTMLElement, roles.filter(Boolean).join(", ") || "–");
    }
  }
}
