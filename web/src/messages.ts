import { guarded } from "./readable.js";

/** The messages that the app sends to this client with `client.send()`. */
export class Messages {
  readonly #listeners = new Set<(message: never) => void>();

  /**
   * Calls a listener with each message as soon as it arrives, in a hidden tab, too. A message that arrives without a
   * listener is dropped.
   *
   * @returns A function that stops it.
   */
  subscribe<T = unknown>(listener: (message: T) => void): () => void {
    const own = (message: T): void => listener(message); // the same function may listen twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** @internal */
  pass(message: unknown): void {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) {
        guarded(() => listener(message as never));
      }
    }
  }
}
