import type { Consumer, Source } from "./source.js";
import type { Readable } from "./readable.js";
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
  readonly #source: () => Source<RowChange<Row>>;
  #rows = new Map<string, Row>();
  #isVoid = false;
  readonly #listeners = new Map<RowsListener<Row>, true>();
  #consumer: { source: Source<RowChange<Row>>; consumer: Consumer<RowChange<Row>> } | undefined;

  /** @internal */
  constructor(source: () => Source<RowChange<Row>>) {
    this.#source = source;
  }

  /** All rows, as they were painted last. */
  get rows(): ReadonlyMap<string, Row> {
    return this.#rows;
  }

  /** How it stands; `error` says with what it was refused. */
  get status(): Readable<Status> {
    return this.#source().status;
  }

  /**
   * Calls a listener once per paint, with what has changed since the last one; first with all rows that are there.
   *
   * @returns Ends it.
   */
  onChange(listener: RowsListener<Row>): () => void {
    const own: RowsListener<Row> = (changed, rows) => listener(changed, rows);
    this.#listeners.set(own, true);
    if (this.#consumer === undefined) {
      this.#watch();
    } else if (this.#rows.size > 0) {
      own(this.#rows, this.#rows);
    }
    return () => this.#unlisten(own);
  }

  #unlisten(listener: RowsListener<Row>): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0 && this.#consumer !== undefined) {
      this.#consumer.source.remove(this.#consumer.consumer);
      this.#consumer = undefined;
      this.#rows = new Map();
    }
  }

  #watch(): void {
    const consumer: Consumer<RowChange<Row>> = {
      every: true,
      take: (changes) => this.#take(changes),
      lost: () => {}, // a table says what is lost by its reset
      reset: () => void (this.#isVoid = true),
    };
    const source = this.#source();
    this.#consumer = { source, consumer };
    source.add(consumer);
  }

  #take(changes: readonly RowChange<Row>[]): void {
    const changed = new Map<string, Row | undefined>();
    if (this.#isVoid) {
      this.#forget(changed);
    }
    for (const change of changes) {
      if ("reset" in change) {
        this.#forget(changed);
      } else if ("removed" in change) {
        this.#rows.delete(String(change.key));
        changed.set(String(change.key), undefined);
      } else {
        this.#rows.set(String(change.key), change.value);
        changed.set(String(change.key), change.value);
      }
    }
    for (const listener of [...this.#listeners.keys()]) {
      listener(changed, this.#rows);
    }
  }

  /** What follows is the whole table: rows that it does not name are gone. */
  #forget(changed: Map<string, Row | undefined>): void {
    this.#isVoid = false;
    for (const key of this.#rows.keys()) {
      changed.set(key, undefined);
    }
    this.#rows.clear();
  }
}
