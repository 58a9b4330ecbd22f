import { announce } from "./announcer.js";
import { pauseForRace, resumeAfterRace } from "./attention.js";
import { Chart } from "./chart.js";
import { button, everyFrame, find, part, pause, reason, say } from "./dom.js";
import type { Mood } from "./dom.js";
import { count, seconds, small, times } from "./format.js";
import { checkProcess, LANES, Progress } from "./lanes.js";
import type { Figures, Format, Lane, LaneName } from "./lanes.js";
import { Pace } from "./motion.js";
import { spreadOf } from "./spread.js";
import type { Spread } from "./spread.js";

const MOST = Math.max(...LANES.map((lane) => lane.values));
/** Rounds of a race, unless the address of the page has another number of them, as tests want. */
const USUAL = 5;
const ROUNDS = rounds(new URLSearchParams(location.search).get("rounds"));

/** The figures of one lane in all of its rounds. */
interface Result {
  /** Seconds for 10,000 values, in this page. */
  seconds: Spread;
  /** Seconds of the server's CPU per value. */
  cpu: Spread;
}

/** The race: runs the lanes one after the other, in rounds, and paints their progress. */
export class Race {
  readonly #section: HTMLElement;
  readonly #form: HTMLFormElement;
  readonly #state: HTMLElement;
  readonly #summary: HTMLElement;
  readonly #chart: Chart;
  #running = false;

  constructor(section: HTMLElement) {
    this.#section = section;
    this.#form = find(section, "form", HTMLFormElement);
    this.#state = part(section, "#race-state");
    this.#summary = part(section, "#race-summary");
    this.#chart = new Chart(part(section, ".chart"), MOST);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#start();
    });
    this.#form.addEventListener("change", () => this.#name());
    this.#name();
  }

  get #format(): Format {
    return new FormData(this.#form).get("format") === "json" ? "json" : "text";
  }

  /** Shows which method the plain loop calls in the chosen format. */
  #name(): void {
    part(this.#row("plain"), "th code").textContent = `send_${this.#format}`;
  }

  async #start(): Promise<void> {
    if (this.#running) {
      return;
    }
    const format = this.#format;
    this.#busy(true);
    this.#reset();
    try {
      this.#say("The live data of this page pauses");
      await pauseForRace();
      await this.#runAll(format);
    } catch (error) {
      this.#say(`The race stopped. ${reason(error)}`, "bad");
    } finally {
      resumeAfterRace();
      this.#busy(false);
    }
  }

  async #runAll(format: Format): Promise<void> {
    const all = new Map<LaneName, Figures[]>(LANES.map((lane) => [lane.name, []]));
    let server: number | null = null;
    for (let round = 0; round < ROUNDS; round += 1) {
      this.#chart.clear();
      for (const lane of inOrder(round)) {
        this.#say(`Round ${round + 1} of ${ROUNDS}: ${lane.title} is running`);
        const figures = all.get(lane.name) ?? [];
        const newest = await this.#run(lane, format);
        server ??= newest.process;
        checkProcess(server, newest.process); // it may restart between two lanes
        figures.push(newest);
        this.#show(lane, result(lane, figures));
        await pause(150);
      }
    }
    const words = this.#summarise((name) => result(laneOf(name), all.get(name) ?? []));
    this.#say(`Done: ${format === "json" ? "JSON" : "text"}, ${ROUNDS} rounds. ${words}`, "good");
    announce(words);
  }

  async #run(lane: Lane, format: Format): Promise<Figures> {
    const row = this.#row(lane.name);
    const progress = new Progress(lane.values);
    const pace = new Pace();
    const stop = everyFrame((now) => pace.due(now) && this.#paint(lane, row, progress));
    row.dataset["state"] = "running";
    try {
      const figures = await lane.run(format, progress);
      this.#paint(lane, row, progress);
      row.dataset["state"] = "done";
      return figures;
    } catch (error) {
      row.dataset["state"] = "failed";
      throw error;
    } finally {
      stop();
    }
  }

  #paint(lane: Lane, row: HTMLElement, progress: Progress): void {
    const { received, elapsed } = progress;
    part(row, ".bar").style.setProperty("transform", `scaleX(${received / MOST})`);
    part(row, ".count").textContent = share(received, lane.values);
    if (elapsed > 0) {
      this.#chart.add(lane.name, elapsed, received);
    }
  }

  #show(lane: Lane, { seconds: took, cpu }: Result): void {
    const row = this.#row(lane.name);
    spread(part(row, ".cpu"), cpu, small);
    spread(part(row, ".time"), took, seconds);
  }

  /** Shows the tiles; returns the main result as a sentence. */
  #summarise(of: (name: LaneName) => Result): string {
    const [poll, plain, bare, client] = [of("poll"), of("plain"), of("wirespeed"), of("client")];
    const tiles = [
      tile(
        plain.cpu.median / client.cpu.median,
        "less server CPU per value than the plain loop, with the client",
        `${small(client.cpu.median)} instead of ${small(plain.cpu.median)}; with a bare WebSocket, ${small(bare.cpu.median)}.`,
      ),
      tile(
        plain.seconds.median / client.seconds.median,
        "as fast in this page as the plain loop, with the client",
        `${seconds(client.seconds.median)} against ${seconds(plain.seconds.median)}: many values in a frame, each of them handled.`,
      ),
      tile(
        poll.seconds.median / client.seconds.median,
        "as fast in this page as HTTP polling, with the client",
        `10,000 requests would take ${seconds(poll.seconds.median)}.`,
      ),
    ];
    this.#summary.replaceChildren(...tiles, note(plain.seconds, bare.seconds));
    this.#summary.hidden = false;
    const [cpu, pace] = [plain.cpu.median / client.cpu.median, plain.seconds.median / client.seconds.median];
    return `Wirespeed’s client: ${times(cpu)} less server CPU than the plain loop, and ${times(pace)} as fast.`;
  }

  #reset(): void {
    this.#summary.hidden = true;
    this.#chart.clear();
    for (const lane of LANES) {
      const row = this.#row(lane.name);
      row.dataset["state"] = "waiting";
      part(row, ".bar").style.setProperty("transform", "scaleX(0)");
      part(row, ".count").textContent = share(0, lane.values);
      for (const figure of row.querySelectorAll(".figure")) {
        figure.textContent = "–";
      }
    }
  }

  /** The button keeps the focus while the race runs, so it is marked as disabled and not disabled. */
  #busy(is: boolean): void {
    this.#running = is;
    button(this.#form).setAttribute("aria-disabled", String(is));
    find(this.#form, "fieldset", HTMLFieldSetElement).disabled = is;
  }

  #row(name: LaneName): HTMLElement {
    return part(this.#section, `tr[data-lane="${name}"]`);
  }

  #say(words: string, mood: Mood = ""): void {
    say(this.#state, words, mood);
  }
}

