import { Centrifuge, type PublicationContext, type Subscription } from "centrifuge";
import { Acknowledgements } from "../../../src/acknowledgements.js";
import { refusalOf, refusalOfCode } from "./refusal.js";
import { channelOf, isWatched, type Request, startsWithMessage } from "./request.js";
import type { Run, Sink } from "./run.js";

/** Code and reason by which the server ends a subscription that is complete. */
const COMPLETE = 2000;

/** Makes a request over the multiplexed connection, which is opened for it alone. */
export function openMultiplexed(request: Request, sink: Sink): Run {
  return new Multiplexed(request, sink);
}

class Multiplexed implements Run {
  readonly send: ((message: unknown) => void) | undefined;
  readonly channel: string;
  /** Publications that the page has handled: the server holds back more if they are not acknowledged. */
  handled = 0;
  readonly #sdk: Centrifuge;
  readonly #acknowledgements: Acknowledgements;
  readonly #subscription: Subscription | undefined;
  #isOver = false;

  constructor(
    private readonly request: Request,
    private readonly sink: Sink,
  ) {
    const { definition, options, live } = request;
    this.channel = channelOf(request);
    const token = options.token.trim();
    this.#sdk = new Centrifuge(`${live.replace(/^http/, "ws")}/websocket`, {
      name: "wirespeed",
      ...(token && { token }),
    });
    this.#acknowledgements = new Acknowledgements((acknowledge) => this.#sdk.send({ wirespeed: { acknowledge } }));
    this.#sdk.on("connected", ({ client, transport }) =>
      sink.frame("state", `Connected over ${transport}, client ${client}`),
    );
    this.#sdk.on(
      "connecting",
      ({ code, reason }) =>
        code !== 0 && sink.frame("state", `Connection lost (${code} ${reason}); connecting again`, { isBad: true }),
    );
    this.#sdk.on("disconnected", ({ code, reason }) => this.#end(code, reason));
    this.#sdk.on(
      "error",
      ({ type, error }) =>
        type === "transport" &&
        sink.frame("state", `The server cannot be reached (${error.message}); trying again`, { isBad: true }),
    );
    this.#sdk.on(
      "error",
      ({ type, error }) => type === "connect" && sink.refused(refusalOfCode(error.code, error.message)),
    );
    this.#sdk.on("message", ({ data }) =>
      sink.frame("in", JSON.stringify(data), { note: "message of the connection" }),
    );
    if (definition.kind === "call") {
      void this.#call();
    } else {
      const subscription = this.#subscribe();
      this.#subscription = subscription;
      this.send =
        definition.kind === "topic"
          ? (message) => void this.#publish(this.#sdk, message)
          : definition.intake === "all"
            ? (message) => void this.#publish(subscription, message)
            : undefined;
    }
    this.#sdk.connect();
  }

  stop(): void {
    this.#isOver = true;
    this.#subscription?.unsubscribe(); // a run that can be resumed would wait for a connection that is only lost
    this.#sdk.disconnect();
  }

  async #call(): Promise<void> {
    const { message, carrier } = this.request;
    const data = carrier === "none" ? null : message;
    try {
      this.sink.frame("out", JSON.stringify(data), { note: `rpc ${this.channel}` });
      const answer = await this.#sdk.rpc(this.channel, data);
      if (!this.#isOver) {
        this.sink.opened("Answered");
        this.sink.value(JSON.stringify(answer.data), {}, answer.data);
        this.#over("Answered");
      }
    } catch (error) {
      this.#refused(error);
      this.#over("Refused");
    }
  }

  async #publish(to: Centrifuge | Subscription, message: unknown): Promise<void> {
    this.sink.frame("out", JSON.stringify(message), { note: "publish" });
    try {
      await (to instanceof Centrifuge ? to.publish(this.channel, message) : to.publish(message));
    } catch (error) {
      this.#refused(error);
    }
  }

  #subscribe(): Subscription {
    const { definition, message, since } = this.request;
    // Topics come one by one, with their tags and senders; everything else in arrays, which cost a page less.
    const inBatches = definition.kind !== "topic";
    const wants = {
      ...(inBatches && { batches: true, acknowledges: true }),
      ...(isWatched(definition) && { status: true }),
    };
    const first = startsWithMessage(definition) && message !== undefined ? { message } : {};
    const subscription = this.#sdk.newSubscription(this.channel, {
      data: { wirespeed: wants, ...first },
      ...(since && { since }),
    });
    if ("message" in first) {
      this.sink.frame("out", JSON.stringify(message), { note: `subscribe ${this.channel}` });
    }
    subscription.on("subscribed", (context) => {
      this.handled = 0;
      const recovered = context.wasRecovering ? (context.recovered ? ", resumed" : ", values were lost") : "";
      this.sink.opened(`Subscribed to ${this.channel}${recovered}`);
    });
    subscription.on("publication", (context) => this.#take(context, inBatches));
    subscription.on("error", ({ error }) => !this.#isOver && this.#refused(error));
    subscription.on("unsubscribed", ({ code, reason }) => this.#unsubscribed(code, reason));
    subscription.subscribe();
    return subscription;
  }

  #take({ data, offset, tags, info }: PublicationContext, isBatch: boolean): void {
    if (this.#isOver) {
      return;
    }
    const note = [
      offset ? `offset ${offset}` : "",
      tags && Object.keys(tags).length > 0 ? `tags ${JSON.stringify(tags)}` : "",
      info ? `from ${info.user || info.client}` : "",
    ]
      .filter(Boolean)
      .join(" · ");
    if (tags?.["lost"] !== undefined) {
      this.sink.frame("state", `${tags["lost"]} values were lost`, { isBad: true });
    }
    for (const value of isBatch && Array.isArray(data) ? (data as unknown[]) : [data as unknown]) {
      this.sink.value(JSON.stringify(value), { note }, value);
    }
    if (isBatch) {
      this.handled += 1;
      this.#acknowledgements.add(this);
    }
  }

  #unsubscribed(code: number, reason: string): void {
    if (this.#isOver || code === 0) {
      return;
    }
    const isComplete = code === COMPLETE && reason === "complete";
    if (!isComplete) {
      this.sink.refused(refusalOfCode(code > COMPLETE && code < 2600 ? code - 2000 : code, reason));
    }
    this.sink.frame("state", isComplete ? "Complete" : `Unsubscribed with ${code}`, { isBad: !isComplete });
    this.#over(isComplete ? "Complete" : `Ended with ${code}`);
  }

  #end(code: number, reason: string): void {
    if (!this.#isOver && code !== 0) {
      this.sink.frame("state", `Disconnected with ${code}`, { isBad: true });
      this.sink.refused(refusalOfCode(code, reason));
      this.#over(`Disconnected with ${code}`);
    }
  }

  #refused(error: unknown): void {
    if (this.#isOver) {
      return;
    }
    const { code, message } = error as { readonly code?: number; readonly message?: string };
    const refusal =
      typeof code === "number" ? refusalOfCode(code, message ?? "") : refusalOf(undefined, String(message ?? error));
    this.sink.frame("in", message ?? "", { note: `error ${code ?? ""}`.trim(), isBad: true });
    this.sink.refused(refusal);
  }

  #over(note: string): void {
    this.#isOver = true;
    this.#sdk.disconnect();
    this.sink.ended(note);
  }
}
