/**
 * The newest values of a run. Adding values costs the same however many came before, and memory is bounded.
 *
 * @param keep - Number of values to keep.
 * @throws RangeError `keep` is not a whole number above zero.
 */
export class Recent<T> {
  /** Number of values so far, including those that are no longer kept. */
  count = 0;
  #values: T[] = [];
  #shown: readonly T[] | undefined;

  constructor(private readonly keep: number) {
    if (!Number.isSafeInteger(keep) || keep < 1) {
      throw new RangeError(`keep must be a whole number above zero, not ${keep}`);
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

  /** The newest values, oldest first. It is the same array until values are added. */
  get values(): readonly T[] {
    return (this.#shown ??= this.#values.slice(-this.keep));
  }
}