function rounds(given: string | null): number {
  const wanted = Number(given ?? USUAL);
  return Number.isInteger(wanted) && wanted >= 1 && wanted <= 100 ? wanted : USUAL;
}

/** Returns the lanes of a round. Polling runs once; of the others, each one is the first in its turn. */
function inOrder(round: number): Lane[] {
  const [polling, ...others] = LANES;
  const first = round % others.length;
  const turned = [...others.slice(first), ...others.slice(0, first)];
  return round === 0 && polling ? [polling, ...turned] : turned;
}

function laneOf(name: LaneName): Lane {
  const found = LANES.find((lane) => lane.name === name);
  if (!found) {
    throw new Error(`There is no lane ${name}.`);
  }
  return found;
}

function result(lane: Lane, all: readonly Figures[]): Result {
  const scale = MOST / lane.values;
  return {
    seconds: spreadOf(all.map((each) => each.seconds * scale)),
    cpu: spreadOf(all.map((each) => each.cpu / lane.values)),
  };
}

/** Writes a median, and its range if there are several values. */
function spread(cell: HTMLElement, { least, median, most }: Spread, words: (value: number) => string): void {
  const range = document.createElement("small");
  range.textContent = least === most ? "" : `${words(least)} to ${words(most)}`;
  cell.replaceChildren(words(median), range);
}

function share(received: number, values: number): string {
  return `${count(received)} of ${count(values)}`;
}

function tile(ratio: number, title: string, words: string): HTMLElement {
  const box = document.createElement("div");
  const figure = document.createElement("strong");
  const text = document.createElement("p");
  const detail = document.createElement("small");
  figure.textContent = times(ratio);
  text.textContent = title;
  detail.textContent = words;
  box.append(figure, text, detail);
  return box;
}

/** Compares the two bare WebSockets in words: what limits them is the browser, which takes in frame after frame. */
function note(plain: Spread, bare: Spread): HTMLElement {
  const text = document.createElement("p");
  const ratio = plain.median / bare.median;
  const isClear = plain.least > bare.most || bare.least > plain.most;
  const pace = isClear
    ? `Wirespeed took ${seconds(bare.median)} and the plain loop ${seconds(plain.median)}, ${times(ratio)} as long`
    : `the times of Wirespeed (${seconds(bare.median)}) and of the plain loop (${seconds(plain.median)}) overlap`;
  text.textContent = `With the same bare WebSocket in the page, ${pace}: there, the browser’s own work for each frame takes most of the time.`;
  return text;
}
