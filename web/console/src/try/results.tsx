// What has arrived: the state, the plot, the table and the frames.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Definition } from "../document.js";
import { bytes, count, plural } from "../format.js";
import { type Frame, matching } from "./frames.js";
import { useSession } from "./hooks.js";
import { Log } from "./log.js";
import { Plot } from "./plot.js";
import type { Row } from "./rows.js";
import type { Session } from "./session.js";
import { MOST_ROWS, TableView } from "./table.js";

interface Props {
  readonly definition: Definition;
  /** Names of the columns of a table. */
  readonly columns: readonly string[];
  readonly session: Session;
}

/** A picture of a session, which a pause keeps. */
interface View {
  readonly frames: readonly Frame[];
  readonly rows: readonly Row[];
  /** Number of all rows. */
  readonly size: number;
  readonly points: readonly [readonly number[], readonly number[]];
}

/** Everything that a session has received. */
export function Results({ definition, columns, session }: Props) {
  useSession(session, ({ version }) => version);
  const [filter, setFilter] = useState("");
  const [pause, setPause] = useState<"button" | "scroll">();
  const frozen = useRef<View | undefined>(undefined);
  const filterId = useId();
  const plots = useChoice(session);
  const sorted = useRef<Sorted>({ at: -Infinity, rows: [] });
  const box = useRef<HTMLElement>(null);
  const isOpen = session.phase === "open";
  useEffect(() => {
    if (isOpen && box.current!.getBoundingClientRect().top > innerHeight * 0.8) {
      box.current!.scrollIntoView(); // on a phone, it is below the form
    }
  }, [isOpen]);
  const view = (frozen.current = (pause && frozen.current) || viewOf(session, definition, sorted));
  const frames = filter === "" ? view.frames : matching(view.frames, filter);
  const follow = (isFollowing: boolean): void =>
    setPause((before) => (before === "button" ? before : isFollowing ? undefined : "scroll"));
  const clear = (): void => {
    session.clear();
    frozen.current = undefined;
    setPause(undefined);
  };
  return (
    <section class="try-results" aria-label="Results" ref={box}>
      <Status session={session} />
      {definition.by && (view.rows.length > 0 || session.phase !== "idle") && (
        <TableView rows={view.rows} size={view.size} declared={columns} by={definition.by} />
      )}
      {plots.names.length > 0 && (
        <Plot {...plots} points={view.points} rows={definition.by ? rowsOf(session, view.rows) : undefined} />
      )}
      <div class="try-tools">
        <label for={filterId} class="hidden">
          Filter frames by text
        </label>
        <input
          id={filterId}
          type="search"
          placeholder="Filter frames"
          value={filter}
          spellcheck={false}
          autocomplete="off"
          onInput={({ currentTarget }) => setFilter(currentTarget.value)}
        />
        <button
          type="button"
          class="try-plain"
          aria-pressed={pause !== undefined}
          onClick={() => setPause(pause ? undefined : "button")}
        >
          {pause ? "Resume" : "Pause"}
        </button>
        <button type="button" class="try-plain" onClick={clear}>
          Clear
        </button>
      </div>
      <Log
        frames={frames}
        isPaused={pause !== undefined}
        empty={emptyText(filter, view.frames.length)}
        onFollow={follow}
        onChoose={() => setPause("button")}
      />
      {pause && (
        <p class="try-hint try-paused">
          The view is paused; {plural(session.frames.length + session.frames.leftOut - lastOf(view) - 1, "newer frame")}
          .
        </p>
      )}
    </section>
  );
}

/** Returns the choice of a row whose numbers are plotted. */
function rowsOf(session: Session, rows: readonly Row[]) {
  const names = rows.map(({ key }) => JSON.stringify(key));
  const { plotted } = session;
  const isShown = plotted === undefined || names.includes(plotted);
  return {
    names: isShown ? names : [plotted, ...names],
    chosen: plotted,
    onChoose: (name: string) => session.plot(name),
  };
}

