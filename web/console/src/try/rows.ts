/** The rows of a table, as its changes arrive. */
export class Rows {
  /** Rows by their key as JSON; a row that changes keeps its place. */
  readonly #rows = new Map<string, Row>();
  /** Number of changes. */
  version = 0;

  get size(): number {
    return this.#rows.size;
  }

  /** Applies a message of a surface. Returns the key of the row that it changes, as JSON; undefined for none. */
  apply(change: unknown): string | undefined {
    if (typeof change !== "object" || change === null) {
      return undefined;
    }
    const { key, value, removed, reset, append } = change as Change;
    const name = JSON.stringify(key) as string | undefined;
    if (reset === true) {
      this.#rows.clear();
    } else if (name === undefined) {
      return undefined;
    } else if (removed === true) {
      this.#rows.delete(name);
    } else if (append !== undefined) {
      this.#append(name, append);
    } else {
      const row = this.#rows.get(name);
      this.#rows.set(name, { key, value, changes: (row?.changes ?? 0) + 1 });
    }
    this.version += 1;
    return name;
  }

  /** Replaces all rows, by the answer to a GET. */
  replace(values: readonly unknown[], by: string): void {
    this.#rows.clear();
    values.forEach((value, index) => {
      const key = (value as Readonly<Record<string, unknown>> | null)?.[by] ?? index;
      this.#rows.set(JSON.stringify(key), { key, value, changes: 1 });
    });
    this.version += 1;
  }

  clear(): void {
    this.#rows.clear();
    this.version += 1;
  }

  /** Returns a row by its key as JSON. */
  get(name: string): Row | undefined {
    return this.#rows.get(name);
  }

  /** Returns the first rows in the order of their arrival, or by a field: `price`, `-price`. */
  first(count: number, orderBy?: string | null): Row[] {
    if (!orderBy) {
      const found: Row[] = [];
      for (const row of this.#rows.values()) {
        if (found.length === count) {
          break;
        }
        found.push(row);
      }
      return found;
    }
    const name = orderBy.replace(/^-/, "");
    const sign = orderBy.startsWith("-") ? -1 : 1;
    return [...this.#rows.values()]
      .sort((a, b) => compared(cell(a.value, name), cell(b.value, name), sign))
      .slice(0, count);
  }

  #append(name: string, append: Readonly<Record<string, string>>): void {
    const row = this.#rows.get(name);
    if (row === undefined || typeof row.value !== "object" || row.value === null) {
      return;
    }
    const value: Record<string, unknown> = { ...row.value };
    for (const [field, text] of Object.entries(append)) {
      value[field] = String(value[field] ?? "") + text;
    }
    this.#rows.set(name, { key: row.key, value, changes: row.changes + 1 });
  }
}

/** A row of a table. */
export interface Row {
  readonly key: unknown;
  readonly value: unknown;
  /** Number of values that it has had. */
  readonly changes: number;
}

interface Change {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly removed?: boolean;
  readonly reset?: boolean;
  readonly append?: Readonly<Record<string, string>>;
}

/** Returns the field of a row; undefined if it has none. */
export function cell(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Returns the names of the columns: those that the schema declares, and then others that rows have. */
export function columnsOf(declared: readonly string[], rows: readonly Row[]): string[] {
  const names = new Set(declared);
  for (const { value } of rows) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      Object.keys(value).forEach((name) => names.add(name));
    }
  }
  return [...names];
}

/** Compares as Python would, for JSON: nulls come last in both directions. */
function compared(a: unknown, b: unknown, sign: number): number {
  if (a === null || a === undefined || b === null || b === undefined) {
    return Number(a === null || a === undefined) - Number(b === null || b === undefined);
  }
  return (
    sign *
    (typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a) < String(b)
        ? -1
        : String(a) > String(b)
          ? 1
          : 0)
  );
}
