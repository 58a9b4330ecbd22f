import type { Status } from "wirespeed";
import type { Counted } from "./counted.js";
import { button, part, reason, say, write } from "./dom.js";
import { count, seconds } from "./format.js";
import { live } from "./live.js";
import type { Member, Members } from "./members.js";
import type { News } from "./news.js";

/** This page's connection: the worker at the other end, the button that kills it, and what became of the page. */
export class Visit {
  readonly #card: HTMLElement;
  readonly #state: HTMLElement;
  readonly #kill: HTMLButtonElement;
  readonly #news: News;
  readonly #members: Members;
  readonly #counted: Counted;
  #worker = 0;
  /** The time at which the connection was lost. */
  #lost = 0;

  constructor(card: HTMLElement, news: News, members: Members, counted: Counted) {
    this.#card = card;
    this.#state = part(card, ".state");
    this.#kill = button(card);
    this.#news = news;
    this.#members = members;
    this.#counted = counted;
    this.#kill.addEventListener("click", () => void this.#strike());
    live.status.subscribe((status) => this.#changed(status));
  }

  #changed({ state, reason: words }: Status): void {
    if (state === "connected") {
      void this.#arrive(performance.now());
    } else if (state === "stale" && !this.#lost) {
      this.#lost = performance.now();
      this.#members.mine = 0;
      say(this.#state, "The connection was lost. Trying again.", "bad");
    } else if (state === "closed") {
      say(this.#state, words ?? "The connection is closed", "bad");
    }
    this.#kill.setAttribute("aria-disabled", String(state !== "connected"));
  }

  async #arrive(now: number): Promise<void> {
    try {
      const { number, process } = await live.call<Member>("worker");
      this.#meet(number, process, now);
    } catch (error) {
      say(this.#state, `This page needs several workers, which make cluster starts (${reason(error)}).`, "bad");
    }
  }

  #meet(number: number, process: number, now: number): void {
    const [before, lost] = [this.#worker, this.#lost];
    [this.#worker, this.#lost] = [number, 0];
    this.#members.mine = number;
    write(part(this.#card, ".number"), `Worker ${number}`);
    write(part(this.#card, ".process"), String(process));
    write(this.#kill, `Kill worker ${number} (kill -9)`);
    say(this.#state, "Connected", "live");
    if (lost) {
      this.#counted.then(() => this.#report(before, number, now - lost));
    }
  }

  #report(before: number, after: number, away: number): void {
    const { missed, twice } = this.#counted;
    const words = `This page lost worker ${before} and was back on worker ${after} after ${seconds(away / 1000)}; so far, ${count(missed)} numbers are missing and ${count(twice)} came twice.`;
    write(part(this.#card, ".away"), seconds(away / 1000));
    this.#news.add("back", words, { before, after, away, missed, twice });
  }

  async #strike(): Promise<void> {
    if (this.#kill.getAttribute("aria-disabled") === "true") {
      return;
    }
    this.#kill.setAttribute("aria-disabled", "true");
    await live.call("kill").catch(() => {
      // A killed worker does not answer.
    });
  }
}
