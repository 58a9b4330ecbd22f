/** A value that changes, and can be watched. */
export interface Readable<T> {
  /** What it is now. */
  readonly current: T;
  /**
   * Watches it.
   *
   * @param listener - Called at once with what it is, and with each change.
   * @returns Ends that.
   */
  subscribe(listener: (value: T) => void): () => void;
}

/** A value that this library changes. */
export class Variable<T> implements Readable<T> {
  readonly #listeners = new Set<(value: T) => void>();

  constructor(public current: T) {}

  subscribe(listener: (value: T) => void): () => void {
    const own = (value: T): void => listener(value); // the same function may listen twice
    this.#listeners.add(own);
    own(this.current);
    return () => void this.#listeners.delete(own);
  }

  /** Whether somebody watches it. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  set(value: T): void {
    this.current = value;
    for (const listener of [...this.#listeners]) {
      // A listener may have ended others, or changed it again: then all have heard what is newer.
      if (this.current === value && this.#listeners.has(listener)) {
        guarded(() => listener(value));
      }
    }
  }
}

/** Runs code of the page: what it throws is reported as if nobody had called it, and disturbs nothing else. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    reportError(error);
  }
}
