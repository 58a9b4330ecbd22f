import { type Centrifuge, type ClientInfo, type PublicationContext, type SubscribedContext, type Subscription, SubscriptionState } from "centrifuge";
import type { Acknowledged, Acknowledgements } from "./acknowledgements.js";
import { errorAt, explained } from "./errors.js";
import type { Paintable, Painter } from "./painter.js";
import { guarded, type Readable } from "./readable.js";
import { interruptionOf, isComplete } from "./reasons.js";
import { type Health, type Status, StatusVariable } from "./status.js";
import { Whole } from "./whole.js";

/** The parts of a connection that all its subscriptions share. */
export interface Connection {
  readonly sdk: Centrifuge;
  readonly painter: Painter;
  readonly acknowledgements: Acknowledgements;
  readonly status: Readable<Status>;
}

/** Requests of each subscription: arrays of values, and no more of them than the page acknowledges. */
export const WANTS = { batches: true, acknowledges: true } as const;

/** Reasons of a source's health that the server leaves out. */
const SAID = {
  live: "",
  stale: "The server cannot reach its broker; trying again.",
  failing: "", // only the app knows why
} as const;

/** The data of the reply to a subscribe: whether parts of values may be sent, by which they grow. */
interface Reply {
  readonly wirespeed?: { readonly appends?: boolean };
}

/** A receiver of the values of a source. */
export interface Consumer<T> {
  /** True if it wants every value; otherwise, it gets the newest. */
  readonly every: boolean;
  /** True if it wants them in a hidden tab, too. */
  readonly isHidden?: boolean;
  /** True if values say nothing without all that came before: changes of rows. */
  readonly needsAll?: boolean;
  /** Takes the values since the last paint, oldest first, or only the newest. */
  take(values: readonly T[]): void;
  /** Takes the number of values that were lost before the next ones; null if it is unknown. */
  lost(count: number | null): void;
  /** Starts over: values from before are no longer valid. */
  reset(): void;
  /** Takes a client that has subscribed or left. */
  member?(info: ClientInfo, isHere: boolean): void;
}

/** One subscription, shared by all handles of a channel. It exists while it has consumers. */
export class Source<T> implements Acknowledged, Paintable {
  readonly status = new StatusVariable();
  handled = 0;
  /** Newest value that was painted. */
  newest: T | undefined;
  readonly #consumers = new Set<Consumer<T>>();
  /** Consumers that were added after the newest value was painted, and still get it. */
  readonly #late = new Set<Consumer<T>>();
  #subscription: Subscription | undefined;
  #unwatch: () => void = () => {};
  #received = 0;
  #batches: T[][] = [];
  #lost: number | null = 0;
  #isReset = false;
  /** True if the server has accepted the subscription: its first values may have passed. */
  #hasBegun = false;
  /** True if a value was ignored whose position the SDK has noted. */
  #isAhead = false;
  /** Makes whole values of what the server appends; undefined if nothing grows. */
  #whole: Whole | undefined;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param channel - Channel of the subscription.
   */
  constructor(
    readonly connection: Connection,
    readonly channel: string,
  ) {}

