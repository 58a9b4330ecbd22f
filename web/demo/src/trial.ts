import { whenever } from "./attention.js";
import { ServerClock } from "./clock.js";
import { button, everyFrame, part, pause, reason, say, write } from "./dom.js";
import type { Mood } from "./dom.js";
import { count, money, seconds } from "./format.js";
import { Bare, Every, Newest, OLD } from "./sides.js";
import type { Side } from "./sides.js";

const BLOCK = 3_000;
/** The interval at which the figures are written, so that people can read them. */
const READABLE = 100;
/** The time to wait for an answer, in milliseconds. */
const PATIENCE = 30_000;

interface Way {
  side: Side;
  row: HTMLElement;
}

/** Blocks the tab or restarts the server, and shows the effect on a bare WebSocket and on two feeds. */
export class Trial {
  readonly #card: HTMLElement;
  readonly #state: HTMLElement;
  readonly #clock = new ServerClock();
  readonly #bare = new Bare(this.#clock);
  readonly #ways: Way[];
  #words: string | null = null;
  #inView = false;
  #busy = false;
  #shownAt = 0;
  #stop: (() => void) | null = null;

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#state = part(card, ".state");
    const sides = { bare: this.#bare, newest: new Newest(this.#clock), every: new Every(this.#clock) };
    this.#ways = Object.entries(sides).map(([name, side]) => ({ side, row: part(card, `tr[data-way="${name}"]`) }));
    this.#on(".block", () => this.#block());
    this.#on(".restart", () => this.#restart());
    button(card, ".reopen").addEventListener("click", () => this.#reopen());
    new IntersectionObserver((entries) => this.#looked(entries.at(-1)?.isIntersecting ?? false)).observe(card);
    whenever(this);
  }

  start(): void {
    this.#words = null;
    this.#apply();
  }

  pause(words: string): void {
    this.#words = words;
    this.#apply();
  }

  #looked(inView: boolean): void {
    this.#inView = inView;
    this.#apply();
  }

  /** A frame for each change is much work for a page, so the ways are watched only while they are in view. */
  #apply(): void {
    const watches = this.#words === null && (this.#inView || this.#busy);
    if (watches && !this.#stop) {
      void this.#watch();
    } else if (!watches && this.#stop) {
      this.#ways.forEach(({ side }) => side.stop());
      this.#stop();
      this.#stop = null;
    }
    if (!this.#busy) {
      this.#say(this.#words ?? (watches ? "Watching" : "Paused until it is in view"), watches ? "live" : "");
    }
  }

