import { type Centrifuge, type PublicationContext, type SubscribedContext, type Subscription, SubscriptionState } from "centrifuge";
import type { Acknowledged, Acknowledgements } from "./acknowledgements.js";
import { errorAt } from "./errors.js";
import type { Paintable, Painter } from "./painter.js";
import { guarded, type Readable } from "./readable.js";
import { type Status, StatusVariable } from "./status.js";

/** What all subscriptions of one connection share. */
export interface Connection {
  readonly sdk: Centrifuge;
  readonly painter: Painter;
  readonly acknowledgements: Acknowledgements;
  readonly status: Readable<Status>;
}

/** What the server is asked for with each subscription: arrays of values, no more than the page keeps up with. */
export const WANTS = { batches: true, acknowledges: true } as const;

/** Somebody who is given what comes. */
export interface Consumer<T> {
  /** Whether it wants every value, or only the newest. */
  readonly every: boolean;
  /** Takes what has come since the last paint, the oldest first: all of it, or the newest alone. */
  take(values: readonly T[]): void;
  /** So many values were lost before what it is given next; null for nobody knows how many. */
  lost(count: number | null): void;
  /** It begins anew: what is held from before is no longer true. */
  reset(): void;
}

/** One subscription, for all who want it: it is there while somebody does. All handles of one channel share it. */
export class Source<T> implements Acknowledged, Paintable {
  readonly status = new StatusVariable();
  handled = 0;
  /** The newest value that was painted. */
  newest: T | undefined;
  readonly #consumers = new Set<Consumer<T>>();
  /** Those who came after the newest value was painted, and want it. */
  readonly #late = new Set<Consumer<T>>();
  #subscription: Subscription | undefined;
  #unwatch: () => void = () => {};
  #received = 0;
  #batches: T[][] = [];
  #lost: number | null = 0;
  #isReset = false;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param channel - Its name on the connection.
   */
  constructor(
    private readonly connection: Connection,
    readonly channel: string,
  ) {}

  /** Somebody wants it. */
  add(consumer: Consumer<T>): void {
    this.#consumers.add(consumer);
    clearTimeout(this.#leaving);
    this.#leaving = undefined;
    if (this.#subscription === undefined) {
      this.#subscribe();
    } else if (this.newest !== undefined && !consumer.every) {
      this.#late.add(consumer);
      this.connection.painter.add(this);
    }
  }

  /** Somebody does not want it any more; a page that puts it up again at once gets it back. */
  remove(consumer: Consumer<T>): void {
    this.#consumers.delete(consumer);
    this.#late.delete(consumer);
    if (this.#consumers.size === 0) {
      this.#leaving ??= setTimeout(() => this.#leave(), 0);
    }
  }

  /** Hands over what has come since the last paint. */
  paint(): void {
    const batches = this.#batches;
    const lost = this.#lost;
    this.#batches = [];
    this.#lost = 0;
    if (this.#isReset) {
      this.#isReset = false;
      this.#each((consumer) => consumer.reset());
    }
    if (lost !== 0) {
      this.#each((consumer) => consumer.lost(lost));
    }
    const last = batches.at(-1);
    if (last !== undefined) {
      this.newest = last.at(-1);
      const newest = last.slice(-1);
      const all = batches.length === 1 ? last : batches.flat(1);
      this.#each((consumer) => consumer.take(consumer.every ? all : newest));
    } else if (this.newest !== undefined) {
      const newest = [this.newest];
      this.#each((consumer) => this.#late.has(consumer) && consumer.take(newest));
    }
    this.#late.clear();
    if (this.handled < this.#received) {
      this.handled = this.#received;
      this.connection.acknowledgements.add(this);
    }
  }

  #each(tell: (consumer: Consumer<T>) => void): void {
    for (const consumer of [...this.#consumers]) {
      if (this.#consumers.has(consumer)) {
        guarded(() => tell(consumer));
      }
    }
  }

  #subscribe(): void {
    const subscription = this.connection.sdk.newSubscription(this.channel, { data: { wirespeed: WANTS } });
    this.#subscription = subscription;
    subscription.on("subscribed", (context) => this.#subscribed(context));
    subscription.on("publication", (context) => this.#published(context));
    subscription.on("subscribing", ({ reason }) => this.#interrupted(reason));
    subscription.on("unsubscribed", ({ code, reason }) => this.#ended(code, reason));
    subscription.subscribe();
    this.#unwatch = this.connection.status.subscribe((status) => this.#connectionIs(status));
  }

  /** Counts of what was are not told to the subscription that follows, which counts anew. */
  #interrupted(reason: string): void {
    this.#received = this.handled = 0;
    this.connection.acknowledgements.remove(this);
    this.status.become("stale", reason);
  }

  /** What the SDK will subscribe again when it is connected never will be, if the connection is closed for good. */
  #connectionIs({ state, reason }: Status): void {
    if (state === "closed" && this.status.current.state !== "closed") {
      this.status.become("closed", reason);
    }
  }

  #subscribed({ wasRecovering, recovered }: SubscribedContext): void {
    this.#received = this.handled = 0;
    if (!(wasRecovering && recovered)) {
      this.#isReset = true;
      if (wasRecovering) {
        // What still waits here is from before the gap, and may be most of what a hidden tab was sent.
        this.#batches = [];
        this.#lost = null;
      }
      this.connection.painter.add(this);
    }
    this.status.become("connected");
  }

  #published({ data, tags }: PublicationContext): void {
    if (this.#subscription?.state !== SubscriptionState.Subscribed) {
      return; // it was sent to the subscription before, and the one that begins here has values of its own
    }
    this.#received += 1;
    if (tags?.["lost"] !== undefined) {
      this.#lost = this.#lost === null ? null : this.#lost + Number(tags["lost"]);
    }
    this.#batches.push(data as T[]);
    if (this.#batches.length > 1 && !this.#wantsEvery()) {
      this.#batches.shift(); // a page that is busy gets the newest, when it paints
    }
    this.connection.painter.add(this);
  }

  #wantsEvery(): boolean {
    for (const consumer of this.#consumers) {
      if (consumer.every) {
        return true;
      }
    }
    return false;
  }

  #ended(code: number, reason: string): void {
    if (code === 0) {
      return; // by us
    }
    if (code === 2000) {
      this.status.become("closed", reason || "complete");
      return;
    }
    const error = errorAt(this.channel, { code, message: reason });
    if (!this.status.isWatched) {
      console.error(error.message);
    }
    this.status.become("closed", error.message, error);
  }

  #leave(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    this.#leaving = undefined;
    this.#unwatch();
    this.#batches = [];
    this.newest = undefined;
    this.connection.acknowledgements.remove(this);
    if (subscription !== undefined) {
      subscription.unsubscribe();
      this.connection.sdk.removeSubscription(subscription);
    }
    this.status.become("connecting");
  }
}
