// The last seconds of a fast value in columns of equal width, as a screen shows them.

/** From the oldest to the newest column: seconds before the newest; the lowest, the highest and the last value. */
export type Data = [at: number[], low: (number | null)[], high: (number | null)[], last: (number | null)[]];

/**
 * Puts values into columns by the server's clock. A chart of 500 pixels cannot show 25,000 changes side by side. Only
 * the lowest and the highest value of each column are visible, so only those are kept.
 */
export class Columns {
  readonly data: Data;
  readonly #width: number;
  #newest = -1;

  /** `span` and `width` (of one column) are in seconds. */
  constructor(span: number, width: number) {
    const count = Math.round(span / width);
    const empty = (): null[] => new Array<null>(count).fill(null);
    this.#width = width;
    this.data = [Array.from({ length: count }, (_, at) => (at + 1 - count) * width), empty(), empty(), empty()];
  }

  /** `at` is the server's time in seconds. Older values count for the newest column. */
  add(at: number, value: number): void {
    const column = Math.floor(at / this.#width);
    if (column > this.#newest) {
      this.#advance(this.#newest < 0 ? 1 : column - this.#newest);
      this.#newest = column;
    }
    const [, low, high, last] = this.data;
    const end = last.length - 1;
    low[end] = Math.min(low[end] ?? value, value);
    high[end] = Math.max(high[end] ?? value, value);
    last[end] = value;
  }

  clear(): void {
    this.#advance(this.data[0].length);
    this.#newest = -1;
  }

  #advance(columns: number): void {
    const [at, ...series] = this.data;
    const moved = Math.min(columns, at.length);
    for (const values of series) {
      values.copyWithin(0, moved);
      values.fill(null, values.length - moved);
    }
  }
}
