import type { Consumer, Source } from "./source.js";
import { guarded, type Readable } from "./readable.js";
import type { Status } from "./status.js";

/** How a feed is watched. */
export interface FeedOptions {
  /** At most so many times per second, as the server sends it. */
  readonly maxRate?: number;
  /** Whether listeners are given every value, or the newest at each paint. */
  readonly every?: boolean;
  /** Parameters of the query. */
  readonly params?: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** A feed or topic, as a page watches it: it is subscribed while somebody listens. */
export class Feed<T> {
  readonly #source: Source<T>;
  readonly #every: boolean;

  /** @internal */
  constructor(source: Source<T>, every: boolean) {
    this.#source = source;
    this.#every = every;
  }

  /** The newest value that was painted; undefined before the first. */
  get value(): T | undefined {
    return this.#source.newest;
  }

  /** How it stands; `error` says with what it was refused. */
  get status(): Readable<Status> {
    return this.#source.status;
  }

  /**
   * Shows the newest value in an element, as text, whenever the page paints.
   *
   * @param element - Its text is replaced; never as HTML.
   * @param format - Makes the text of a value.
   * @returns Ends it.
   */
  bind(element: Node, format: (value: T) => string = String): () => void {
    let shown: string | undefined;
    return this.#listen(false, (values) => {
      const text = format(values[values.length - 1] as T);
      if (text !== shown) {
        element.textContent = shown = text;
      }
    });
  }

  /**
   * Calls a listener with the newest value at each paint, or, with `every`, with each value.
   *
   * @returns Ends it.
   */
  onValue(listener: (value: T) => void): () => void {
    return this.#listen(this.#every, (values) => values.forEach((value) => guarded(() => listener(value))));
  }

  /**
   * Calls a listener once per paint, with what has come since the last one: all of it with `every`, or the newest alone.
   *
   * @returns Ends it.
   */
  onBatch(listener: (values: readonly T[]) => void): () => void {
    return this.#listen(this.#every, listener);
  }

  /**
   * Calls a listener when values were lost that `every` should have had.
   *
   * @param listener - How many; null for nobody knows.
   * @returns Ends it.
   */
  onLoss(listener: (count: number | null) => void): () => void {
    return this.#listen(this.#every, () => {}, listener);
  }

  #listen(
    every: boolean,
    take: (values: readonly T[]) => void,
    lost: (count: number | null) => void = () => {},
  ): () => void {
    const source = this.#source;
    const consumer: Consumer<T> = { every, take, lost, reset: () => {} };
    source.add(consumer);
    return () => source.remove(consumer);
  }
}
