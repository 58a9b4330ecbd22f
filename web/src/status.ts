import type { WirespeedError } from "./errors.js";
import { Variable } from "./readable.js";

/**
 * How a connection, or a feed, stands.
 *
 * `connecting`: for the first time. `connected`: what the page shows is live. `stale`: the connection is lost, what the
 * page shows is old, and it will come back by itself. `closed`: it is over, and `reason` says why.
 */
export type State = "connecting" | "connected" | "stale" | "closed";

export interface Status {
  readonly state: State;
  /** Why, where there is something to be said. */
  readonly reason?: string;
  /** What it was refused with, or has failed with. */
  readonly error?: WirespeedError;
  /** Since when, as `Date.now()` has it. */
  readonly since: number;
}

/** A status that this library changes. */
export class StatusVariable extends Variable<Status> {
  constructor() {
    super({ state: "connecting", since: Date.now() });
  }

  /** It is another one; what is lost before it was ever connected is still connecting. */
  become(state: State, reason = "", error?: WirespeedError): void {
    if (state === "stale" && this.current.state === "connecting") {
      return;
    }
    this.set({ state, since: Date.now(), ...(reason && { reason }), ...(error && { error }) });
  }
}
