import { pauseForRace, resumeAfterRace } from "./attention.js";
import { Chart } from "./chart.js";
import { count, seconds, small, times } from "./format.js";
import { LANES, Progress } from "./lanes.js";

const MOST = Math.max(...LANES.map((lane) => lane.values));

/** The race: runs the lanes one after the other and paints what they tell, once per frame. */
export class Race {
  #section;
  #form;
  #state;
  #summary;
  #chart;
  #running = false;

  constructor(section) {
    this.#section = section;
    this.#form = section.querySelector("form");
    this.#state = section.querySelector("#race-state");
    this.#summary = section.querySelector("#race-summary");
    this.#chart = new Chart(section.querySelector(".chart"), MOST);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    this.#form.addEventListener("change", () => this.#name());
    this.#name();
  }

  get #format() {
    return new FormData(this.#form).get("format");
  }

  /** Says which call the plain loop makes in the chosen format. */
  #name() {
    this.#row("plain").querySelector("th code").textContent = `send_${this.#format}`;
  }

  async #start() {
    if (this.#running) {
      return;
    }
    const format = this.#format;
    this.#busy(true);
    this.#reset();
    const results = {};
    try {
      this.#say("The live data of this page pauses");
      await pauseForRace();
      for (const lane of LANES) {
        this.#say(`${lane.title} is running`);
        results[lane.name] = await this.#run(lane, format);
        await pause(150);
      }
      this.#say(`Done: ${format === "json" ? "JSON" : "text"}, each lane once.`, "good");
      this.#summarise(results);
    } catch (error) {
      this.#say(`The race stopped. ${error.message}`, "bad");
    } finally {
      resumeAfterRace();
      this.#busy(false);
    }
  }

  async #run(lane, format) {
    const row = this.#row(lane.name);
    const progress = new Progress(lane.values);
    const stop = everyFrame(() => this.#paint(lane, row, progress));
    row.dataset.state = "running";
    try {
      const result = await lane.run(format, progress);
      this.#paint(lane, row, progress);
      row.dataset.state = "done";
      row.querySelector(".cpu").textContent = small(result.cpu / lane.values);
      return { ...result, rate: lane.values / result.seconds, cpuPerValue: result.cpu / lane.values };
    } catch (error) {
      row.dataset.state = "failed";
      throw error;
    } finally {
      stop();
    }
  }

  #paint(lane, row, progress) {
    const { received, elapsed } = progress;
    row.querySelector(".bar").style.setProperty("transform", `scaleX(${received / MOST})`);
    row.querySelector(".count").textContent = share(received, lane.values);
    if (elapsed > 0) {
      row.querySelector(".time").textContent = seconds(elapsed);
      row.querySelector(".rate").textContent = count(received / elapsed);
      this.#chart.add(lane.name, elapsed, received);
    }
  }

  #summarise({ poll, plain, wirespeed }) {
    const tiles = [
      [
        plain.cpuPerValue / wirespeed.cpuPerValue,
        "less server CPU per value than the plain loop",
        `The server worked for ${seconds(wirespeed.cpu)} instead of ${seconds(plain.cpu)}.`,
      ],
      [
        wirespeed.rate / plain.rate,
        "the plain loop's pace in this page",
        `${seconds(wirespeed.seconds)} against ${seconds(plain.seconds)}. Both wait for the browser, which takes in ` +
          "one message after the other.",
      ],
      [
        wirespeed.rate / poll.rate,
        "the pace of HTTP polling in this page",
        `At ${count(poll.rate)} values per second, 10,000 of them would take ${seconds(MOST / poll.rate)}.`,
      ],
    ];
    this.#summary.replaceChildren(...tiles.map(tile));
    this.#summary.hidden = false;
  }

  #reset() {
    this.#summary.hidden = true;
    this.#chart.clear();
    for (const lane of LANES) {
      const row = this.#row(lane.name);
      row.dataset.state = "waiting";
      row.querySelector(".bar").style.setProperty("transform", "scaleX(0)");
      row.querySelector(".count").textContent = share(0, lane.values);
      for (const figure of row.querySelectorAll(".figure")) {
        figure.textContent = "–";
      }
    }
  }

  /** The button keeps the focus while the race runs, so it is not disabled but says that it is. */
  #busy(is) {
    this.#running = is;
    this.#form.querySelector("button").setAttribute("aria-disabled", String(is));
    this.#form.querySelector("fieldset").disabled = is;
  }

  #row(name) {
    return this.#section.querySelector(`tr[data-lane="${name}"]`);
  }

  #say(words, mood = "") {
    this.#state.textContent = words;
    this.#state.dataset.mood = mood;
  }
}

function share(received, values) {
  return `${count(received)} of ${count(MOST)}${values < MOST ? `, stops at ${count(values)}` : ""}`;
}

/** Calls `paint` before each paint of the browser, until the function that it returns is called. */
function everyFrame(paint) {
  let frame = requestAnimationFrame(function next() {
    paint();
    frame = requestAnimationFrame(next);
  });
  return () => cancelAnimationFrame(frame);
}

function tile([ratio, title, words]) {
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

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
