// Lines that grow: values received over time, one line per lane, all from the same zero.

import { find, part } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SIZE = 1000;
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

type Point = readonly [seconds: number, values: number];

export class Chart {
  readonly #plot: HTMLElement;
  readonly #top: number;
  #span = 0;
  #points = new Map<string, Point[]>();

  /** `top` is the largest number of values that a lane may have. */
  constructor(figure: HTMLElement, top: number) {
    this.#plot = part(figure, ".plot");
    this.#top = top;
    this.clear();
  }

  clear(): void {
    this.#points.clear();
    for (const line of this.#plot.querySelectorAll("polyline")) {
      line.setAttribute("points", "");
    }
    this.#stretch(1);
  }

  add(lane: string, seconds: number, values: number): void {
    const points = this.#points.get(lane) ?? [[0, 0]];
    points.push([seconds, values]);
    this.#points.set(lane, points);
    if (seconds > this.#span) {
      this.#stretch(seconds * 1.15);
      for (const name of this.#points.keys()) {
        this.#draw(name);
      }
    } else {
      this.#draw(lane);
    }
  }

  #x(seconds: number): number {
    return (seconds / this.#span) * SIZE;
  }

  #y(values: number): number {
    return SIZE - (values / this.#top) * SIZE;
  }

  #draw(lane: string): void {
    const points = (this.#points.get(lane) ?? []).map(([x, y]) => `${this.#x(x).toFixed(1)},${this.#y(y).toFixed(1)}`);
    find(this.#plot, `polyline[data-lane="${lane}"]`, SVGPolylineElement).setAttribute("points", points.join(" "));
  }

  #stretch(span: number): void {
    this.#span = span;
    const step = STEPS.find((size) => span / size <= 6) ?? span;
    const grid = find(this.#plot, ".grid", SVGGElement);
    const ticks = part(this.#plot, ".ticks");
    grid.replaceChildren();
    ticks.replaceChildren();
    for (let at = 0; at <= span; at += step) {
      grid.append(rule(this.#x(at), 0, this.#x(at), SIZE));
      ticks.append(tick("x", this.#x(at) / 10, `${Number(at.toFixed(2))} s`));
    }
    for (const share of [0, 0.5, 1]) {
      const values = this.#top * share;
      grid.append(rule(0, this.#y(values), SIZE, this.#y(values)));
      ticks.append(tick("y", this.#y(values) / 10, values.toLocaleString("en")));
    }
  }
}

function rule(x1: number, y1: number, x2: number, y2: number): SVGLineElement {
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) {
    line.setAttribute(name, String(value));
  }
  return line;
}

function tick(axis: "x" | "y", percent: number, words: string): HTMLSpanElement {
  const label = document.createElement("span");
  label.className = axis;
  label.style.setProperty(axis === "x" ? "left" : "top", `${percent}%`);
  label.textContent = words;
  return label;
}
