// The list of all definitions, with their figures summed over processes, and a column per process.

import { useEffect, useMemo, useState } from "preact/hooks";
import { announce } from "./announce.js";
import { Chart, Spark, sparkOf } from "./chart.js";
import { NO_FIGURES, type Figures, type Overview, type Row } from "./data.js";
import type { Definition } from "./document.js";
import { bytes, count, plural, rate } from "./format.js";
import type { History } from "./history.js";
import { useSettled, type Watched } from "./hooks.js";
import { memo } from "./memo.js";
import { labelOf } from "./names.js";
import { Badge, Choice, Figure, Heading, Marked, Path, Search, Waiting } from "./parts.js";
import { link } from "./route.js";
import { Head, useOrder, type Column } from "./sorting.js";

export interface Known {
  definitions: Map<string, Definition>;
  overview: Watched<Overview>;
  history: History;
}

/** A definition in the list: what the document says, the figures, or both. */
interface Item {
  path: string;
  kind: Row["kind"];
  definition: Definition | undefined;
  row: Row | undefined;
}

const KINDS = [
  ["all", "All"],
  ["feed", "Feeds"],
  ["topic", "Topics"],
  ["stream", "Streams"],
  ["call", "Calls"],
] as const;

type Choosable = (typeof KINDS)[number][0];

const MEASURES = [
  ["none", "No columns per process"],
  ["watchers", "Watchers per process"],
  ["published", "Published/s per process"],
  ["delivered", "Delivered/s per process"],
  ["lost", "Lost per process"],
  ["failed", "Failures per process"],
] as const;

type PerProcess = (typeof MEASURES)[number][0];

/** Rows that are shown at first, and that "Show more" adds. */
const PAGE = 100;

export function Definitions({ definitions, overview, history }: Known) {
  const [text, setText] = useState("");
  const [kind, setKind] = useState<Choosable>("all");
  const [limit, setLimit] = useState(PAGE);
  const rows = overview.value?.definitions;
  const items = useMemo(() => merge(definitions, rows), [definitions, rows]);
  const sought = useSettled(text.trim().toLowerCase(), 100);
  const found = items.filter((item) => (kind === "all" || item.kind === kind) && matches(item, sought));
  useEffect(() => {
    setLimit(PAGE);
    if (sought) {
      announce(`${found.length} of ${plural(items.length, "definition")}`);
    }
  }, [sought, kind]);
  return (
    <>
      <Heading title="Definitions">Definitions</Heading>
      <Summary overview={overview} history={history} />
      <div class="toolbar">
        <Search label="Search paths, tags and descriptions" value={text} onChange={setText} />
        <Choice legend="Kind" options={KINDS} value={kind} onChange={setKind} />
      </div>
      {found.length ? (
        <List items={found} limit={limit} overview={overview} history={history} />
      ) : (
        <Nothing isEmpty={items.length === 0} overview={overview} />
      )}
      {found.length > limit && (
        <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
          Show {Math.min(PAGE, found.length - limit)} more of {count(found.length)}
        </button>
      )}
    </>
  );
}

function Nothing({ isEmpty, overview }: { isEmpty: boolean; overview: Watched<Overview> }) {
  if (!isEmpty) {
    return <p class="empty">No definition matches. Change the search or the kind.</p>;
  }
  return overview.value ? (
    <p class="empty">This app has no streams, feeds, topics or calls yet.</p>
  ) : (
    <Waiting link={overview.link} reason={overview.reason} />
  );
}

/** Joins the document's definitions with those that have figures, in the order of their declarations. */
function merge(definitions: Map<string, Definition>, rows: Row[] = []): Item[] {
  const byPath = new Map(rows.map((row) => [row.path, row]));
  const documented = [...definitions.values()].map((definition) => {
    const { path, kind } = definition;
    return { path, kind, definition, row: byPath.get(path) };
  });
  const others = rows.filter(({ path }) => !definitions.has(path));
  return [...documented, ...others.map((row) => ({ path: row.path, kind: row.kind, definition: undefined, row }))];
}

function matches({ path, definition }: Item, sought: string): boolean {
  const { title = "", summary = "", description = "", tags = [] } = definition ?? {};
  return sought === "" || [path, title, summary, description, ...tags].some((each) => each.toLowerCase().includes(sought));
}

