import type { Readable, Status } from "wirespeed";
import { say } from "./dom.js";
import type { Mood } from "./dom.js";
import { live } from "./live.js";

interface Watched {
  readonly status: Readable<Status>;
}

/** The state of a live part of the page, in words: the connection, the feed, or why it pauses. */
export class Standing {
  readonly #state: HTMLElement;
  readonly #watched: readonly Watched[];
  #paused: string | null = null;
  #complaint: string | null = null;
  #stops: (() => void)[] = [];
  readonly #leave: () => void;

  constructor(state: HTMLElement, watched: readonly Watched[]) {
    this.#state = state;
    this.#watched = watched;
    let last = live.status.current.state;
    this.#leave = live.status.subscribe(({ state: now }) => {
      // A complaint that there is no connection must not outlive that, nor any other hide that it is lost.
      this.#complaint = now === last ? this.#complaint : null;
      last = now;
      this.#show();
    });
  }

  /** Shows that it watches, from now on. */
  resume(): void {
    if (this.#stops.length === 0) {
      this.#paused = null;
      this.#stops = this.#watched.map((each) => each.status.subscribe(() => this.#show()));
    }
  }

  pause(words: string): void {
    this.#stops.forEach((stop) => stop());
    this.#stops = [];
    this.#paused = words;
    this.#show();
  }

  /** Shows nothing any more: another one has taken its place. */
  end(): void {
    this.#leave();
    this.#stops.forEach((stop) => stop());
    this.#stops = [];
  }

  /** Ends a complaint. */
  settle(): void {
    if (this.#complaint !== null) {
      this.#complaint = null;
      this.#show();
    }
  }

  complain(words: string): void {
    this.#complaint = words;
    this.#show();
  }

  #show(): void {
    say(this.#state, ...this.#words());
  }

  #words(): [string, Mood] {
    const { state, reason } = live.status.current;
    if (this.#paused !== null) {
      return [this.#paused, ""];
    }
    if (this.#complaint !== null) {
      return [this.#complaint, "bad"];
    }
    if (state === "stale") {
      return [reason ?? "The connection was lost.", "bad"];
    }
    if (state === "closed") {
      return [reason ?? "The connection is closed.", "bad"];
    }
    return state === "connecting" ? ["Connecting", ""] : this.#subscribed();
  }

  #subscribed(): [string, Mood] {
    const all = this.#watched.map((each) => each.status.current);
    const refused = all.find((each) => each.error);
    if (refused?.error) {
      return [refused.error.message, "bad"];
    }
    return all.every((each) => each.state === "connected") ? ["Live", "live"] : ["Connecting", ""];
  }
}
