/** Milliseconds between two acknowledgements. Each costs the server some 40 µs: ten per second are next to nothing. */
export const INTERVAL = 100;

/** Something whose publications are acknowledged. */
export interface Acknowledged {
  readonly channel: string;
  /** How many publications the page is done with since it was subscribed. */
  readonly handled: number;
}

/**
 * Tells the server which publications the page is done with, in one message for all: the first at once, then at most
 * ten per second.
 *
 * @param send - Sends the counts; a promise that says whether they have left.
 */
export class Acknowledgements {
  readonly #due = new Set<Acknowledged>();
  #last = -INTERVAL;
  #spare = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (counts: Record<string, number>) => Promise<unknown>) {}

  /** The page is done with more of it. */
  add(one: Acknowledged): void {
    this.#due.add(one);
    this.#soon();
  }

  /** It is over: nobody wants to know any more. */
  remove(one: Acknowledged): void {
    this.#due.delete(one);
  }

  /**
   * The page was busy: the next two do not wait, since some of what has come meanwhile is handled with the first paint,
   * and the rest with the second.
   */
  hurry(): void {
    this.#spare = 2;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#due.size > 0) {
      this.#soon();
    }
  }

  #soon(): void {
    if (this.#timer !== undefined) {
      return;
    }
    const wait = this.#spare > 0 ? 0 : this.#last + INTERVAL - performance.now();
    // Not at once, but when this turn is over, so that there is one for all.
    this.#timer = setTimeout(() => this.#tell(), Math.max(wait, 0));
  }

  #tell(): void {
    this.#timer = undefined;
    if (this.#due.size === 0) {
      return;
    }
    this.#last = performance.now();
    this.#spare = Math.max(this.#spare - 1, 0);
    const counts = Object.fromEntries([...this.#due].map(({ channel, handled }) => [channel, handled]));
    this.#due.clear();
    // Without a connection nobody waits for it: the next one counts anew.
    this.send(counts).catch(() => {});
  }
}
