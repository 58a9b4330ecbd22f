import type { Consumer, Source } from "./source.js";
import { guarded, type Readable } from "./readable.js";
import type { Status } from "./status.js";

/** What a table's feed sends. */
export type RowChange<Row> =
  | { readonly key: string | number; readonly value: Row }
  | { readonly key: string | number; readonly removed: true }
  | { readonly reset: true };

/** Called once per paint, with the rows that have changed, undefined for those that are gone, and all of them. */
export type RowsListener<Row> = (changed: ReadonlyMap<string, Row | undefined>, rows: ReadonlyMap<string, Row>) => void;

/** A feed with rows, as a page watches it: it is subscribed while somebody listens. */
export class Table<Row> {
  readonly #source: Source<RowChange<Row>>;
  readonly #rows: Rows<Row>;

  /** @internal */
  constructor(source: Source<RowChange<Row>>) {
    this.#source = source;
    this.#rows = rowsOf(source);
  }

  /** All rows, as they were painted last. */
  get rows(): ReadonlyMap<string, Row> {
    return this.#rows.all;
  }

  /** How it stands; `error` says with what it was refused. */
  get status(): Readable<Status> {
    return this.#source.status;
  }

  /**
   * Calls a listener once per paint, with what has changed since the last one; first with all rows that are there.
   *
   * @returns Ends it.
   */
  onChange(listener: RowsListener<Row>): () => void {
    return this.#rows.listen((changed, rows) => listener(changed, rows));
  }
}

const known = new WeakMap<object, Rows<never>>();

/** The rows of a source, which all of its tables share. */
function rowsOf<Row>(source: Source<RowChange<Row>>): Rows<Row> {
  const rows = (known.get(source) as Rows<Row> | undefined) ?? new Rows<Row>(source);
  known.set(source, rows as unknown as Rows<never>);
  return rows;
}

class Rows<Row> implements Consumer<RowChange<Row>> {
  readonly every = true;
  all = new Map<string, Row>();
  readonly #listeners = new Set<RowsListener<Row>>();
  #isVoid = false;
  #isListening = false;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly source: Source<RowChange<Row>>) {}

  listen(listener: RowsListener<Row>): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#leaving);
    if (!this.#isListening) {
      this.#isListening = true;
      this.source.add(this);
    } else if (this.all.size > 0) {
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
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) {
        guarded(() => listener(changed, this.all));
      }
    }
  }

  /** A table says what is lost by its reset. */
  lost(): void {}

  /** The rows are next, if there are any. */
  reset(): void {
    this.#isVoid = true;
    queueMicrotask(() => this.#isVoid && this.take([]));
  }

  #unlisten(listener: RowsListener<Row>): void {
    if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
      this.#leaving = setTimeout(() => this.#leave(), 0);
    }
  }

  /** Not before the turn is over: whoever is back by then needs the rows, and the server does not send them again. */
  #leave(): void {
    this.#isListening = this.#isVoid = false;
    this.source.remove(this);
    this.all = new Map();
  }

  /** What follows is the whole table: rows that it does not name are gone. */
  #forget(changed: Map<string, Row | undefined>): void {
    this.#isVoid = false;
    for (const key of this.all.keys()) {
      changed.set(key, undefined);
    }
    this.all.clear();
  }
}