  async #watch(): Promise<void> {
    this.#ways.forEach(({ side }) => side.start());
    this.#stop = everyFrame((now) => this.#show(now));
    await this.#clock.set().catch(() => {
      // The server does not answer; assume that both clocks agree.
    });
  }

  #show(now: number): void {
    if (now - this.#shownAt < READABLE) {
      return;
    }
    this.#shownAt = now;
    for (const { side, row } of this.#ways) {
      const { shown, age, queued } = side;
      write(part(row, ".shown"), shown ? money(shown.price) : "–");
      write(part(row, ".age"), shown ? seconds(age) : "–");
      write(part(row, ".queued"), shown && side.open ? count(queued) : "–");
      row.dataset["old"] = String(shown !== null && age > 1);
    }
    button(this.#card, ".reopen").hidden = !this.#bare.ended;
  }

  #on(selector: string, run: () => Promise<void>): void {
    button(this.#card, selector).addEventListener("click", () => {
      if (!this.#busy) {
        void this.#run(run);
      }
    });
  }

  async #run(run: () => Promise<void>): Promise<void> {
    this.#setBusy(true);
    try {
      await run();
    } catch (error) {
      this.#say(reason(error), "bad");
    } finally {
      this.#setBusy(false);
    }
  }

  /**
   * Blocks the tab twice, the second time without the bare WebSocket: this tab has to handle its old frames before
   * anything else, and they would delay the others.
   */
  async #block(): Promise<void> {
    await this.#ready();
    this.#clear(".after-block");
    this.#say("This tab is blocked for 3 seconds, with the bare WebSocket");
    await this.#blockFor(this.#ways.filter(({ side }) => side === this.#bare));
    this.#bare.stop();
    this.#say("This tab is blocked for 3 seconds, without the bare WebSocket");
    await moment(() => this.#ways.every(({ side }) => side === this.#bare || side.age < OLD));
    await this.#blockFor(this.#ways.filter(({ side }) => side !== this.#bare));
    this.#bare.start();
    this.#say("The tab runs again. The table shows how long each way took to be fresh", "good");
  }

  /** Blocks the tab, and waits until these ways are fresh. */
  async #blockFor(ways: readonly Way[]): Promise<void> {
    await pause(READABLE);
    ways.forEach(({ side }) => (side.old = 0));
    const until = performance.now() + BLOCK;
    while (performance.now() < until) {
      // Nothing else runs in this tab.
    }
    const ended = performance.now();
    await each(ways, async ({ side, row }) => {
      const fresh = await moment(() => side.age < OLD);
      const after = fresh ? seconds((fresh - ended) / 1000) : "not fresh";
      write(part(row, ".after-block"), `${after},\n${count(side.old)} old value${side.old === 1 ? "" : "s"}`);
    });
  }

  async #restart(): Promise<void> {
    await this.#ready();
    this.#clear(".after-restart");
    await this.#ask();
    const asked = performance.now();
    this.#say("The server restarts");
    await each(this.#ways, async ({ side, row }) => {
      const cell = part(row, ".after-restart");
      const lost = await moment(() => !side.open);
      write(cell, lost ? `lost after ${seconds((lost - asked) / 1000)}` : "never lost");
      if (lost && side instanceof Bare) {
        write(cell, `${cell.textContent},\nstays closed`);
      } else if (lost) {
        const back = await moment(() => side.open && side.handledAt > lost && side.age < OLD);
        write(cell, back ? `back after ${seconds((back - asked) / 1000)}` : "not back yet");
      }
    });
    this.#say("The server has restarted. A bare WebSocket stays closed until the page opens a new one", "good");
  }

  async #ask(): Promise<void> {
    const response = await fetch("/restart", { method: "POST", headers: { "x-restart": "please" } });
    if (!response.ok) {
      const { detail } = (await response.json()) as { detail: string };
      throw new Error(detail);
    }
  }

  /** Waits until all three ways are connected. */
  async #ready(): Promise<void> {
    if (this.#bare.ended) {
      this.#reopen();
    }
    if (!(await moment(() => this.#ways.every(({ side }) => side.open && side.age < 1)))) {
      throw new Error("The server does not answer.");
    }
  }

  #reopen(): void {
    this.#bare.stop();
    this.#bare.start();
  }

  #clear(cells: string): void {
    this.#ways.forEach(({ row }) => write(part(row, cells), "…"));
  }

  #setBusy(is: boolean): void {
    this.#busy = is;
    for (const each of this.#card.querySelectorAll(".act button")) {
      each.setAttribute("aria-disabled", String(is));
    }
  }

  #say(words: string, mood: Mood = ""): void {
    say(this.#state, words, mood);
  }
}

function each(ways: readonly Way[], run: (way: Way) => Promise<void>): Promise<void[]> {
  return Promise.all(ways.map(run));
}

/** Returns when a condition became true, checked before each paint, in milliseconds; null after half a minute. */
function moment(is: () => boolean): Promise<number | null> {
  return new Promise((resolve) => {
    const asked = performance.now();
    const stop = everyFrame(() => {
      const now = performance.now();
      const came = is();
      if (came || now - asked > PATIENCE) {
        stop();
        resolve(came ? now : null);
      }
    });
  });
}
