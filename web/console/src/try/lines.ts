/** Texts that arrive in pieces: lines, and Server-Sent Events. */

/** Makes whole lines of pieces. */
export class Lines {
  #rest = "";

  /** Returns the lines that a piece completes. */
  of(piece: string): string[] {
    if (!piece.includes("\n") && !piece.includes("\r")) {
      this.#rest += piece;
      return [];
    }
    const text = this.#rest + piece;
    // A carriage return at the end may be half of a line break.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + text.slice(end);
    return lines;
  }

  /** Returns what no line break has ended. */
  get rest(): string {
    return this.#rest;
  }
}

/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  /** Id of the newest event that had one. */
  readonly id: string;
}

/** Makes events of lines. */
export class Events {
  #type = "";
  #data: string[] = [];
  #id = "";

  /** Returns the event that a line ends; undefined if it ends none. */
  of(line: string): ServerEvent | undefined {
    if (line === "") {
      return this.#end();
    }
    const [, name = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") {
      this.#data.push(value);
    } else if (name === "event") {
      this.#type = value;
    } else if (name === "id") {
      this.#id = value;
    }
    return undefined;
  }

  #end(): ServerEvent | undefined {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    [this.#type, this.#data] = ["", []];
    return isEmpty ? undefined : event;
  }
}
