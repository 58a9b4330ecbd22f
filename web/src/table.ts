import type { Consumer, Source } from "./source.js";
import { guarded, type Readable } from "./readable.js";
import type { Status } from "./status.js";

/** A change of a table, as the server sends it. */
export type RowChange<Row> =
  | { readonly key: string | number; readonly value: Row }
  | { readonly key: string | number; readonly removed: true }
  | { readonly reset: true };

/** Called once per paint with the changed rows (undefined for removed ones) and with all rows. */
export type RowsListener<Row> = (changed: ReadonlyMap<string, Row | undefined>, rows: ReadonlyMap<string, Row>) => void;

/** A page's handle of a table. It is subscribed while the page listens. */
export class Table<Row> implements Readable<ReadonlyMap<string, Row>> {
  readonly #source: Source<RowChange<Row>>;
  readonly #rows: Rows<Row>;

  /** @internal */
  constructor(source: Source<RowChange<Row>>) {
    this.#source = source;
    this.#rows = rowsOf(source);
  }

  /** All rows as of the last paint. */
  get rows(): ReadonlyMap<string, Row> {
    return this.#rows.all;
  }

  /** A copy of {@link rows}: another map after each paint that has changed a row. */
  get current(): ReadonlyMap<string, Row> {
    return this.#rows.current;
  }

  /** Calls a listener at once with all rows, and then once per paint that has changed a row: frameworks' stores do that. */
  subscribe(listener: (rows: ReadonlyMap<string, Row>) => void): () => void {
    listener(this.current);
    return this.#rows.listen(() => listener(this.current), true);
  }

  /** State of the subscription. If it was refused, `error` says why. */
  get status(): Readable<Status> {
    return this.#source.status;
  }

  /**
   * Calls a listener once per paint with the rows that have changed since the last one. Its first call has all rows.
   *
   * @returns A function that stops it.
   */
  onChange(listener: RowsListener<Row>): () => void {
    return this.#rows.listen((changed, rows) => listener(changed, rows));
  }
}

const known = new WeakMap<object, Rows<never>>();

/** Returns the rows of a source. All tables of the source share them. */
function rowsOf<Row>(source: Source<RowChange<Row>>): Rows<Row> {
  const rows = (known.get(source) as Rows<Row> | undefined) ?? new Rows<Row>(source);
  known.set(source, rows as unknown as Rows<never>);
  return rows;
}

class Rows<Row> implements Consumer<RowChange<Row>> {
  readonly every = true;
  readonly needsAll = true;
  all = new Map<string, Row>();
  #current: ReadonlyMap<string, Row> | undefined;
  readonly #listeners = new Set<RowsListener<Row>>();
  #isVoid = false;
  #isListening = false;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly source: Source<RowChange<Row>>) {}

  get current(): ReadonlyMap<string, Row> {
    return (this.#current ??= new Map(this.all));
  }

  /** @param knows - True if the listener has all rows already. */
  listen(listener: RowsListener<Row>, knows = false): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#leaving);
    if (!this.#isListening) {
      this.#isListening = true;
      this.source.add(this);
    } else if (this.all.size > 0 && !knows) {
      listener(new Map(this.all), this.all);
    }
    return () => this.#unlisten(listener);
  }

  take(changes: readonly RowChange<Row>[]): void {
    const changed = new Map<string, Row | undefined>();
    if (this.#isVoid) {
      this.#forget(changed);
    }
    for (const change of changes) {
      if ("reset" in change) {
        this.#forget(changed);
      } else if ("removed" in change) {
        this.all.delete(String(change.key));
        changed.set(String(change.key), undefined);
      } else {
        this.all.set(String(change.key), change.value);
        changed.set(String(change.key), change.value);
      }
    }
    this.#current = undefined;
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) {
        guarded(() => listener(changed, this.all));
      }
    }
  }

  /** Ignores the number of lost values: after a loss, the server sends the whole table again. */
  lost(): void {}

  /** Expects the whole table next. An empty table sends nothing, so the end of the turn decides. */
  reset(): void {
    this.#isVoid = true;
    queueMicrotask(() => this.#isVoid && this.take([]));
  }

  #unlisten(listener: RowsListener<Row>): void {
    if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
      this.#leaving = setTimeout(() => this.#leave(), 0);
    }
  }

  /** Ends the subscription. A listener that returns in the same turn still finds the rows. */
  #leave(): void {
    this.#isListening = this.#isVoid = false;
    this.source.remove(this);
    this.all = new Map();
    this.#current = undefined;
  }

  /** Removes all rows: the whole table follows, and rows that it does not have are gone. */
  #forget(changed: Map<string, Row | undefined>): void {
    this.#isVoid = false;
    for (const key of this.all.keys()) {
      changed.set(key, undefined);
    }
    this.all.clear();
  }
}
