import type { PublicationContext, SubscribedContext, Subscription } from "centrifuge";
import type { Acknowledged } from "./acknowledgements.js";
import type { ParamsOption } from "./channel.js";
import { errorAt, WirespeedError } from "./errors.js";
import { isComplete } from "./reasons.js";
import { WANTS, type Connection } from "./source.js";
import { closedAt, type Status } from "./status.js";

/** Options of a stream's run. */
export interface StreamOptions extends ParamsOption {
  /** Signal that ends the run; the loop then throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A stream. Each loop over it is a run of its own, which ends with the loop. */
export class Stream<T, Message = unknown> implements AsyncIterable<T> {
  readonly #path: string;
  readonly #begin: () => Run<T>;
  #run: Run<T> | undefined;

  /** @internal */
  constructor(path: string, begin: () => Run<T>) {
    this.#path = path;
    this.#begin = () => (this.#run = begin());
  }

  /**
   * Sends a further message to the run of the newest loop. The stream has to be duplex.
   *
   * @throws {@link WirespeedError} The message was refused, no answer arrived, or there is no run.
   */
  async send(message: Message): Promise<void> {
    if (this.#run === undefined) {
      throw new WirespeedError(0, `${this.#path}: the stream does not run; loop over it before you send messages`);
    }
    await this.#run.send(message);
  }

  /**
   * Begins a run, and yields all its values in order. Leaving the loop cancels the run.
   *
   * @throws {@link WirespeedError} The stream was refused or failed, or the connection was lost during the run. A run of a
   *   stream that is declared with `resume=` goes on when the connection is back.
   */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return new Values(this.#begin());
  }

  /** Begins a run, and yields arrays of all values that have arrived since the last one. */
  batches(): AsyncIterable<T[]> {
    return { [Symbol.asyncIterator]: () => this.#begin() };
  }
}

const DONE = { done: true, value: undefined } as const;

/** The values of a run, one by one. A value that has arrived costs only a promise. */
class Values<T> implements AsyncIterator<T, undefined> {
  #batch: readonly T[] = [];
  #at = 0;
  #fetching: Promise<boolean> | undefined;

  constructor(private readonly run: Run<T>) {}

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#at < this.#batch.length
      ? Promise.resolve({ done: false, value: this.#batch[this.#at++] as T })
      : this.#further();
  }

  /** Waits for the next value. Several calls may wait at the same time, and each gets the next one. */
  async #further(): Promise<IteratorResult<T, undefined>> {
    while (this.#at >= this.#batch.length) {
      this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
      if (!(await this.#fetching)) {
        return DONE;
      }
    }
    return { done: false, value: this.#batch[this.#at++] as T };
  }

  /** Fetches a batch. Returns false at the end of the run. */
  async #fetch(): Promise<boolean> {
    const { done, value } = await this.run.next();
    this.#batch = value ?? [];
    this.#at = 0;
    return !done;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#batch = [];
    return this.run.return().then(() => DONE);
  }
}

/** One run: a subscription of its own. A slow reader holds it back. */
export class Run<T> implements AsyncIterator<T[], undefined>, Acknowledged {
  handled = 0;
  #queue: T[][] = [];
  #taken = 0;
  /** Number of batches in the queue that came by an earlier connection, which counts its own. */
  #earlier = 0;
  #hasValues = false;
  #resumes = false;
  #isOver = false;
  #error: unknown;
  #news: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  readonly #subscription: Subscription;
  readonly #unwatch: () => void;

  /**
   * @param path - Path for error messages.
   * @param channel - Channel of this run only.
   */
  constructor(
    private readonly connection: Connection,
    private readonly path: string,
    readonly channel: string,
    message: unknown,
    private readonly signal: AbortSignal | undefined,
  ) {
    const data = { wirespeed: WANTS, ...(message !== undefined && { message }) };
    const subscription = connection.sdk.newSubscription(channel, { data });
    this.#subscription = subscription;
    subscription.on("publication", (context) => this.#published(context));
    subscription.on("subscribed", (context) => this.#subscribed(context));
    subscription.on("subscribing", () => this.#lost());
    subscription.on("unsubscribed", ({ code, reason }) => this.#ended(code, reason));
    signal?.addEventListener("abort", this.#abort);
    this.#unwatch = connection.status.subscribe((status) => this.#connectionIs(status));
    if (signal?.aborted) {
      this.#abort();
    }
    if (!this.#isOver) {
      subscription.subscribe();
    }
  }

  /** Returns everything that has arrived, or waits for it. */
  async next(): Promise<IteratorResult<T[], undefined>> {
    if (this.#taken > this.handled && !this.#isOver) {
      this.handled = this.#taken; // a reader that asks for more has handled what it got
      this.connection.acknowledgements.add(this);
    }
    while (this.#queue.length === 0) {
      if (this.#isOver) {
        return this.#finish();
      }
      await (this.#news ??= new Promise<void>((resolve) => (this.#wake = resolve)));
    }
    const batches = this.#queue;
    this.#queue = [];
    this.#taken += batches.length - this.#earlier;
    this.#earlier = 0;
    return { done: false, value: batches.length === 1 ? (batches[0] as T[]) : batches.flat(1) as T[] };
  }

  /** Sends a further message. */
  async send(message: unknown): Promise<void> {
    if (this.#isOver) {
      throw new WirespeedError(0, `${this.path}: the run is over; loop over the stream again`);
    }
    try {
      await this.#subscription.publish(message);
    } catch (error) {
      throw errorAt(this.path, error);
    }
  }

  /** Ends the run: the reader has left. */
  return(): Promise<IteratorResult<T[], undefined>> {
    this.#over(undefined);
    this.#queue = [];
    return Promise.resolve(DONE);
  }

  #finish(): IteratorResult<T[], undefined> {
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) {
      throw error;
    }
    return DONE;
  }

  #published({ data }: PublicationContext): void {
    this.#hasValues = true;
    this.#queue.push(data as T[]);
    this.#wakeUp();
  }

  #subscribed({ recoverable, recovered }: SubscribedContext): void {
    this.handled = this.#taken = 0;
    this.#earlier = this.#queue.length;
    this.#resumes = recovered;
    this.#lost();
    this.#resumes = recoverable;
  }

  /**
   * Ends a run that has begun, unless its stream is declared with `resume=`. The SDK would start it again, and its
   * values would mix with those of the first run.
   */
  #lost(): void {
    if (this.#hasValues && !this.#resumes) {
      const text = "the connection was lost in the middle of the run; start it again from where you need it.";
      this.#over(new WirespeedError(0, `${this.path}: ${text}`));
    }
  }

  #ended(code: number, reason: string): void {
    if (code !== 0) {
      this.#over(isComplete(code, reason) ? undefined : errorAt(this.path, { code, message: reason }));
    }
  }

  #connectionIs(status: Status): void {
    if (status.state === "closed") {
      // Later in this turn, because the first call comes from the constructor.
      queueMicrotask(() => this.#over(closedAt(this.path, status)));
    }
  }

  readonly #abort = (): void => {
    this.#queue = [];
    this.#over(this.signal?.reason ?? new WirespeedError(0, `${this.path}: aborted`));
  };

  #over(error: unknown): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#error = error;
    this.signal?.removeEventListener("abort", this.#abort);
    this.#unwatch();
    this.connection.acknowledgements.remove(this);
    this.#subscription.unsubscribe();
    this.connection.sdk.removeSubscription(this.#subscription);
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = this.#news = undefined;
  }
}
