// A chart of the last seconds, drawn by uPlot in the colours of the page.

import uPlot from "uplot";
import type { Data } from "./columns.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

export interface Look {
  /** The time span, in seconds. */
  seconds: number;
  /** Formats a value. */
  format: (value: number) => string;
  /** True if the axis begins at 0. */
  zero?: boolean;
  /** Room for the labels at the right, in pixels. */
  room: number;
}

/** A line, and the band between the lowest and the highest value of each column. */
export class Plot {
  readonly #plot: uPlot;
  readonly #look: Look;
  #low = NaN;
  #high = NaN;

  constructor(box: HTMLElement, look: Look, data: Data) {
    this.#look = look;
    this.#plot = new uPlot(this.#options(box), data, box);
    dark.addEventListener("change", () => this.#plot.redraw());
    new ResizeObserver(() => this.#plot.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
  }

  draw(data: Data): void {
    this.#plot.setData(data);
  }

  #options(box: HTMLElement): uPlot.Options {
    const style = getComputedStyle(box);
    const colour = (name: string) => () => style.getPropertyValue(name).trim();
    const band = { stroke: "transparent", width: 0, points: { show: false } };
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [10, 0, 0, 26],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-this.#look.seconds, 0] },
        y: { range: (_, least, most) => this.#range(least, most) },
      },
      series: [{}, band, band, { stroke: colour("--wirespeed"), width: 1.75, points: { show: false } }],
      bands: [{ series: [2, 1], fill: colour("--band") as unknown as uPlot.Band["fill"] & {} }],
      axes: this.#axes(style.fontFamily, colour),
    };
  }

  #axes(family: string, colour: (name: string) => () => string): uPlot.Axis[] {
    const shared = { font: `12px ${family}`, stroke: colour("--quiet"), ticks: { show: false } };
    const line = { stroke: colour("--line"), width: 1 };
    const { seconds, format, room } = this.#look;
    return [
      {
        ...shared,
        size: 24,
        gap: 4,
        grid: { show: false },
        splits: [-seconds, -seconds / 2, 0],
        values: (_, ago) => ago.map((at) => (at ? `${-at} s ago` : "now")),
      },
      { ...shared, side: 1, size: room, gap: 6, grid: line, space: 34, values: (_, all) => all.map((each) => format(each)) },
    ];
  }

  /** Adapts the range to the values: at once if they leave it, gradually if it has become too wide. */
  #range(least: number | null, most: number | null): [number, number] {
    if (least === null || most === null) {
      return [this.#low || 0, this.#high || 1];
    }
    const room = Math.max((most - least) * 0.15, Math.abs(most) * 0.0001, 0.01);
    const low = this.#look.zero ? 0 : least - room;
    const high = most + room;
    const fresh = Number.isNaN(this.#low);
    this.#low = fresh || low < this.#low ? low : this.#low + (low - this.#low) * 0.05;
    this.#high = fresh || high > this.#high ? high : this.#high + (high - this.#high) * 0.05;
    return [this.#low, this.#high];
  }
}
