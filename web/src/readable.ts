/** A value that changes and can be watched. */
export interface Readable<T> {
  /** Current value. */
  readonly current: T;
  /**
   * Watches the value.
   *
   * @param listener - Called at once with the current value, and then with each new one.
   * @returns A function that stops it.
   */
  subscribe(listener: (value: T) => void): () => void;
}

/** A value that this library sets. */
export class Variable<T> implements Readable<T> {
  readonly #listeners = new Set<(value: T) => void>();

  constructor(public current: T) {}

  subscribe(listener: (value: T) => void): () => void {
    const own = (value: T): void => listener(value); // the same function may listen twice
    this.#listeners.add(own);
    own(this.current);
    return () => void this.#listeners.delete(own);
  }

  /** True if the value has listeners. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  set(value: T): void {
    this.current = value;
    for (const listener of [...this.#listeners]) {
      // A listener may remove others, or set the value again: then all listeners have got the newer value.
      if (this.current === value && this.#listeners.has(listener)) {
        guarded(() => listener(value));
      }
    }
  }
}

/** Runs code of the page. An exception is reported like an uncaught one, and affects nothing else. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    reportError(error);
  }
}
