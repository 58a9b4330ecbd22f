// Rates from successive overviews, and the last minutes of them.

import { NO_FIGURES, type Figures, type Overview, type Row } from "./data.js";

export type Measure = "published" | "delivered" | "bytes" | "runs";

const MEASURES: Measure[] = ["published", "delivered", "bytes", "runs"];

/** Overviews that are kept for a chart: five minutes of them. */
const LENGTH = 300;
/** Rates are means over this many overviews: each single one holds a few values more or fewer. */
const WINDOW = 5;
/** A pause of the page that is longer than this, in seconds, is a gap in charts. */
const GAP = 5;

/** Returns a total that only grows. For runs, those that have ended. */
function total(figures: Figures, measure: Measure): number {
  if (measure !== "runs") {
    return figures[measure] ?? 0;
  }
  const { completed = 0, refused = 0, failed = 0, cancelled = 0 } = figures.runs ?? {};
  return completed + refused + failed + cancelled;
}

/** Returns the growth of a row since another one. A process that has restarted or joined counts from 0 and is left out
 * once; one that answered before, without figures, had none. */
function growth(old: Row, { processes }: Seen, now: Row, measure: Measure, process?: string): number {
  const names = process === undefined ? Object.keys(now.by_process) : [process];
  return names.reduce((sum, name) => {
    const before = old.by_process[name] ?? (processes.has(name) ? NO_FIGURES : undefined);
    const fresh = now.by_process[name];
    return sum + (before && fresh ? Math.max(total(fresh, measure) - total(before, measure), 0) : 0);
  }, 0);
}

interface Seen {
  at: number;
  rows: Map<string, Row>;
  /** Those that have answered. */
  processes: Set<string>;
}

/** The rates of all definitions, and of the app as a whole. */
export class History {
  /** Seconds since 1970 of each kept overview. */
  readonly times: number[] = [];
  readonly #seen: Seen[] = [];
  readonly #rates = new Map<string, Rates>();
  readonly #sums = rates();

  /** Adds an overview; one that it has already is ignored. */
  take(overview: Overview): void {
    const before = this.#seen.at(-1);
    if (before && overview.at <= before.at) {
      return;
    }
    const now = {
      at: overview.at,
      rows: new Map(overview.definitions.map((row) => [row.path, row])),
      processes: new Set(overview.processes.filter(({ answered }) => answered).map(({ name }) => name)),
    };
    if (before && now.at - before.at > GAP) {
      this.#seen.length = 0;
    }
    this.#seen.push(now);
    if (this.#seen.length > WINDOW + 1) {
      this.#seen.shift();
    }
    push(this.times, now.at);
    this.#extend(before, now);
  }

  /** Returns a rate per second over the last overviews, or null if there are not two. */
  rate(path: string, measure: Measure, process?: string): number | null {
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    const [before, now] = [first?.rows.get(path), last?.rows.get(path)];
    if (!first || !last || first === last || !before || !now) {
      return null;
    }
    return growth(before, first, now, measure, process) / (last.at - first.at);
  }

  /** Returns the sum of the rates of all definitions. */
  sum(measure: Measure): number | null {
    const rates = [...(this.#seen.at(-1)?.rows.keys() ?? [])].map((path) => this.rate(path, measure));
    const known = rates.filter((each) => each !== null);
    return known.length ? known.reduce((sum, each) => sum + each, 0) : null;
  }

  /** Returns the rates of a definition, one for each of `times`; null where they are not known. */
  series(path: string, measure: Measure): (number | null)[] {
    return this.#rates.get(path)?.[measure] ?? [];
  }

  /** Returns the rates of the app, one for each of `times`. */
  sums(measure: Measure): (number | null)[] {
    return this.#sums[measure];
  }

  #extend(before: Seen | undefined, now: Seen): void {
    for (const path of [...this.#rates.keys()].filter((each) => !now.rows.has(each))) {
      this.#rates.delete(path);
    }
    const seconds = before ? now.at - before.at : Infinity;
    const sums: Partial<Record<Measure, number>> = {};
    for (const [path, row] of now.rows) {
      const old = seconds > GAP ? undefined : before?.rows.get(path);
      for (const measure of MEASURES) {
        const grown = old && before ? growth(old, before, row, measure) / seconds : null;
        push(this.#ratesOf(path)[measure], grown);
        if (grown !== null) {
          sums[measure] = (sums[measure] ?? 0) + grown;
        }
      }
    }
    for (const measure of MEASURES) {
      push(this.#sums[measure], sums[measure] ?? null);
    }
  }

  /** Returns the rates so far, filled up with null for overviews in which the definition was missing. */
  #ratesOf(path: string): Rates {
    let found = this.#rates.get(path);
    if (!found) {
      found = rates(this.times.length - 1);
      this.#rates.set(path, found);
    }
    return found;
  }
}

type Rates = Record<Measure, (number | null)[]>;

function rates(length = 0): Rates {
  const none = (): null[] => Array<null>(length).fill(null);
  return { published: none(), delivered: none(), bytes: none(), runs: none() };
}

function push<T>(series: T[], value: T): void {
  series.push(value);
  if (series.length > LENGTH) {
    series.shift();
  }
}