/** The figures of the whole app, and how they developed. */
function Summary({ overview, history }: { overview: Watched<Overview>; history: History }) {
  const rows = overview.value?.definitions ?? [];
  const total = (name: "watchers" | "lost" | "failed" | "failing"): number =>
    rows.reduce((sum, row) => sum + (row[name] ?? 0), 0);
  const failed = total("failed") + rows.reduce((sum, { runs }) => sum + (runs?.failed ?? 0), 0);
  const known = overview.value !== null;
  const show = (value: number): string => (known ? count(value) : count(null));
  return (
    <section class="card summary" aria-label="All definitions together">
      <dl class="figures">
        <Figure label="Watchers" value={show(total("watchers"))} />
        <Figure label="Published" value={rate(history.sum("published"))} note="/s" />
        <Figure label="Delivered" value={rate(history.sum("delivered"))} note="/s" />
        <Figure label="Written" value={bytes(history.sum("bytes"))} note="/s" />
        <Figure label="Lost" value={show(total("lost"))} isBad={total("lost") > 0} />
        <Figure label="Failures" value={show(failed)} isBad={failed > 0} />
        <Figure label="Failing keys" value={show(total("failing"))} isBad={total("failing") > 0} />
      </dl>
      <Chart
        label="Values published and delivered per second, since this page was opened"
        times={history.times}
        format={rate}
        lines={[
          { label: "Delivered/s", colour: "--wirespeed", values: history.sums("delivered"), isFilled: true },
          { label: "Published/s", colour: "--plain", values: history.sums("published") },
        ]}
      />
    </section>
  );
}

interface ListProps {
  items: Item[];
  limit: number;
  overview: Watched<Overview>;
  history: History;
}