  /**
   * Adds a consumer, and subscribes for the first one.
   *
   * @param knows - True if the consumer has the newest value already.
   */
  add(consumer: Consumer<T>, knows = false): void {
    this.#consumers.add(consumer);
    clearTimeout(this.#leaving);
    this.#leaving = undefined;
    if (this.#subscription === undefined) {
      this.#subscribe();
    } else if (consumer.needsAll && this.#hasBegun) {
      this.#startOver();
    } else if (this.newest !== undefined && !consumer.every && !knows) {
      this.#late.add(consumer);
      this.connection.painter.add(this);
    }
  }

  /** Removes a consumer. The subscription ends after this turn, so that a consumer that returns in it keeps it. */
  remove(consumer: Consumer<T>): void {
    this.#consumers.delete(consumer);
    this.#late.delete(consumer);
    if (this.#consumers.size === 0) {
      this.#leaving ??= setTimeout(() => this.#leave(), 0);
    }
  }

  /** Hands over everything that has arrived since the last paint. */
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

  #each(notify: (consumer: Consumer<T>) => void): void {
    for (const consumer of [...this.#consumers]) {
      if (this.#consumers.has(consumer)) {
        guarded(() => notify(consumer));
      }
    }
  }

  #subscribe(): void {
    const subscription = this.connection.sdk.newSubscription(this.channel, { data: { wirespeed: { ...WANTS, appends: true, status: true } } });
    this.#subscription = subscription;
    subscription.on("subscribed", (context) => this.#subscribed(context));
    subscription.on("publication", (context) => this.#published(context));
    subscription.on("subscribing", ({ code, reason }) => this.#interrupted(code, reason));
    subscription.on("join", ({ info }) => this.#each((consumer) => consumer.member?.(info, true)));
    subscription.on("leave", ({ info }) => this.#each((consumer) => consumer.member?.(info, false)));
    subscription.on("unsubscribed", ({ code, reason }) => this.#ended(code, reason));
    subscription.on("error", ({ error }) => this.status.postpone(errorAt(this.channel, error)));
    subscription.subscribe();
    this.#unwatch = this.connection.status.subscribe((status) => this.#connectionIs(status));
  }

  /** Starts the counts again: the next subscription has its own, which start at zero. */
  #interrupted(code: number, reason: string): void {
    this.#received = this.handled = 0;
    this.connection.acknowledgements.remove(this);
    this.status.become("stale", interruptionOf(code, explained(reason).message));
  }

  /** Subscribes again, if the server has refused it. */
  retry(): void {
    const { state, error } = this.status.current;
    if (state === "closed" && error !== undefined) {
      this.status.become("connecting");
      this.#subscription?.subscribe();
    }
  }

  /**
   * Closes the source if the connection is closed for good: the SDK will never subscribe it again. If the connection is
   * lost after a value was ignored, the SDK would resume behind that value; then it subscribes as for the first time.
   */
  #connectionIs({ state, ...why }: Status): void {
    if (state === "closed" && this.status.current.state !== "closed") {
      this.status.become("closed", why);
    } else if (state === "stale" && this.#isAhead) {
      this.#startOver();
    }
  }

  /** Subscribes as for the first time. */
  #startOver(): void {
    this.#forget();
    this.#lost = null;
    this.#subscribe();
  }

  #subscribed({ wasRecovering, recovered, data }: SubscribedContext): void {
    const { appends } = (data as Reply | undefined)?.wirespeed ?? {};
    this.#whole = appends ? (this.#whole ?? new Whole()) : undefined;
    this.#received = this.handled = 0;
    this.#hasBegun = true;
    this.#isAhead = false;
    if (!(wasRecovering && recovered)) {
      this.#isReset = true;
      if (wasRecovering) {
        // Values that wait here are from before the gap. In a hidden tab, they may be many.
        this.#batches = [];
        this.#lost = null;
      }
      this.connection.painter.add(this);
    }
    this.status.become("connected");
  }

  /** True if the server sends values and members, whatever the health of the source. */
  get isSubscribed(): boolean {
    return this.#subscription?.state === SubscriptionState.Subscribed;
  }

  /** Takes the server's notice about the source of the values; the connection itself is fine. */
  healthIs({ state, since, reason }: Health): void {
    if (this.isSubscribed) {
      const why = reason ?? SAID[state];
      this.status.become(state === "live" ? "connected" : state, { ...(why && { reason: why }), since: 1000 * since });
    }
  }

  #published({ data, tags }: PublicationContext): void {
    const state = this.#subscription?.state;
    if (state !== SubscriptionState.Subscribed) {
      // It was sent to the previous subscription, or to one of the identity; the one that begins now has its own values.
      this.#isAhead = state === SubscriptionState.Subscribing;
      return;
    }
    this.#received += 1;
    if (tags?.["lost"] !== undefined) {
      this.#lost = this.#lost === null ? null : this.#lost + Number(tags["lost"]);
    }
    const whole = this.#whole;
    this.#batches.push((whole === undefined ? data : (data as unknown[]).map((item) => whole.of(item))) as T[]);
    if (this.#batches.length > 1 && !this.#wants("every")) {
      this.#batches.shift(); // a busy page gets only the newest when it paints
    }
    this.connection.painter.add(this);
  }

  get paintsHidden(): boolean {
    return this.#wants("isHidden");
  }

  #wants(what: "every" | "isHidden"): boolean {
    for (const consumer of this.#consumers) {
      if (consumer[what]) {
        return true;
      }
    }
    return false;
  }

  #ended(code: number, reason: string): void {
    if (code === 0) {
      return; // the page ended it
    }
    if (isComplete(code, reason)) {
      this.status.become("closed", { code, reason: "The feed is complete." });
      return;
    }
    const error = errorAt(this.channel, { code, message: reason });
    if (!this.status.isWatched) {
      console.error(error.message);
    }
    this.status.become("closed", { code, reason: error.message, error });
  }

  #leave(): void {
    this.#leaving = undefined;
    this.newest = undefined;
    this.#forget();
    this.status.become("connecting");
  }

  /** Ends the subscription, with everything that it has brought. */
  #forget(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    this.#received = this.handled = 0;
    this.#hasBegun = this.#isAhead = false;
    this.#unwatch();
    this.#batches = [];
    this.#whole = undefined;
    this.connection.acknowledgements.remove(this);
    if (subscription !== undefined) {
      subscription.unsubscribe();
      this.connection.sdk.removeSubscription(subscription);
    }
  }
}
