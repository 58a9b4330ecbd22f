// The processes of the app: the event loop, CPU, memory, lanes and the broker.

import { useRef } from "preact/hooks";
import { Spark, sparkOf } from "./chart.js";
import type { Overview, Process } from "./data.js";
import { age, bytes, count, share, span } from "./format.js";
import type { Watched } from "./hooks.js";
import { labelOf } from "./names.js";
import { Badge, Figure, Heading, moodOf, Table, Waiting } from "./parts.js";

/** Loop lag from which on values are visibly late, in seconds. */
const SLOW = 0.1;
/** A share of a core from which on a process is close to its limit: it has one event loop. */
const BUSY = 0.9;

export function Processes({ overview }: { overview: Watched<Overview> }) {
  const { value, link, reason } = overview;
  const lines = useLines(value);
  return (
    <>
      <Heading title="Processes">Processes {value && <small>{count(value.processes.length)}</small>}</Heading>
      {!value && <Waiting link={link} reason={reason} />}
      <div class="cards">
        {value?.processes.map((process) => (
          <Card key={process.name} process={process} isSelf={process.name === value.self} lines={lines.get(process.name)} />
        ))}
      </div>
      {value && <Lanes processes={value.processes} />}
    </>
  );
}

interface Lines {
  lag: number[];
  cpu: number[];
}

/** Returns the last figures of each process, since this view was opened. */
function useLines(value: Overview | null): Map<string, Lines> {
  const kept = useRef({ at: 0, lines: new Map<string, Lines>() });
  if (value && value.at > kept.current.at) {
    const { lines } = kept.current;
    kept.current.at = value.at;
    for (const { name, loop_lag: lag, cpu } of value.processes) {
      const own = lines.get(name) ?? { lag: [], cpu: [] };
      lines.set(name, { lag: [...own.lag, lag?.worst ?? 0].slice(-60), cpu: [...own.cpu, cpu].slice(-60) });
    }
  }
  return kept.current.lines;
}

interface CardProps {
  process: Process;
  isSelf: boolean;
  lines: Lines | undefined;
}

function Card({ process, isSelf, lines }: CardProps) {
  const { name, host, uptime, loop_lag: lag, cpu, memory, connections, clients, runs, broker, answered } = process;
  const id = `process-${name}`;
  return (
    <section class="card process" aria-labelledby={id}>
      <header>
        <h2 id={id}>{labelOf(name)}</h2>
        {isSelf && <Badge mood="plain" word="serves this page" />}
        {!answered && <Badge mood="bad" word="does not answer" />}
        {broker.state !== "none" && <Badge mood={moodOf(broker.state)} word={`broker ${broker.state}`} />}
      </header>
      <p class="quiet">{host || "host unknown"}, up {age(uptime)}</p>
      <dl class="figures">
        <Figure label="Worst loop lag" value={span(lag?.worst)} note={lag ? `mean ${span(lag.mean)}` : ""} isBad={(lag?.worst ?? 0) > SLOW} />
        <Figure label="CPU" value={share(cpu)} note="of a core" isBad={cpu > BUSY} />
        <Figure label="Memory" value={bytes(memory)} />
      </dl>
      <div class="sparks">
        <p><Spark points={sparkOf(lines?.lag ?? [])} /><small>Worst loop lag</small></p>
        <p><Spark points={sparkOf(lines?.cpu ?? [])} /><small>CPU</small></p>
      </div>
      <dl class="facts">
        <div><dt>Name</dt><dd><code>{name}</code></dd></div>
        <div><dt>Connections</dt><dd>{count(connections)}</dd></div>
        <div><dt>Clients</dt><dd>{count(clients)}</dd></div>
        <div><dt>Runs</dt><dd>{count(runs)}</dd></div>
        <div><dt>Messages</dt><dd>{count(process.messages)}</dd></div>
        <div><dt>Written</dt><dd>{bytes(process.bytes)}</dd></div>
        <div><dt>Broker</dt><dd>{brokerOf(broker)}</dd></div>
      </dl>
      {broker.problem && <p class="notice">{broker.problem}</p>}
    </section>
  );
}

function brokerOf({ state, seconds, waiting }: Process["broker"]): string {
  if (state === "none") {
    return "none: a single process";
  }
  return `${state}${state === "ok" ? "" : ` for ${age(seconds)}`}, ${bytes(waiting)} waiting`;
}

/** Lanes and refused connections, with a column per process. */
function Lanes({ processes }: { processes: Process[] }) {
  const lanes = namesOf(processes.map((process) => process.lanes));
  const refused = namesOf(processes.map((process) => process.refused));
  const isShared = processes.length !== 1;
  const head = (
    <>
      <th scope="col">Connections</th>
      {isShared && <th scope="col" class="figure">All</th>}
      {processes.map(({ name }) => <th key={name} scope="col" class="figure process">{labelOf(name)}</th>)}
    </>
  );
  const row = (label: string, read: (process: Process) => number | undefined) => (
    <tr key={label}>
      <th scope="row">{label}</th>
      {isShared && <td class="figure">{count(processes.reduce((sum, each) => sum + (read(each) ?? 0), 0))}</td>}
      {processes.map((each) => <td key={each.name} class="figure process">{count(read(each) ?? 0)}</td>)}
    </tr>
  );
  return (
    <section class="block" aria-labelledby="lanes">
      <h2 id="lanes">Lanes and refusals</h2>
      <Table caption="Connections by lane, and refused connections by reason" head={head} class="compact">
        {lanes.map((name) => row(`Lane ${name}`, (each) => each.lanes[name]))}
        {refused.map((name) => row(`Refused: ${name.replaceAll("_", " ")}`, (each) => each.refused[name]))}
        {lanes.length + refused.length === 0 && row("Connections", (each) => each.connections)}
      </Table>
    </section>
  );
}

function namesOf(all: Record<string, number>[]): string[] {
  return [...new Set(all.flatMap((each) => Object.keys(each ?? {})))].sort();
}
