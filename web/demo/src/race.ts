import { pauseForRace, resumeAfterRace } from "./attention.js";
import { Chart } from "./chart.js";
import { button, everyFrame, find, part, pause, reason, say } from "./dom.js";
import type { Mood } from "./dom.js";
import { count, seconds, small, times } from "./format.js";
import { LANES, Progress } from "./lanes.js";
import type { Figures, Format, Lane, LaneName } from "./lanes.js";

const MOST = Math.max(...LANES.map((lane) => lane.values));

interface Result extends Figures {
  /** Values per second. */
  rate: number;
  cpuPerValue: number;
}

/** The race: runs the lanes one after the other and paints their progress once per frame. */
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
      this.#summarise(await this.#runAll(format));
      this.#say(`Done: ${format === "json" ? "JSON" : "text"}, each lane once.`, "good");
    } catch (error) {
      this.#say(`The race stopped. ${reason(error)}`, "bad");
    } finally {
      resumeAfterRace();
      this.#busy(false);
    }
  }

  async #runAll(format: Format): Promise<Record<LaneName, Result>> {
    const results: Partial<Record<LaneName, Result>> = {};
    for (const lane of LANES) {
      this.#say(`${lane.title} is running`);
      results[lane.name] = await this.#run(lane, format);
      await pause(150);
    }
    return results as Record<LaneName, Result>;
  }

  async #run(lane: Lane, format: Format): Promise<Result> {
    const row = this.#row(lane.name);
    const progress = new Progress(lane.values);
    const stop = everyFrame(() => this.#paint(lane, row, progress));
    row.dataset["state"] = "running";
    try {
      const result = await lane.run(format, progress);
      this.#paint(lane, row, progress);
      row.dataset["state"] = "done";
      part(row, ".cpu").textContent = small(result.cpu / lane.values);
      return { ...result, rate: lane.values / result.seconds, cpuPerValue: result.cpu / lane.values };
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
      part(row, ".time").textContent = seconds(elapsed);
      part(row, ".rate").textContent = count(received / elapsed);
      this.#chart.add(lane.name, elapsed, received);
    }
  }

  #summarise({ poll, plain, wirespeed, client }: Record<LaneName, Result>): void {
    const tiles = [
      tile(
        client.rate / plain.rate,
        "the plain loop's pace in this page, with the client",
        `${seconds(client.seconds)} against ${seconds(plain.seconds)}: many values in a frame, each of them handled.`,
      ),
      tile(
        plain.cpuPerValue / client.cpuPerValue,
        "less server CPU per value than the plain loop, with the client",
        `The server worked for ${seconds(client.cpu)} instead of ${seconds(plain.cpu)}.`,
      ),
      tile(
        wirespeed.rate / plain.rate,
        "the plain loop's pace with a bare WebSocket",
        `${seconds(wirespeed.seconds)} against ${seconds(plain.seconds)}. Both wait for the browser, which takes in ` +
          `one frame after the other; the server worked ${times(plain.cpuPerValue / wirespeed.cpuPerValue)} less.`,
      ),
      tile(
        client.rate / poll.rate,
        "the pace of HTTP polling in this page, with the client",
        `At ${count(poll.rate)} values per second, 10,000 of them would take ${seconds(MOST / poll.rate)}.`,
      ),
    ];
    this.#summary.replaceChildren(...tiles);
    this.#summary.hidden = false;
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

function share(received: number, values: number): string {
  return `${count(received)} of ${count(MOST)}${values < MOST ? `, stops at ${count(values)}` : ""}`;
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
