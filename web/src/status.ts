import { WirespeedError } from "./errors.js";
import { Variable } from "./readable.js";
import { EXPIRED, SERVER } from "./reasons.js";

/**
 * The state of a connection or a feed.
 *
 * `connecting`: it is connecting for the first time. `connected`: the page shows current values. `stale`: the page
 * shows old values, because the connection is lost, or the server has lost its broker; the client or the server is
 * reconnecting. `failing`: the page shows old values, because the generator of the feed keeps failing; the server starts
 * it again and again. `closed`: it is over, and `reason` says why.
 */
export type State = "connecting" | "connected" | "stale" | "failing" | "closed";

export interface Status {
  readonly state: State;
  /** Reason of the state, if there is one: a sentence for people. */
  readonly reason?: string;
  /** Code of the reason, for programs: the protocol's or the app's own; 0 if the page itself is the reason. */
  readonly code?: number;
  /** Error of a refusal or failure. */
  readonly error?: WirespeedError;
  /** Time at which the state began, as a value of `Date.now()`. */
  readonly since: number;
}

/** The health of a feed's source, as the server reports it; `since` is a Unix time in seconds. */
export interface Health {
  readonly state: "live" | "stale" | "failing";
  readonly since: number;
  readonly reason?: string;
}

/** A status that this library sets. */
export class StatusVariable extends Variable<Status> {
  constructor() {
    super({ state: "connecting", since: Date.now() });
  }

  /** Changes the state. A connection that is lost before it was ever connected is still connecting. */
  become(state: State, why: Partial<Omit<Status, "state">> = {}): void {
    const { state: before, since } = this.current;
    if (state === "stale" && before === "connecting") {
      return;
    }
    this.set({ state, since: state === before ? since : Date.now(), ...why });
  }

  /** Notes why the server refuses for now, in the same state: the SDK tries again. */
  postpone(error: WirespeedError): void {
    const { state } = this.current;
    const { code } = error;
    if (code >= SERVER && code !== EXPIRED && (state === "connecting" || state === "stale")) {
      this.become(state, { code, reason: `${error.message.replace(/\.$/, "")}; trying again.`, error });
    }
  }
}

/** Returns the error of a request on a connection that is closed. */
export function closedAt(path: string, { reason, error }: Status): WirespeedError {
  return new WirespeedError(0, `${path}: ${reason} Connect again.`, error?.status, error?.detail);
}
