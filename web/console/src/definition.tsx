// One definition: its figures, its types, and the panel that tries it.

import { Chart } from "./chart.js";
import { NO_FIGURES, type Figures, type Overview, type Row } from "./data.js";
import { failures, hasKeys, type Known } from "./definitions.js";
import type { AsyncApi, Definition } from "./document.js";
import { bytes, count, rate } from "./format.js";
import type { History, Measure } from "./history.js";
import { Keys } from "./keys.js";
import { labelOf } from "./names.js";
import { Badge, Figure, Heading, Path, Prose, Table, Waiting } from "./parts.js";
import { link, type Part } from "./route.js";
import { TryIt } from "./try/index.js";
import { Types } from "./types.js";

const PARTS = [
  ["definition", "Live"],
  ["types", "Types"],
  ["try", "Try it"],
] as const;

interface Props extends Known {
  document: AsyncApi;
  path: string;
  part: Part;
}

export function DefinitionPage({ path, part, document, definitions, overview, history }: Props) {
  const definition = definitions.get(path);
  const row = overview.value?.definitions.find((each) => each.path === path);
  const kind = definition?.kind ?? row?.kind;
  if (!kind) {
    return <Missing path={path} overview={overview} />;
  }
  return (
    <>
      <p class="crumbs"><a href={link({ view: "definitions" })}>Definitions</a></p>
      <Heading title={path}><Path text={path} /></Heading>
      <p class="badges">
        <Badge mood={kind} word={kind} />
        {definition?.by && <Badge mood="plain" word="table" />}
        {definition?.deprecated && <Badge mood="plain" word="deprecated" />}
        {definition?.tags.map((tag) => <Badge key={tag} mood="plain" word={tag} />)}
      </p>
      {definition && <Prose text={wordsOf(definition)} />}
      <nav class="tabs" aria-label={path}>
        {PARTS.map(([view, label]) => (
          <a key={view} href={link({ view, path })} aria-current={view === part ? "page" : undefined}>{label}</a>
        ))}
      </nav>
      {part === "definition" && <Live path={path} kind={kind} row={row} overview={overview} history={history} />}
      {part === "types" && (definition ? <Types definition={definition} document={document} /> : <Undocumented />)}
      {part === "try" && (
        <section aria-labelledby="try-it">
          <h2 id="try-it" class="hidden">Try it</h2>
          {definition ? <TryIt definition={definition} document={document} /> : <Undocumented />}
        </section>
      )}
    </>
  );
}

/** Returns the summary and the description, which begins with the summary if both are from the docstring. */
function wordsOf({ summary, description }: Definition): string {
  return description.startsWith(summary) ? description : `${summary}\n\n${description}`;
}

function Missing({ path, overview }: Pick<Props, "path" | "overview">) {
  if (!overview.value && overview.link !== "refused") {
    return <Waiting link={overview.link} reason="" />;
  }
  return (
    <>
      <Heading title="Not found">Not found</Heading>
      <p>
        This app has no definition with the path <code>{path}</code>.{" "}
        <a href={link({ view: "definitions" })}>All definitions</a>
      </p>
    </>
  );
}

function Undocumented() {
  return (
    <p class="empty">
      This definition has <code>include_in_schema=False</code>, so the console does not know its types.
    </p>
  );
}

interface LiveProps extends Pick<Known, "overview" | "history"> {
  path: string;
  kind: Row["kind"];
  row: Row | undefined;
}

function Live({ path, kind, row, overview, history }: LiveProps) {
  if (!row) {
    return <Waiting link={overview.link} reason={overview.reason} />;
  }
  const main: Measure = hasKeys(kind) ? "delivered" : "runs";
  const lines = [
    { label: hasKeys(kind) ? "Delivered/s" : "Runs/s", colour: "--wirespeed", values: history.series(path, main), isFilled: true },
    ...(hasKeys(kind) ? [{ label: "Published/s", colour: "--plain", values: history.series(path, "published") }] : []),
  ];
  return (
    <>
      <section class="card summary" aria-label="Figures">
        <dl class="figures">
          {measures(kind).slice(0, 8).map(({ label, note, read, isFault }) => {
            const value = read(row, path, history);
            return <Figure key={label} label={label} value={value} note={note ?? ""} isBad={!!isFault && value !== "0"} />;
          })}
        </dl>
        <Chart
          label={`${lines.map((line) => line.label).join(" and ")}, since this page was opened`}
          times={history.times}
          format={rate}
          lines={lines}
        />
      </section>
      <Processes path={path} kind={kind} row={row} overview={overview.value} history={history} />
      {hasKeys(kind) && <Keys path={path} />}
    </>
  );
}

