import type { HistoryResult, StreamPosition } from "centrifuge";
import { Feed, type FeedOptions } from "./feed.js";
import { type Member, memberOf, type Presence } from "./presence.js";
import type { Source } from "./source.js";

/** A place in a log. */
export interface Position {
  readonly offset: number;
  readonly epoch: string;
}

/** Options of a request for history. */
export interface HistoryOptions {
  /** Highest number of values; the server returns at most 300. With 0, only the position is returned. */
  readonly limit?: number;
  /** Position behind which the values begin; with `reverse`, before which they begin. */
  readonly since?: Position;
  /** True for the newest values first. */
  readonly reverse?: boolean;
}

/** A value of a log. */
export interface Entry<T> {
  readonly value: T;
  readonly offset: number;
  readonly tags?: Readonly<Record<string, string>>;
  /** Client that has sent it, if the app has published it for the client. */
  readonly sender?: Member;
}

/** A part of a log. */
export interface History<T> {
  readonly entries: readonly Entry<T>[];
  /** Position of the log's newest value. */
  readonly position: Position;
}

/** The part of a connection that a topic uses. */
interface Requests {
  publish(path: string, data: unknown): Promise<void>;
  history<T>(path: string, options?: HistoryOptions): Promise<History<T>>;
}

/** A page's handle of a topic: its values, and everything else that a topic has. */
export class Topic<T, Message = T, Info = unknown> extends Feed<T> {
  readonly #requests: Requests;
  readonly #channel: string;

  /** @internal */
  constructor(
    requests: Requests,
    source: Source<T>,
    options: FeedOptions,
    /** Clients that are subscribed to the topic, if it is declared with `presence=True`. */
    readonly presence: Presence<Info>,
  ) {
    super(source, options);
    this.#requests = requests;
    this.#channel = source.channel;
  }

  /**
   * Sends a message to the topic's handler.
   *
   * @throws {@link WirespeedError} The message was refused, or no answer arrived.
   */
  publish(message: Message): Promise<void> {
    return this.#requests.publish(this.#channel, message);
  }

  /**
   * Returns values of the topic's log, at most 300 of them.
   *
   * @throws {@link WirespeedError} The request was refused, or no answer arrived.
   */
  history(options?: HistoryOptions): Promise<History<T>> {
    return this.#requests.history<T>(this.#channel, options);
  }
}

/** Returns the SDK's answer in our form. */
export function historyOf<T>({ publications, offset, epoch }: HistoryResult & StreamPosition): History<T> {
  const entries = publications.map(({ data, offset: at = 0, tags, info }) => ({
    value: data as T,
    offset: at,
    ...(tags && { tags }),
    ...(info && { sender: memberOf(info) }),
  }));
  return { entries, position: { offset, epoch } };
}
