/**
 * The newest values of a run: adding costs what is added, whatever came before, and memory is bounded.
 *
 * @param keep - How many values are kept.
 * @throws RangeError `keep` is not a whole number above zero.
 */
export class Recent<T> {
  /** Number of values so far, including those that are no longer kept. */
  count = 0;
  #values: T[] = [];
  #shown: readonly T[] | undefined;

  constructor(private readonly keep: number) {
    if (!Number.isSafeInteger(keep) || keep < 1) {
      throw new RangeError(`keep is ${keep}; it has to be a whole number above zero`);
    }
  }

  /** Adds values at the end. */
  add(values: readonly T[]): void {
    for (const value of values) {
      this.#values.push(value);
    }
    this.count += values.length;
    this.#shown = undefined;
    if (this.#values.length > 2 * this.keep) {
      this.#values = this.#values.slice(-this.keep);
    }
  }

  /** The newest values, the oldest first: the same array until more are added. */
  get values(): readonly T[] {
    return (this.#shown ??= this.#values.slice(-this.keep));
  }
}
