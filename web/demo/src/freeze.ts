import { announce } from "./announcer.js";
import { whenever } from "./attention.js";
import { ServerClock } from "./clock.js";
import { ClientClock, LATE, PlainClock } from "./clocks.js";
import type { Clock } from "./clocks.js";
import { everyFrame, part, pause, reason, say, write } from "./dom.js";
import type { Mood } from "./dom.js";
import { count, seconds } from "./format.js";
import { live } from "./live.js";
import { Pace } from "./motion.js";
import { Slider } from "./slider.js";
import { work } from "./work.js";

/** The interval at which the clocks are painted, so that people can read them. */
const READABLE = 100;
/** The time for which a clock may be wrong after a freeze, in milliseconds. */
const PATIENCE = 60_000;
/** Below this difference, in seconds, there is nothing to see. */
const SEEN = 0.2;

interface Face {
  clock: Clock;
  box: HTMLElement;
}

/** The seconds until a clock was right again, or null if it was not; and the number of late values. */
interface Found {
  after: number | null;
  late: number;
}

/** Freezes the tab, and shows which of two clocks is right when it runs again. */
export class Freeze {
  readonly #section: HTMLElement;
  readonly #state: HTMLElement;
  readonly #server = new ServerClock();
  readonly #plain: Face;
  readonly #client: Face;
  readonly #work: Slider<number>;
  readonly #pace = new Pace();
  #words: string | null = null;
  #found: readonly [string, Mood] | null = null;
  #inView = false;
  /** Ends the trial that runs. */
  #trial: AbortController | null = null;
  #paintedAt = 0;
  #stop: (() => void) | null = null;

  constructor(section: HTMLElement) {
    this.#section = section;
    this.#state = part(section, ".state");
    this.#plain = { clock: new PlainClock(this.#server), box: part(section, '[data-side="plain"]') };
    this.#client = { clock: new ClientClock(this.#server), box: part(section, '[data-side="client"]') };
    const steps = Array.from({ length: 16 }, (_, each) => each);
    this.#work = new Slider(section, "work", steps, (each) => `${each} ms`, () => this.#apply());
    for (const each of section.querySelectorAll<HTMLButtonElement>("button.freeze")) {
      each.addEventListener("click", () => void this.#run(Number(each.dataset["seconds"])));
    }
    part(section, "form").addEventListener("submit", (event) => event.preventDefault());
    new IntersectionObserver((entries) => this.#looked(entries.at(-1)?.isIntersecting ?? false)).observe(section);
    live.status.subscribe(({ state }) => {
      if (state === "stale" || state === "closed") {
        this.#trial?.abort(new Error("The connection was lost meanwhile. Freeze the tab again."));
      }
    });
    whenever(this);
  }

  get #faces(): readonly Face[] {
    return [this.#plain, this.#client];
  }

  start(): void {
    this.#words = null;
    this.#apply();
  }

  pause(words: string): void {
    this.#words = words;
    this.#trial?.abort(new Error(`${words}. Freeze the tab again.`));
    this.#apply();
  }

  #looked(inView: boolean): void {
    this.#inView = inView;
    if (this.#words === null) {
      this.#apply();
    }
  }

  /** The work would slow the rest of the page down, so the clocks run only while they are in view. */
  #apply(): void {
    const runs = this.#words === null && (this.#inView || this.#trial !== null);
    this.#faces.forEach(({ clock }) => (clock.work = this.#work.value));
    if (runs && !this.#stop) {
      this.#faces.forEach(({ clock }) => clock.start());
      this.#stop = everyFrame((now) => this.#paint(now));
      void this.#server.set().catch(() => {
        // The server does not answer; assume that both clocks agree.
      });
    } else if (!runs && this.#stop) {
      this.#faces.forEach(({ clock }) => clock.stop());
      this.#stop();
      this.#stop = null;
    }
    if (this.#trial === null) {
      const state = [this.#words ?? (runs ? "Both clocks run." : "Paused until it is in view"), runs ? "live" : ""] as const;
      this.#say(...(this.#words === null && this.#found ? this.#found : state));
    }
  }

  #paint(now: number): void {
    if (now - this.#paintedAt < READABLE || !this.#pace.due(now)) {
      return;
    }
    this.#paintedAt = now;
    for (const { clock, box } of this.#faces) {
      const { shown, behind } = clock;
      write(part(box, ".time"), shown === null ? "–" : time(shown));
      write(part(box, ".behind"), shown === null ? "stopped" : behind > LATE ? `${seconds(behind)} behind` : "right");
      box.dataset["late"] = String(shown !== null && behind > LATE);
    }
  }

  async #run(duration: number): Promise<void> {
    if (this.#trial) {
      return;
    }
    if (this.#words !== null) {
      this.#say(`${this.#words}: the clocks have to run first.`);
      return;
    }
    const trial = new AbortController();
    this.#trial = trial;
    this.#mark(true);
    this.#faces.forEach(({ box }) => write(part(box, ".result"), "\u00a0"));
    try {
      const plain = await this.#freeze(duration, this.#plain, this.#client, trial.signal);
      const client = await this.#freeze(duration, this.#client, this.#plain, trial.signal);
      this.#found = [verdict(plain, client), "good"];
    } catch (error) {
      this.#found = [reason(error), "bad"];
    }
    announce(this.#found[0]);
    this.#trial = null;
    this.#mark(false);
    this.#faces.forEach(({ clock }) => this.#stop && clock.start());
    this.#apply();
  }

  /** Freezes the tab with one clock; returns what became of it. The old values of both would delay each other. */
  async #freeze(duration: number, face: Face, other: Face, signal: AbortSignal): Promise<Found> {
    const title = part(face.box, "h3").innerText.split(",", 1)[0] ?? "";
    other.clock.stop();
    face.clock.start();
    this.#say(`${title}: waiting until its clock is right`);
    if ((await moment(() => face.clock.behind < LATE, signal)) === null) {
      throw new Error("The clock is not right: this page has too much work for each value. Move the slider to the left.");
    }
    this.#say(`${title}: the tab is frozen for ${duration} seconds`);
    await pause(2 * READABLE);
    signal.throwIfAborted();
    face.clock.late = 0;
    work(1000 * duration);
    const since = performance.now();
    this.#say(`${title}: the tab runs again`);
    return found(face, since, signal);
  }

  /** The buttons keep the focus, so they are marked as disabled and not disabled. */
  #mark(is: boolean): void {
    for (const each of this.#section.querySelectorAll("button.freeze")) {
      each.setAttribute("aria-disabled", String(is));
    }
  }

  #say(words: string, mood: Mood = ""): void {
    say(this.#state, words, mood);
  }
}

