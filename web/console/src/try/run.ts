import type { Beside, Direction } from "./frames.js";
import type { Refusal } from "./refusal.js";

/** Where the events of a run go. */
export interface Sink {
  /** The server accepts. */
  opened(note: string): void;
  /**
   * A value has arrived.
   *
   * @param payload - Its text or bytes, as they came.
   * @param value - The value, if it has been parsed already.
   */
  value(payload: string | Uint8Array, beside?: Beside, value?: unknown): void;
  /** Something else has arrived, was sent, or has happened. */
  frame(direction: Direction, payload: string | Uint8Array, beside?: Beside): void;
  /** A request was refused, or has failed; the run may continue. */
  refused(refusal: Refusal): void;
  /** The run is over. */
  ended(note: string): void;
}

/** A run: one connection, or one request. */
export interface Run {
  /** Sends a further message; undefined if this surface cannot. */
  readonly send?: ((message: unknown) => void) | undefined;
  /** Ends the run. Nothing is passed to the sink any more. */
  stop(): void;
}
