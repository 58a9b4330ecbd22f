// Charts of the last minutes, by uPlot, and small ones without axes.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";
import { clock } from "./format.js";
import { memo } from "./memo.js";

export interface Line {
  label: string;
  /** A colour of the page, for example `--wirespeed`. */
  colour: string;
  values: (number | null)[];
  isFilled?: boolean;
}

interface Props {
  /** The description for screen readers: a chart's figures are also in tables. */
  label: string;
  times: number[];
  lines: Line[];
  format: (value: number) => string;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
/** The least span of the time axis, in seconds. */
const LEAST = 60;

/** A chart of lines over time. Its legend shows the values at the pointer, or else the newest ones. */
export function Chart({ label, times, lines, format }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = [times, ...lines.map(({ values }) => values)] as uPlot.AlignedData;
  const newest = useRef(data);
  newest.current = data;
  const labels = lines.map((line) => line.label).join("\n");
  useEffect(() => {
    const element = box.current;
    if (!element) {
      return undefined;
    }
    // A box without a size cannot hold a chart; it gets one when it is shown.
    const resize = new ResizeObserver(() => {
      const size = { width: element.clientWidth, height: element.clientHeight };
      if (plot.current) {
        plot.current.setSize(size);
      } else if (size.width > 0) {
        plot.current = new uPlot(options(element, lines, format), newest.current, element);
      }
    });
    const redraw = (): void => plot.current?.redraw();
    resize.observe(element);
    dark.addEventListener("change", redraw);
    return () => {
      dark.removeEventListener("change", redraw);
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [labels]);
  useEffect(() => plot.current?.setData(data));
  return (
    <div class="chart" role="img" aria-label={label}>
      <p class="legend" aria-hidden="true">
        {lines.map((line) => (
          <span key={line.label} data-colour={line.colour.slice(2)}>{line.label}</span>
        ))}
      </p>
      <div class="canvas" ref={box} />
    </div>
  );
}

function options(box: HTMLElement, lines: Line[], format: (value: number) => string): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string) => () => style.getPropertyValue(name).trim();
  const shared = { font: `12px ${style.fontFamily}`, stroke: colour("--quiet"), ticks: { show: false } };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    plugins: [tip(format)],
    scales: {
      x: { time: true, range: (_, __, last) => [Math.min(firstOf(_), last - LEAST), last] },
      y: { range: (_, __, most) => [0, (most || 1) * 1.15] },
    },
    series: [
      {},
      ...lines.map(({ label, colour: name, isFilled }) => ({
        label,
        stroke: colour(name),
        width: 1.75,
        points: { show: false },
        ...(isFilled && { fill: colour("--wash") }),
      })),
    ],
    axes: [
      { ...shared, size: 26, gap: 5, grid: { show: false }, space: 70, values: (_, all) => all.map(clock) },
      {
        ...shared,
        size: (_, all) => Math.max(34, ...(all ?? []).map((each) => each.length * 7.2 + 12)),
        gap: 6,
        grid: { stroke: colour("--line"), width: 1 },
        space: 36,
        values: (_, all) => all.map(format),
      },
    ],
  };
}

function firstOf(plot: uPlot): number {
  return plot.data[0][0] ?? 0;
}

/** Shows the values at the pointer. */
function tip(format: (value: number) => string): uPlot.Plugin {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  return {
    hooks: {
      init: ({ over }) => {
        over.append(box);
        over.addEventListener("mouseleave", () => (box.hidden = true));
      },
      setCursor: (plot) => {
        const { idx, left = 0 } = plot.cursor;
        const at = idx === null || idx === undefined ? undefined : plot.data[0][idx];
        box.hidden = at === undefined || left < 0;
        if (at === undefined || idx === null || idx === undefined) {
          return;
        }
        const rows = plot.series.slice(1).map(({ label }, index) => {
          const value = plot.data[index + 1]?.[idx];
          return `${String(label)}: ${value === null || value === undefined ? "–" : format(value)}`;
        });
        box.textContent = [clock(at), ...rows].join("\n");
        const isRight = left > plot.over.clientWidth / 2;
        box.style.translate = `${isRight ? left - box.offsetWidth - 12 : left + 12}px 0`;
      },
    },
  };
}

interface SparkProps {
  /** The points, as `sparkOf` makes them: a string, so that an unchanged line is not drawn again. */
  points: string;
}

const SPARK = 40;

/** Returns the newest of some values as the points of a small line. */
export function sparkOf(values: readonly (number | null)[]): string {
  const last = values.slice(-SPARK);
  const most = Math.max(...last.map((each) => each ?? 0));
  if (most === 0) {
    return "";
  }
  const first = SPARK - last.length;
  return last
    .flatMap((each, index) => (each === null ? [] : [`${(first + index) * 2},${(19 - (each / most) * 18).toFixed(1)}`]))
    .join(" ");
}

/** A small line without axes, for tables. The figures beside it say the same in numbers. */
export const Spark = memo(function Spark({ points }: SparkProps) {
  return (
    <svg class="spark" viewBox="0 0 80 20" preserveAspectRatio="none" aria-hidden="true">
      {points ? <polyline points={points} /> : <polyline class="idle" points="0,19 80,19" />}
    </svg>
  );
});
