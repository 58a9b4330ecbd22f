/** Milliseconds between two acknowledgements. Each costs the server about 40 µs, so ten per second are negligible. */
export const INTERVAL = 100;

/** A subscription whose publications are acknowledged. */
export interface Acknowledged {
  readonly channel: string;
  /** Number of publications that the page has handled since the subscribe. */
  readonly handled: number;
}

/**
 * Acknowledges the publications that the page has handled, in one message for all subscriptions: the first at once,
 * then at most ten messages per second.
 *
 * @param send - Sends the counts. Its promise rejects if they could not be sent.
 */
export class Acknowledgements {
  readonly #due = new Set<Acknowledged>();
  #last = -INTERVAL;
  #spare = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (counts: Record<string, number>) => Promise<unknown>) {}

  /** Adds a subscription with more handled publications. */
  add(one: Acknowledged): void {
    this.#due.add(one);
    this.#soon();
  }

  /** Removes a subscription: it is over. */
  remove(one: Acknowledged): void {
    this.#due.delete(one);
  }

  /**
   * Sends the next two messages without waiting, because the page was busy: the first paint handles a part of what has
   * arrived meanwhile, and the second one the rest.
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
    // After this turn, so that one message covers all subscriptions.
    this.#timer = setTimeout(() => this.#sendAll(), Math.max(wait, 0));
  }

  #sendAll(): void {
    this.#timer = undefined;
    if (this.#due.size === 0) {
      return;
    }
    this.#last = performance.now();
    this.#spare = Math.max(this.#spare - 1, 0);
    const counts = Object.fromEntries([...this.#due].map(({ channel, handled }) => [channel, handled]));
    this.#due.clear();
    // Without a connection, the counts are not needed: the next one starts at zero.
    this.send(counts).catch(() => {});
  }
}
