/** What the server sends of a value that grows: the whole, or what was appended; of a table's row, or without a row. */
interface Change {
  readonly key?: string | number;
  readonly value?: Readonly<Record<string, unknown>>;
  readonly append?: string | Readonly<Record<string, string>>;
  readonly reset?: true;
}

/** Makes whole values of what was appended to a text, or to the text of a table's rows. */
export class Whole {
  #text = "";
  readonly #rows = new Map<string, Readonly<Record<string, unknown>>>();

  /** Returns the whole value, or the change of the whole row. */
  of(item: unknown): unknown {
    if (typeof item === "string") {
      return (this.#text = item);
    }
    const change = item as Change;
    if (change.key !== undefined) {
      return this.#ofRow(String(change.key), change);
    }
    if (change.reset) {
      this.#rows.clear();
      return item;
    }
    return (this.#text += String(change.append));
  }

  #ofRow(key: string, change: Change): unknown {
    if (change.append === undefined) {
      if (change.value === undefined) {
        this.#rows.delete(key);
      } else {
        this.#rows.set(key, change.value);
      }
      return change;
    }
    const value: Record<string, unknown> = { ...this.#rows.get(key) };
    for (const [field, text] of Object.entries(change.append)) {
      value[field] = String(value[field] ?? "") + text;
    }
    this.#rows.set(key, value);
    return { key: change.key, value };
  }
}
