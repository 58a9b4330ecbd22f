/** Where a frame came from: the server, this page, or the connection itself. */
export type Direction = "in" | "out" | "state";

/** One message, or one event of the connection. */
export interface Frame {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly direction: Direction;
  /** Size of the payload in bytes. */
  readonly size: number;
  /** The payload as text, or its beginning. */
  readonly text: string;
  /** True if the text is only a beginning. */
  readonly isCut: boolean;
  /** What the surface says beside the payload: the type of an event, a position, tags. */
  readonly note: string;
  /** True if it reports a failure. */
  readonly isBad: boolean;
}

/** Largest number of frames that are kept. */
export const MOST_FRAMES = 1000;
/** Largest number of characters that are kept, of all frames together. */
export const MOST_CHARACTERS = 2_000_000;
/** Largest number of characters of one frame. */
const LONGEST = 200_000;
/** Number of bytes of a binary frame that are shown. */
const MOST_BYTES = 4096;

/** What a frame may have beside its payload. */
export interface Beside {
  readonly note?: string;
  readonly isBad?: boolean;
  /** Time of its arrival, if it has waited since. */
  readonly at?: number;
  /** Size in bytes, if it is known; otherwise that of the text in UTF-8. */
  readonly size?: number;
}

/** The newest frames, within bounds, and the counts of all of them. */
export class Frames {
  /** Number of frames that came from the server, and the sum of their sizes in bytes. */
  received = 0;
  receivedBytes = 0;
  sent = 0;
  #next = 0;
  /** A ring: the frame with the id `n` is at `n % MOST_FRAMES`. */
  readonly #ring = new Array<Frame | undefined>(MOST_FRAMES);
  #first = 0;
  #characters = 0;

  /** Number of frames that are kept. */
  get length(): number {
    return this.#next - this.#first;
  }

  /** Number of frames that are not kept any more. */
  get leftOut(): number {
    return this.#first;
  }

  /** Adds a frame. The oldest ones make room for it. */
  add(
    direction: Direction,
    payload: string | Uint8Array,
    now: number,
    { note = "", isBad = false, at = now, size }: Beside = {},
  ): Frame {
    const isText = typeof payload === "string";
    const bytes = size ?? (isText ? utf8Length(payload) : payload.length);
    const isCut = payload.length > (isText ? LONGEST : MOST_BYTES);
    const text = isText ? (isCut ? beginning(payload) : payload) : hexadecimal(payload);
    const frame: Frame = { id: this.#next, at, direction, size: bytes, text, isCut, note, isBad };
    if (direction === "in") {
      this.received += 1;
      this.receivedBytes += bytes;
    } else if (direction === "out") {
      this.sent += 1;
    }
    if (this.length === MOST_FRAMES) {
      this.#drop();
    }
    this.#ring[this.#next % MOST_FRAMES] = frame;
    this.#next += 1;
    this.#characters += text.length;
    while (this.#characters > MOST_CHARACTERS && this.length > 1) {
      this.#drop();
    }
    return frame;
  }

  /** Returns the frames that are kept, the oldest first. */
  list(): Frame[] {
    const found: Frame[] = [];
    for (let id = this.#first; id < this.#next; id += 1) {
      found.push(this.#ring[id % MOST_FRAMES]!);
    }
    return found;
  }

  /** Returns the newest frame of a direction. */
  newest(direction: Direction): Frame | undefined {
    for (let id = this.#next - 1; id >= this.#first; id -= 1) {
      const frame = this.#ring[id % MOST_FRAMES]!;
      if (frame.direction === direction) {
        return frame;
      }
    }
    return undefined;
  }

  /** Forgets all frames, and the counts. */
  clear(): void {
    while (this.length > 0) {
      this.#drop();
    }
    [this.#next, this.#first, this.#characters] = [0, 0, 0];
    [this.received, this.receivedBytes, this.sent] = [0, 0, 0];
  }

  #drop(): void {
    const at = this.#first % MOST_FRAMES;
    this.#characters -= this.#ring[at]!.text.length;
    this.#ring[at] = undefined;
    this.#first += 1;
  }
}

/** Returns the frames that have a text in their payload or note, in any case of letters. */
export function matching(frames: readonly Frame[], text: string): Frame[] {
  const wanted = text.toLowerCase();
  return frames.filter((each) => each.text.toLowerCase().includes(wanted) || each.note.toLowerCase().includes(wanted));
}

/** Returns the size of a text in UTF-8. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) {
      // Half of a surrogate pair is two of the four bytes of the pair.
      length += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
    }
  }
  return length;
}

/** Returns the beginning of a text as a text of its own: a slice would keep all of it in memory. */
function beginning(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text.slice(0, LONGEST)));
}

/** Returns bytes in hexadecimal: `00 ff`. */
export function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, MOST_BYTES), (each) => each.toString(16).padStart(2, "0")).join(" ");
}

/** Returns the payload of a frame for people: JSON over several lines, and everything else as it is. */
export function readable({ text, isCut }: Pick<Frame, "text" | "isCut">): string {
  if (isCut || !/^\s*[[{]/.test(text)) {
    return text;
  }
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
