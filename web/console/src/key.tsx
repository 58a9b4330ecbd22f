// One key: its log, its watchers, its producer and its last errors.

import { useState } from "preact/hooks";
import type { Entry, Key, Watcher } from "./data.js";
import { age, bytes, clock, count, span, UNKNOWN } from "./format.js";
import { useWatch } from "./hooks.js";
import { memo } from "./memo.js";
import { labelOf } from "./names.js";
import { Badge, Figure, Heading, moodOf, Path, Table, Waiting } from "./parts.js";
import { link } from "./route.js";

export function KeyPage({ text }: { text: string }) {
  const { value, link: state, reason } = useWatch<Key>("key", { text });
  return (
    <>
      <p class="crumbs">
        <a href={link({ view: "definitions" })}>Definitions</a>
        {value && (
          <>
            {" / "}
            <a href={link({ view: "definition", path: value.path })}><Path text={value.path} /></a>
          </>
        )}
      </p>
      <Heading title={text}><Path text={text} /></Heading>
      {value ? <Body data={value} /> : <Waiting link={state} reason={reason} />}
    </>
  );
}

function Body({ data }: { data: Key }) {
  const { position, watchers, producer, health } = data;
  const lag = Math.max(0, ...watchers.map((each) => each.lag ?? 0));
  const painted = watchers.flatMap((each) => each.painted_age ?? []);
  return (
    <>
      <section class="card summary" aria-label="Figures">
        <dl class="figures">
          <Figure
            label="State"
            value={data.live ? (data.complete ? "complete" : health.state) : "not in use"}
            isBad={data.live && moodOf(health.state) === "bad"}
            note={data.live && health.since !== null ? `for ${age(data.at - health.since)}` : ""}
          />
          <Figure label="Position" value={position ? count(position.offset) : UNKNOWN} />
          <Figure label="Log" value={bytes(data.bytes)} />
          <Figure label="Watchers" value={count(data.watchers_total)} />
          <Figure label="Largest lag" value={count(lag)} note={lag === 1 ? "entry" : "entries"} />
          <Figure label="Oldest paint" value={painted.length ? span(Math.max(...painted)) : UNKNOWN} />
        </dl>
        {health.reason && <p class="notice">{health.reason}</p>}
      </section>
      <div class="halves">
        <Producer producer={producer} at={data.at} />
        <Errors errors={data.errors} />
      </div>
      <Watchers data={data} />
      <Log data={data} />
    </>
  );
}

function Producer({ producer, at }: { producer: Key["producer"]; at: number }) {
  return (
    <section class="card" aria-labelledby="producer">
      <h2 id="producer">Producer</h2>
      {producer ? (
        <dl class="facts">
          <div><dt>Process</dt><dd>{labelOf(producer.process)}</dd></div>
          <div><dt>State</dt><dd><Badge mood={moodOf(producer.state)} word={producer.state} /> for {age(at - producer.since)}</dd></div>
          <div><dt>Lease</dt><dd>{producer.lease === null ? "none: no other process can run it" : `${span(producer.lease)} left`}</dd></div>
          <div><dt>Restarts</dt><dd>{count(producer.restarts)}</dd></div>
        </dl>
      ) : (
        <p class="quiet">No producer runs. Topics have none, and feeds only while they are watched.</p>
      )}
    </section>
  );
}

function Errors({ errors }: { errors: Key["errors"] }) {
  return (
    <section class="card" aria-labelledby="errors">
      <h2 id="errors">Last errors</h2>
      {errors.length ? (
        <ul class="errors">
          {[...errors].sort((a, b) => b.at - a.at).map((error) => (
            <li key={`${error.at} ${error.text}`}>
              <time dateTime={new Date(error.at * 1000).toISOString()}>{clock(error.at)}</time>
              <code>{error.text}</code>
            </li>
          ))}
        </ul>
      ) : (
        <p class="quiet">None since this key came into use.</p>
      )}
    </section>
  );
}

