/** Numbers of a stream of values over time, to be plotted. */

/** Path of a number inside a value: empty if the value is the number. */
export type NumberPath = readonly string[];

/** Number of points of a plot. */
const MOST_POINTS = 3000;
/** Number of different numbers that are offered. */
const MOST_PATHS = 50;
/** Values that are looked at for their numbers, from the first one. */
const FIRST = 20;
/** Milliseconds after which another value is looked at. */
const AGAIN = 250;
const DEEPEST = 4;
/** Milliseconds of one point: within it, only the lowest, highest and last number count. */
const BUCKET = 16;

/** Finds the numbers of values, and collects one of them. */
export class Numbers {
  /** Numbers that were found, in the order of their fields. */
  readonly paths = new Map<string, NumberPath>();
  /** Name of the number that is collected; undefined for none. */
  chosen: string | undefined;
  /** Number of changes. */
  version = 0;
  #seen = 0;
  #lookedAt = -Infinity;
  #times: number[] = [];
  #values: number[] = [];
  #bucket = -1;
  /** Indexes of the points of the current bucket. */
  #start = 0;

  /** Returns true if the next value is needed. */
  wants(at: number): boolean {
    return this.chosen !== undefined || this.#seen < FIRST || at - this.#lookedAt >= AGAIN;
  }

  /** Takes a value. */
  add(value: unknown, at: number): void {
    this.#seen += 1;
    if (this.#seen <= FIRST || at - this.#lookedAt >= AGAIN) {
      this.#lookedAt = at;
      this.#find(value, [], 0);
    }
    const path = this.chosen === undefined ? undefined : this.paths.get(this.chosen);
    const number = path === undefined ? undefined : numberAt(value, path);
    if (number !== undefined) {
      this.#plot(number, at);
    }
  }

  /** Chooses the number that is collected from now on. */
  choose(name: string | undefined): void {
    if (name !== this.chosen) {
      this.chosen = name;
      this.clear();
    }
  }

  /** Forgets the points. */
  clear(): void {
    [this.#times, this.#values, this.#bucket] = [[], [], -1];
    this.version += 1;
  }

  /** Returns the points: times in seconds, and numbers. */
  get points(): [times: number[], values: number[]] {
    return [this.#times, this.#values];
  }

  /** Newest number; undefined before the first. */
  get newest(): number | undefined {
    return this.#values.at(-1);
  }

  #plot(number: number, at: number): void {
    this.version += 1;
    const bucket = Math.floor(at / BUCKET);
    const [times, values] = [this.#times, this.#values];
    if (bucket !== this.#bucket) {
      this.#bucket = bucket;
      this.#start = values.length;
    } else if (values.length - this.#start >= 3) {
      // The first two points of the bucket become its lowest and its highest number; the third is the newest.
      times.pop();
      const three = [values[this.#start]!, values[this.#start + 1]!, values.pop()!];
      values[this.#start] = Math.min(...three);
      values[this.#start + 1] = Math.max(...three);
    }
    times.push(at / 1000);
    values.push(number);
    if (values.length > MOST_POINTS * 1.25) {
      const surplus = values.length - MOST_POINTS;
      this.#times = times.slice(surplus);
      this.#values = values.slice(surplus);
      this.#start = Math.max(this.#start - surplus, 0);
    }
  }

  #find(value: unknown, path: NumberPath, depth: number): void {
    if (typeof value === "number") {
      const name = path.join(".") || "value";
      if (!this.paths.has(name) && this.paths.size < MOST_PATHS) {
        this.paths.set(name, path);
        this.version += 1;
      }
    } else if (typeof value === "object" && value !== null && depth < DEEPEST) {
      for (const [name, each] of Object.entries(value).slice(0, MOST_PATHS)) {
        this.#find(each, [...path, name], depth + 1);
      }
    }
  }
}

function numberAt(value: unknown, path: NumberPath): number | undefined {
  let found: unknown = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null) {
      return undefined;
    }
    found = (found as Record<string, unknown>)[name];
  }
  return typeof found === "number" && Number.isFinite(found) ? found : undefined;
}