function List({ items, limit, overview, history }: ListProps) {
  const processes = overview.value?.processes.map(({ name }) => name) ?? [];
  const [chosen, setChosen] = useState<PerProcess>("watchers");
  const measure = processes.length > 1 ? chosen : "none";
  const { ordered, order, setOrder } = useOrder(items, columns(history), ({ path }) => path);
  const shown = ordered.slice(0, limit);
  return (
    <>
      {processes.length > 1 && (
        <p class="quiet options">
          <label>
            <span class="hidden">Columns per process: </span>
            <select value={chosen} onChange={({ currentTarget }) => setChosen(currentTarget.value as PerProcess)}>
              {MEASURES.map(([value, label]) => (
                <option key={value} value={value}>{label}</option>
              ))}
            </select>
          </label>
          <span>● marks the process that runs the producer</span>
        </p>
      )}
      <div class="box" role="region" aria-label="Definitions" tabIndex={0}>
        <table class="list definitions" style={{ "--columns": `${33 + (measure === "none" ? 0 : processes.length * 5)}rem` }}>
          <caption class="hidden">
            Definitions with their figures, summed over {plural(processes.length, "process", "processes")}
          </caption>
          <thead>
            <tr>
              <Head columns={columns(history)} order={order} onOrder={setOrder} />
              {measure !== "none" && processes.map((name) => <th key={name} scope="col" class="figure process">{labelOf(name)}</th>)}
            </tr>
          </thead>
          <tbody>
            {shown.map(({ path, kind, definition, row }) => (
              <Line
                key={path}
                path={path}
                kind={kind}
                words={definition?.summary || firstSentence(definition?.description)}
                isDeprecated={definition?.deprecated ?? false}
                keys={row && hasKeys(kind) ? count(row.keys) : ""}
                watchers={row ? count(hasKeys(kind) ? row.watchers : row.runs?.active) : ""}
                spark={sparkOf(history.series(path, hasKeys(kind) ? "delivered" : "runs"))}
                published={hasKeys(kind) ? rate(history.rate(path, "published")) : ""}
                delivered={rate(history.rate(path, hasKeys(kind) ? "delivered" : "runs"))}
                lost={row && hasKeys(kind) ? count(row.lost) : ""}
                failed={row ? count(failures(row)) : ""}
                failing={row?.failing ?? 0}
                cells={row ? cellsOf(row, processes, measure, history) : ""}
              />
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Returns true for definitions that have keys; streams and calls have runs. */
export function hasKeys(kind: string): boolean {
  return kind === "feed" || kind === "topic";
}

/** Returns the number of failures: of producers and handlers, and of runs. */
export function failures({ failed, runs }: Figures): number {
  return (failed ?? 0) + (runs?.failed ?? 0);
}

function firstSentence(text = ""): string {
  return /^[^]*?[.!?](?=\s|$)/.exec(text.trim())?.[0].replace(/\s+/g, " ") ?? text.trim();
}

function columns(history: History): Column<Item>[] {
  const figure = (value: (row: Row) => number) => (item: Item) => (item.row ? value(item.row) : -1);
  return [
    { id: "path", label: "Definition", by: ({ path }) => path },
    { id: "spark", label: "" },
    {
      id: "watchers",
      label: "Watchers",
      note: "or active runs",
      by: figure((row) => (hasKeys(row.kind) ? row.watchers : row.runs.active)),
      isFigure: true,
    },
    {
      id: "delivered",
      label: "Delivered/s",
      note: "or runs/s",
      by: ({ path, kind }) => history.rate(path, hasKeys(kind) ? "delivered" : "runs") ?? -1,
      isFigure: true,
    },
    { id: "published", label: "Published/s", by: ({ path }) => history.rate(path, "published") ?? -1, isFigure: true },
    { id: "lost", isShort: true, label: "Lost", by: figure((row) => row.lost), isFigure: true },
    { id: "failed", isShort: true, label: "Failures", by: figure(failures), isFigure: true },
    { id: "keys", isShort: true, label: "Keys", by: figure((row) => row.keys), isFigure: true },
  ];
}

/** Returns the cells of all processes as one text, which is equal as long as none has changed. */
function cellsOf(row: Row, processes: string[], measure: PerProcess, history: History): string {
  if (measure === "none") {
    return "";
  }
  const cell = (name: string): string => {
    const own = row.by_process[name] ?? NO_FIGURES;
    const mark = (row.producers[name]?.["running"] ?? 0) > 0 ? "●" : "";
    switch (measure) {
      case "published":
      case "delivered":
        return mark + rate(history.rate(row.path, hasKeys(row.kind) ? measure : "runs", name));
      case "failed":
        return mark + count(failures(own));
      default:
        return mark + count(measure === "watchers" && !hasKeys(row.kind) ? own.runs.active : own[measure]);
    }
  };
  return processes.map(cell).join("\n");
}

interface LineProps {
  path: string;
  kind: string;
  words: string;
  isDeprecated: boolean;
  keys: string;
  watchers: string;
  spark: string;
  published: string;
  delivered: string;
  lost: string;
  failed: string;
  failing: number;
  cells: string;
}

const Line = memo(function Line(line: LineProps) {
  return (
    <tr>
      <th scope="row">
        <Badge mood={line.kind} word={line.kind} />
        <a href={link({ view: "definition", path: line.path })}>
          <Path text={line.path} />
        </a>
        <small>
          {line.failing > 0 && <Badge mood="bad" word={`${line.failing} failing`} />}
          {line.isDeprecated && <Badge mood="plain" word="deprecated" />}
          <Marked text={line.words} />
        </small>
      </th>
      <td class="sparkline"><Spark points={line.spark} /></td>
      <td class="figure">{line.watchers}</td>
      <td class="figure">{line.delivered}</td>
      <td class="figure">{line.published}</td>
      <td class="figure" data-mood={moodOfCount(line.lost)}>{line.lost}</td>
      <td class="figure" data-mood={moodOfCount(line.failed)}>{line.failed}</td>
      <td class="figure">{line.keys}</td>
      {line.cells !== "" && line.cells.split("\n").map((cell, index) => <Cell key={index} text={cell} />)}
    </tr>
  );
});

function Cell({ text }: { text: string }) {
  const isProducer = text.startsWith("●");
  return (
    <td class="figure process">
      {isProducer && <span class="producer"><span aria-hidden="true">●</span><span class="hidden">runs the producer, </span></span>}
      {isProducer ? text.slice(1) : text}
    </td>
  );
}

function moodOfCount(text: string): "bad" | "quiet" | undefined {
  return text === "0" || text === "" ? "quiet" : "bad";
}