function Watchers({ data }: { data: Key }) {
  const { watchers, watchers_total: total } = data;
  const head = (
    <>
      <th scope="col">Client</th>
      <th scope="col">User</th>
      <th scope="col">Process</th>
      <th scope="col">Surface</th>
      <th scope="col" class="figure">Lag<small>entries</small></th>
      <th scope="col" class="figure">Backlog<small>bytes waiting</small></th>
      <th scope="col" class="figure">Painted<small>age of the value</small></th>
    </>
  );
  return (
    <section class="block" aria-labelledby="watchers">
      <h2 id="watchers">Watchers <small>{count(total)}</small></h2>
      {watchers.length === 0 && <p class="empty">No one watches this key.</p>}
      {watchers.length > 0 && (
        <Table caption="Watchers of this key" head={head} class="list">
          {watchers.map((watcher, index) => <WatcherLine key={`${watcher.process} ${watcher.client} ${index}`} {...lineOf(watcher)} />)}
        </Table>
      )}
      {total > watchers.length && <p class="quiet">The first {count(watchers.length)} are shown.</p>}
    </section>
  );
}

function lineOf({ process, client, user, surface, lag, waiting, painted_age: painted }: Watcher) {
  return { process, label: labelOf(process), client, user: user ?? "", surface, lag: count(lag), waiting: bytes(waiting), painted: span(painted) };
}

const WatcherLine = memo(function WatcherLine(line: ReturnType<typeof lineOf>) {
  const { process, client } = line;
  return (
    <tr>
      <th scope="row">
        {client ? <a href={link({ view: "client", process, id: client })}><code>{client}</code></a> : UNKNOWN}
      </th>
      <td>{line.user || UNKNOWN}</td>
      <td>{line.label}</td>
      <td>{line.surface}</td>
      <td class="figure" data-mood={line.lag === "0" ? "quiet" : undefined}>{line.lag}</td>
      <td class="figure" data-mood={line.waiting === "0 B" ? "quiet" : undefined}>{line.waiting}</td>
      <td class="figure">{line.painted}</td>
    </tr>
  );
});

function Log({ data }: { data: Key }) {
  // A log that is held shows what it had then.
  const [held, setHeld] = useState<Key | null>(null);
  const { entries, at } = held ?? data;
  const hasRows = entries.some(({ row }) => row !== null);
  const hasTags = entries.some(({ tags }) => Object.keys(tags).length > 0);
  const hasAges = entries.some((each) => each.age !== null);
  const head = (
    <>
      <th scope="col" class="figure">Offset</th>
      {hasAges && <th scope="col" class="figure">Age</th>}
      <th scope="col" class="figure">Size</th>
      {hasRows && <th scope="col">Row</th>}
      {hasTags && <th scope="col">Tags</th>}
      <th scope="col">Value</th>
    </>
  );
  return (
    <section class="block" aria-labelledby="log">
      <div class="toolbar">
        <h2 id="log">
          Log <small>{held ? `held at ${clock(at)}` : "newest first"}{data.position && `, epoch ${data.position.epoch}`}</small>
        </h2>
        <button type="button" class="minor" aria-pressed={held !== null} onClick={() => setHeld(held ? null : data)}>
          {held ? "Resume" : "Hold"}
        </button>
      </div>
      {entries.length === 0 ? (
        <p class="empty">The log is empty.</p>
      ) : (
        <Table caption="Newest entries of the log" head={head} class="list log">
          {entries.map((entry) => <EntryLine key={`${entry.offset} ${JSON.stringify(entry.row)}`} {...entryOf(entry, { hasAges, hasRows, hasTags })} />)}
        </Table>
      )}
    </section>
  );
}

interface Columns {
  hasAges: boolean;
  hasRows: boolean;
  hasTags: boolean;
}

/** Returns an entry as texts; null for columns that no entry has. */
function entryOf({ offset, age: old, size, row, tags, preview }: Entry, { hasAges, hasRows, hasTags }: Columns) {
  return {
    offset: count(offset),
    age: hasAges ? span(old) : null,
    size: bytes(size),
    row: hasRows ? (typeof row === "string" ? row : JSON.stringify(row)) : null,
    tags: hasTags ? Object.entries(tags).map(([name, value]) => `${name}=${value}`).join(" ") : null,
    preview,
  };
}

const EntryLine = memo(function EntryLine({ offset, age: old, size, row, tags, preview }: ReturnType<typeof entryOf>) {
  return (
    <tr>
      <th scope="row" class="figure">{offset}</th>
      {old !== null && <td class="figure">{old}</td>}
      <td class="figure">{size}</td>
      {row !== null && <td><code>{row}</code></td>}
      {tags !== null && <td><code>{tags}</code></td>}
      <td><code class="preview">{preview}</code></td>
    </tr>
  );
});
