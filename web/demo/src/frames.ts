/** What marks a price in a frame. No other value on this connection has such a field, and texts have their quotes escaped. */
const MARK = '"number":';

/** Counts the frames of a connection that carry prices. Only the WebSocket itself shows them: the client passes on values. */
export class Frames {
  #frames = 0;
  #values = 0;

  /** Makes a connection whose frames are counted, also after it was lost and opened again. */
  counted<T>(connect: () => T): T {
    const plain = globalThis.WebSocket;
    const note = ({ data }: MessageEvent): void => this.#note(String(data));
    globalThis.WebSocket = class extends plain {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        this.addEventListener("message", note);
      }
    };
    try {
      return connect();
    } finally {
      globalThis.WebSocket = plain;
    }
  }

  /** Returns the mean number of values in a frame since the last call; null if there was no frame. */
  take(): number | null {
    const mean = this.#frames ? this.#values / this.#frames : null;
    this.#frames = this.#values = 0;
    return mean;
  }

  #note(frame: string): void {
    const before = this.#values;
    for (let at = frame.indexOf(MARK); at >= 0; at = frame.indexOf(MARK, at + MARK.length)) {
      this.#values += 1;
    }
    this.#frames += Number(this.#values > before);
  }
}
