// A number over time.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useId, useRef } from "preact/hooks";
import { number, timeOf } from "./format.js";

interface Props {
  readonly names: readonly string[];
  readonly chosen: string | undefined;
  readonly points: readonly [times: readonly number[], values: readonly number[]];
  readonly onChoose: (name: string | undefined) => void;
  /** Keys of the rows of a table, of which one is plotted. */
  readonly rows?:
    | {
        readonly names: readonly string[];
        readonly chosen: string | undefined;
        readonly onChoose: (name: string) => void;
      }
    | undefined;
}

const HEIGHT = 170;
/** The least span of the time axis, in seconds. */
const LEAST = 5;

/** The numbers of the values, of which one can be plotted. */
export function Plot({ names, chosen, points, onChoose, rows }: Props) {
  const id = useId();
  const newest = points[1].at(-1);
  return (
    <section class="try-plot" aria-label="Plot">
      <p class="try-plot-head">
        <label for={id}>Plot</label>
        <select
          id={id}
          value={chosen ?? ""}
          onChange={({ currentTarget }) => onChoose(currentTarget.value || undefined)}
        >
          <option value="">nothing</option>
          {names.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        {rows && chosen !== undefined && (
          <>
            <label for={`${id}-row`}>of</label>
            <select
              id={`${id}-row`}
              value={rows.chosen}
              onChange={({ currentTarget }) => rows.onChoose(currentTarget.value)}
            >
              {rows.names.map((name) => (
                <option key={name} value={name}>
                  {name.replace(/^"(.*)"$/, "$1")}
                </option>
              ))}
            </select>
          </>
        )}
        {chosen !== undefined && (
          <output for={id} aria-live="off">
            {newest === undefined ? "waiting" : number(newest)}
          </output>
        )}
      </p>
      {chosen !== undefined && <Line key={`${chosen} ${rows?.chosen}`} name={chosen} points={points} />}
    </section>
  );
}

function Line({ name, points }: { name: string; points: Props["points"] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  useEffect(() => {
    const element = box.current!;
    const made = new uPlot(optionsOf(element), [[], []], element);
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = (): void => made.redraw();
    plot.current = made;
    resized.observe(element);
    dark.addEventListener("change", redraw);
    return () => {
      dark.removeEventListener("change", redraw);
      resized.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(points as unknown as uPlot.AlignedData), [points]);
  return (
    <div
      class="try-canvas"
      role="img"
      aria-label={`${name} over time. The newest number is beside the choice.`}
      ref={box}
    />
  );
}

function optionsOf(box: HTMLElement): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string) => (): string => style.getPropertyValue(name).trim();
  const axis = { font: `12px ${style.fontFamily}`, stroke: colour("--quiet"), ticks: { show: false } } as const;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: (_, from, to) => [Math.min(from ?? 0, (to ?? 0) - LEAST), to ?? LEAST] },
      y: { range: (_, low, high) => aroundOf(low ?? 0, high ?? 1) },
    },
    series: [{}, { stroke: colour("--wirespeed"), width: 1.75, points: { show: false } }],
    axes: [
      {
        ...axis,
        size: 26,
        gap: 5,
        grid: { show: false },
        space: 90,
        values: (_, all) => all.map((each) => timeOf(each * 1000).slice(0, 8)),
      },
      {
        ...axis,
        size: (_, all) => Math.max(40, ...(all ?? []).map((each) => each.length * 7.4 + 12)),
        gap: 6,
        grid: { stroke: colour("--line"), width: 1 },
        space: 36,
        values: (_, all) => all.map(number),
      },
    ],
  };
}

/** Returns a range around numbers, with room above and below. */
function aroundOf(low: number, high: number): [number, number] {
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}