interface Shown {
  label: string;
  note?: string;
  read: (figures: Figures, path: string, history: History, process?: string) => string;
  isFault?: boolean;
}

const rateOf =
  (measure: Measure, format = rate): Shown["read"] =>
  (_, path, history, process) =>
    format(history.rate(path, measure, process));

const SHARED: Shown[] = [
  { label: "Failures", read: (figures) => count(failures(figures)), isFault: true },
  { label: "Written", note: "/s", read: rateOf("bytes", bytes) },
];

const OF_KEYS: Shown[] = [
  { label: "Keys", read: ({ keys }) => count(keys) },
  { label: "Watchers", read: ({ watchers }) => count(watchers) },
  { label: "Published", note: "/s", read: rateOf("published") },
  { label: "Delivered", note: "/s", read: rateOf("delivered") },
  { label: "Lost", read: ({ lost }) => count(lost), isFault: true },
  ...SHARED,
  { label: "Failing keys", read: ({ failing }) => count(failing), isFault: true },
  { label: "Skipped", read: ({ skipped }) => count(skipped) },
  { label: "Restarts", read: ({ restarts }) => count(restarts) },
  { label: "Published in all", read: ({ published }) => count(published) },
  { label: "Delivered in all", read: ({ delivered }) => count(delivered) },
];

const OF_RUNS: Shown[] = [
  { label: "Active runs", read: ({ runs }) => count(runs?.active) },
  { label: "Runs", note: "/s", read: rateOf("runs") },
  { label: "Completed", read: ({ runs }) => count(runs?.completed) },
  { label: "Refused", read: ({ runs }) => count(runs?.refused) },
  { label: "Cancelled", read: ({ runs }) => count(runs?.cancelled) },
  ...SHARED,
];

function measures(kind: string): Shown[] {
  return hasKeys(kind) ? OF_KEYS : OF_RUNS;
}

interface ProcessesProps extends Omit<LiveProps, "overview" | "row"> {
  row: Row;
  overview: Overview | null;
}

/** The figures again, with a column per process. */
function Processes({ path, kind, row, overview, history }: ProcessesProps) {
  const names = overview?.processes.map(({ name }) => name) ?? Object.keys(row.by_process);
  // The sum over one process is its own figure.
  const isShared = names.length !== 1;
  const head = (
    <>
      <th scope="col">Figure</th>
      {isShared && <th scope="col" class="figure">All</th>}
      {names.map((name) => <th key={name} scope="col" class="figure process">{labelOf(name)}</th>)}
    </>
  );
  return (
    <section class="block" aria-labelledby="by-process">
      <h2 id="by-process">Processes</h2>
      <Table caption="Figures of each process" head={head} class="compact">
        {kind === "feed" && (
          <tr>
            <th scope="row">Producers</th>
            {isShared && <td class="figure">{producers(row, names)}</td>}
            {names.map((name) => (
              <td key={name} class="figure process"><Runner own={row.producers[name]} /></td>
            ))}
          </tr>
        )}
        {measures(kind).map(({ label, note, read }) => (
          <tr key={label}>
            <th scope="row">{label}{note}</th>
            {isShared && <td class="figure">{read(row, path, history)}</td>}
            {names.map((name) => (
              <td key={name} class="figure process">
                {read(row.by_process[name] ?? NO_FIGURES, path, history, name)}
              </td>
            ))}
          </tr>
        ))}
      </Table>
    </section>
  );
}

function producers(row: Row, names: string[]): string {
  return count(names.reduce((sum, name) => sum + (row.producers[name]?.["running"] ?? 0), 0));
}

/** The generators of one process: those that run, and those in other states, such as waiting for another process. */
function Runner({ own = {} }: { own: Record<string, number> | undefined }) {
  const states = Object.entries(own).filter(([, number]) => number > 0);
  return (
    <>
      {own["running"] && <span class="producer" aria-hidden="true">●</span>}
      {states.map(([state, number]) => `${count(number)} ${state}`).join(", ") || "0"}
    </>
  );
}
