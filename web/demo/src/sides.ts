// Three ways to watch the same price. Each keeps the last value that it has received, as a page would show it.

import type { Feed } from "wirespeed";
import { address } from "./connection.js";
import type { ServerClock } from "./clock.js";
import { live } from "./live.js";
import { CHANGES_PER_SECOND } from "./quote.js";
import type { Quote } from "./quote.js";

/** Seconds after which a value is old. */
export const OLD = 0.1;

export abstract class Side {
  /** The value on the screen. */
  shown: Quote | null = null;
  /** The time at which that was handled, by this page's clock, in milliseconds. */
  handledAt = 0;
  /** The number of values that were old when they were handled. */
  old = 0;
  readonly #clock: ServerClock;

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  /** True if it is connected. */
  abstract get open(): boolean;

  abstract start(): void;

  /** Ends it and clears the value. */
  stop(): void {
    this.shown = null;
  }

  /** Returns the age of the value on the screen, in seconds. */
  get age(): number {
    return this.shown ? Math.max(0, this.#clock.now() - this.shown.at) : Infinity;
  }

  /** Returns the number of changes that the server has made and that have not arrived yet. */
  get queued(): number {
    const made = Math.floor(this.#clock.now() * CHANGES_PER_SECOND);
    return this.shown ? Math.max(0, made - this.shown.number) : 0;
  }

  protected take(quote: Quote): void {
    this.shown = quote;
    this.handledAt = performance.now();
    if (this.age > OLD) {
      this.old += 1;
    }
  }
}

/** `new WebSocket`: a frame for each change. Frames that arrive while the page is busy wait in the tab. */
export class Bare extends Side {
  #socket: WebSocket | null = null;

  get open(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** The connection has ended, and nothing opens it again. */
  get ended(): boolean {
    return (this.#socket?.readyState ?? WebSocket.CONNECTING) > WebSocket.OPEN;
  }

  start(): void {
    if (!this.#socket) {
      this.#socket = new WebSocket(address("/ticks/BTC"));
      this.#socket.onmessage = ({ data }: MessageEvent<string>) => this.take(JSON.parse(data) as Quote);
    }
  }

  override stop(): void {
    super.stop();
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = null;
      socket.close();
    }
  }
}

abstract class Client extends Side {
  protected abstract readonly feed: Feed<Quote>;
  #stop: (() => void) | null = null;

  get open(): boolean {
    return live.status.current.state === "connected";
  }

  start(): void {
    this.#stop ??= this.watch();
  }

  override stop(): void {
    super.stop();
    this.#stop?.();
    this.#stop = null;
  }

  protected abstract watch(): () => void;
}

/** A feed of which the page gets the newest value. */
export class Newest extends Client {
  protected readonly feed = live.feed<Quote>("price/BTC");

  /** A newer value replaces the previous one. */
  override get queued(): number {
    return 0;
  }

  protected watch(): () => void {
    return this.feed.onValue((quote) => this.take(quote));
  }
}

/** A feed of which the page gets every change: while it is busy, changes wait in the server's log. */
export class Every extends Client {
  protected readonly feed = live.feed<Quote>("ticks/BTC", { every: true });

  protected watch(): () => void {
    return this.feed.onBatch((quotes) => quotes.forEach((quote) => this.take(quote)));
  }
}