function lastOf({ frames }: View): number {
  return frames.at(-1)?.id ?? -1;
}

function emptyText(filter: string, total: number): string {
  return filter !== "" && total > 0
    ? `None of the ${plural(total, "frame")} contains this text.`
    : "Frames appear here.";
}

/** Rows that were put in order, and when. */
interface Sorted {
  readonly at: number;
  readonly rows: readonly Row[];
}

/** Number of rows that are put in order at each paint; larger tables are, twice per second. */
const FEW = 2000;
const OFTEN = 500;

function viewOf({ frames, rows, numbers }: Session, { by, orderBy }: Definition, sorted: { current: Sorted }): View {
  const [times, values] = numbers.points;
  const now = performance.now();
  if (by && !(orderBy && rows.size > FEW && now - sorted.current.at < OFTEN)) {
    sorted.current = { at: now, rows: rows.first(MOST_ROWS, orderBy) };
  }
  return { frames: frames.list(), rows: sorted.current.rows, size: rows.size, points: [times.slice(), values.slice()] };
}

/** Returns the numbers that can be plotted. The first one is chosen as soon as it is known. */
function useChoice(session: Session) {
  const [isOwn, setOwn] = useState(false);
  const { numbers } = session;
  const names = [...numbers.paths.keys()];
  const first = names[0];
  useEffect(() => {
    if (!isOwn && first !== undefined && numbers.chosen === undefined) {
      numbers.choose(first);
    }
  }, [first, isOwn]);
  const onChoose = (name: string | undefined): void => {
    setOwn(true);
    numbers.choose(name);
  };
  return { names, chosen: numbers.chosen, onChoose };
}

/** Milliseconds between two sentences for screen readers. */
const QUIET = 2000;

/** The state in figures for the eye, and in sentences, at most one every two seconds, for screen readers. */
function Status({ session }: { session: Session }) {
  const { frames, phase, note } = session;
  const { rate } = session;
  return (
    <div class="try-status" data-phase={phase}>
      <p class="try-phase">
        <span class="try-dot" aria-hidden="true" />
        {PHASES[phase]}
      </p>
      <dl>
        <div>
          <dt>Received</dt>
          <dd>{count(frames.received)}</dd>
        </div>
        <div>
          <dt>Size</dt>
          <dd>{bytes(frames.receivedBytes)}</dd>
        </div>
        <div>
          <dt>Per second</dt>
          <dd>{count(rate)}</dd>
        </div>
        {frames.sent > 0 && (
          <div>
            <dt>Sent</dt>
            <dd>{count(frames.sent)}</dd>
          </div>
        )}
        <div>
          <dt>Left out</dt>
          <dd>{count(frames.leftOut)}</dd>
        </div>
      </dl>
      {note !== "" && phase === "over" && <p class="try-hint">{note}</p>}
      <Spoken session={session} />
    </div>
  );
}

const PHASES = { idle: "Not connected", opening: "Connecting", open: "Connected", over: "Ended" } as const;

function Spoken({ session }: { session: Session }) {
  const [text, setText] = useState("");
  useEffect(() => {
    let [phase, received] = [session.phase, session.frames.received];
    const timer = setInterval(() => {
      const { frames } = session;
      const news = frames.received - received;
      if (session.phase === phase && news === 0) {
        return;
      }
      const newest = news === 0 ? "" : (frames.newest("in")?.text.slice(0, 150) ?? "");
      const state =
        session.phase === phase ? "" : `${session.phase === "over" ? session.note : PHASES[session.phase]}. `;
      setText(state + (news === 0 ? "" : `${news === 1 ? "" : `${plural(news, "value")}, the newest: `}${newest}`));
      [phase, received] = [session.phase, frames.received];
    }, QUIET);
    return () => clearInterval(timer);
  }, [session]);
  return (
    <p class="hidden" role="status">
      {text}
    </p>
  );
}
