import type { ParamsOption } from "./channel.js";
import type { Consumer, Source } from "./source.js";
import { guarded, type Readable } from "./readable.js";
import type { Status } from "./status.js";

/** Options of a feed. */
export interface FeedOptions extends ParamsOption {
  /** Highest number of updates per second that the server sends. */
  readonly maxRate?: number;
  /** True if listeners get every value; otherwise, they get the newest at each paint. */
  readonly every?: boolean;
  /**
   * `"deliver"` if listeners get values in a hidden tab, too, for a count in the tab's title or a notification.
   * Otherwise, the server holds the values back until the tab is shown.
   */
  readonly hidden?: "deliver";
}

/** A page's handle of a feed or topic. It is subscribed while the page listens. */
export class Feed<T> implements Readable<T | undefined> {
  readonly #source: Source<T>;
  readonly #every: boolean;
  readonly #isHidden: boolean;

  /** @internal */
  constructor(source: Source<T>, { every = false, hidden }: FeedOptions) {
    this.#source = source;
    this.#every = every;
    this.#isHidden = hidden === "deliver";
  }

  /** The same as {@link value}. */
  get current(): T | undefined {
    return this.value;
  }

  /** Newest value that was painted; undefined before the first. */
  get value(): T | undefined {
    return this.#source.newest;
  }

  /** State of the subscription. If it was refused, `error` says why. */
  get status(): Readable<Status> {
    return this.#source.status;
  }

  /**
   * Shows the newest value in an element, as text, whenever the page paints.
   *
   * @param element - Element whose text is replaced. The text is never read as HTML.
   * @param format - Returns the text of a value.
   * @returns A function that stops it.
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
   * Calls a listener with the newest value at each paint; with `every`, with each value.
   *
   * @returns A function that stops it.
   */
  onValue(listener: (value: T) => void): () => void {
    return this.#listen(this.#every, (values) => values.forEach((value) => guarded(() => listener(value))));
  }

  /** Calls a listener at once with the current value, and then as {@link onValue} does: stores of frameworks do that. */
  subscribe(listener: (value: T | undefined) => void): () => void {
    listener(this.value);
    return this.#listen(this.#every, (values) => values.forEach((value) => guarded(() => listener(value))), undefined, true);
  }

  /**
   * Calls a listener once per paint with the newest value; with `every`, with all values since the last paint.
   *
   * @returns A function that stops it.
   */
  onBatch(listener: (values: readonly T[]) => void): () => void {
    return this.#listen(this.#every, listener);
  }

  /**
   * Calls a listener when values were lost that `every` should have delivered.
   *
   * @param listener - Gets the number of lost values; null if it is unknown.
   * @returns A function that stops it.
   */
  onLoss(listener: (count: number | null) => void): () => void {
    return this.#listen(this.#every, () => {}, listener);
  }

  #listen(
    every: boolean,
    take: (values: readonly T[]) => void,
    lost: (count: number | null) => void = () => {},
    knows = false,
  ): () => void {
    const source = this.#source;
    const consumer: Consumer<T> = { every, isHidden: this.#isHidden, take, lost, reset: () => {} };
    source.add(consumer, knows);
    return () => source.remove(consumer);
  }
}