/** Waits until a clock is right, and shows how long that took. */
async function found({ clock, box }: Face, since: number, signal: AbortSignal): Promise<Found> {
  const right = await moment(() => clock.behind < LATE, signal);
  const after = right === null ? null : (right - since) / 1000;
  const took = after === null ? "not right within a minute" : `right after ${seconds(after)}`;
  write(part(box, ".result"), `${took}, after ${count(clock.late)} late value${clock.late === 1 ? "" : "s"}`);
  return { after, late: clock.late };
}

function verdict(plain: Found, client: Found): string {
  if (client.after === null) {
    return "Neither clock was right within a minute: this page has too much work for each value. Move the slider to the left.";
  }
  if (plain.after !== null && plain.after - client.after < SEEN) {
    return "There was no difference to see this time: this page has too little work for each value. Move the slider to the right.";
  }
  const took = plain.after === null ? "more than a minute" : seconds(plain.after);
  return `Wirespeed’s clock was right ${seconds(client.after)} after the freeze. The plain one needed ${took}: first, the page had to work through ${count(plain.late)} old values.`;
}

/** Formats a time of day: 14:03:59.4. */
function time(at: number): string {
  const date = new Date(at * 1000);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((each) => String(each).padStart(2, "0"));
  return `${parts.join(":")}.${Math.floor(date.getMilliseconds() / 100)}`;
}

/** Returns when a condition became true, checked before each paint, in milliseconds; null after a minute. */
function moment(is: () => boolean, signal: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const asked = performance.now();
    const stop = everyFrame(() => {
      const now = performance.now();
      const came = is();
      if (came || now - asked > PATIENCE) {
        stop();
        resolve(came ? now : null);
      }
    });
    signal.addEventListener("abort", () => {
      stop();
      reject(signal.reason as Error);
    });
  });
}
