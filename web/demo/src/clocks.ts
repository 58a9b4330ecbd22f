// Two clocks with the server's time. Each shows the newest value that its page has handled, as any page would.

import { address } from "./connection.js";
import type { ServerClock } from "./clock.js";
import { live } from "./live.js";
import { work } from "./work.js";

/** Seconds after which a clock is wrong. */
export const LATE = 0.25;
/** The time until a lost plain WebSocket is opened again, in milliseconds. */
const AGAIN = 1_000;

interface Moment {
  /** Time by the server's clock, in seconds since 1970. */
  at: number;
}

export abstract class Clock {
  /** Milliseconds of work for each value. */
  work = 0;
  /** The number of values that were late when they were handled. */
  late = 0;
  #shown: number | null = null;
  readonly #server: ServerClock;

  constructor(server: ServerClock) {
    this.#server = server;
  }

  abstract start(): void;

  stop(): void {
    this.#shown = null;
  }

  /** Returns the time that the clock shows, in seconds since 1970; null if it has none. */
  get shown(): number | null {
    return this.#shown;
  }

  /** Returns how late the clock is, in seconds. */
  get behind(): number {
    return this.#shown === null ? Infinity : Math.max(0, this.#server.now() - this.#shown);
  }

  protected take({ at }: Moment): void {
    work(this.work);
    this.#shown = at;
    if (this.behind > LATE) {
      this.late += 1;
    }
  }
}

/** The clock of a plain FastAPI loop. What arrives while the page is busy waits in the tab. */
export class PlainClock extends Clock {
  #socket: WebSocket | null = null;
  #timer = 0;

  start(): void {
    if (this.#socket) {
      return;
    }
    const socket = new WebSocket(address("/plain/clock"));
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<string>) => this.take(JSON.parse(data) as Moment);
    socket.onclose = () => {
      this.#socket = null;
      this.#timer = window.setTimeout(() => this.start(), AGAIN);
    };
  }

  override stop(): void {
    super.stop();
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      if (socket.readyState === WebSocket.CONNECTING) {
        // A browser reports it as an error if a page closes a connection before it is open.
        socket.onopen = () => socket.close();
      } else {
        socket.close();
      }
    }
  }
}

/** The clock of a feed. */
export class ClientClock extends Clock {
  readonly #feed = live.feed<Moment>("now");
  #stop: (() => void) | null = null;

  start(): void {
    this.#stop ??= this.#feed.onValue((moment) => this.take(moment));
  }

  override stop(): void {
    super.stop();
    this.#stop?.();
    this.#stop = null;
  }
}
