// Three ways to watch the same price. Each keeps what it was told last, as a page would show it.

import type { Feed } from "wirespeed";
import { address } from "./connection.js";
import type { ServerClock } from "./clock.js";
import { live } from "./live.js";
import { CHANGES_PER_SECOND } from "./quote.js";
import type { Quote } from "./quote.js";

/** Seconds after which a value is old. */
export const OLD = 0.1;

export abstract class Side {
  /** What is shown. */
  shown: Quote | null = null;
  /** When that was handled, by this page's clock, in milliseconds. */
  handledAt = 0;
  /** How many values were old when they were handled. */
  old = 0;
  readonly #clock: ServerClock;

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  /** Whether its connection is there. */
  abstract get open(): boolean;

  abstract start(): void;

  /** Ends it; nothing is shown any more. */
  stop(): void {
    this.shown = null;
  }

  /** Seconds since the shown value was made. */
  get age(): number {
    return this.shown ? Math.max(0, this.#clock.now() - this.shown.at) : Infinity;
  }

  /** How many changes the server has made that have yet to come. */
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

/** `new WebSocket`, a frame for each change. What comes while the page is busy waits its turn in the tab. */
export class Bare extends Side {
  #socket: WebSocket | null = null;

  get open(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** It has ended by itself, and nothing opens it again. */
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

/** A feed of which the page wants the newest value. */
export class Newest extends Client {
  protected readonly feed = live.feed<Quote>("price/BTC");

  /** A newer value replaces the one before. */
  override get queued(): number {
    return 0;
  }

  protected watch(): () => void {
    return this.feed.onValue((quote) => this.take(quote));
  }
}

/** A feed of which the page wants every change: what comes while it is busy waits in the server's log. */
export class Every extends Client {
  protected readonly feed = live.feed<Quote>("ticks/BTC", { every: true });

  protected watch(): () => void {
    return this.feed.onBatch((quotes) => quotes.forEach((quote) => this.take(quote)));
  }
}
