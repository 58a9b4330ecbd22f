import { Centrifuge, type Options } from "centrifuge";
import { Acknowledgements } from "./acknowledgements.js";
import { channelOf } from "./channel.js";
import { errorAt, WirespeedError } from "./errors.js";
import { Feed, type FeedOptions } from "./feed.js";
import { Painter } from "./painter.js";
import type { Readable } from "./readable.js";
import { type Connection, Source } from "./source.js";
import { type Status, StatusVariable } from "./status.js";
import { Run, Stream, type StreamOptions } from "./stream.js";
import { type RowChange, Table } from "./table.js";

/** How to connect. */
export interface ConnectOptions {
  /** Where; the page's own server by default. `https` and `wss` mean the same, and so does a path. */
  readonly url?: string;
  /** Says who this is: a token, or what gets one, which is asked again when it expires; null for nobody any more. */
  readonly token?: string | (() => Promise<string | null>);
  /** Further options of the SDK below, such as its reconnect delays. */
  readonly sdk?: Partial<Options>;
}

/**
 * Connects to a server, and comes back whenever the connection is lost.
 *
 * @param options - Where, and as whom; a string is the url.
 */
export function connect(options: string | ConnectOptions = {}): Live {
  return new Live(typeof options === "string" ? { url: options } : options);
}

/** One connection, with all that a page watches. */
export class Live {
  /** How the connection stands. */
  readonly status: Readable<Status>;
  readonly #status = new StatusVariable();
  readonly #connection: Connection;
  /** Those of which somebody has a handle, or which are subscribed. */
  readonly #sources = new Map<string, WeakRef<Source<never>>>();
  readonly #forgotten = new FinalizationRegistry<string>((channel) => this.#forget(channel));
  #runs = 0;
  #isClosed = false;

  /** Use {@link connect}. */
  constructor({ url, token, sdk: more }: ConnectOptions) {
    this.status = this.#status;
    const how: Partial<Options> = typeof token === "function" ? { getToken: token as () => Promise<string> } : token ? { token } : {};
    const sdk = new Centrifuge(addressOf(url), { websocket: quietSocket(), ...how, ...more });
    const acknowledgements = new Acknowledgements((acknowledge) => sdk.send({ wirespeed: { acknowledge } }));
    const painter = new Painter(() => acknowledgements.hurry());
    this.#connection = { sdk, acknowledgements, painter, status: this.status };
    sdk.on("connecting", ({ reason }) => this.#status.become("stale", reason));
    sdk.on("connected", () => this.#status.become("connected"));
    sdk.on("disconnected", ({ code, reason }) => this.#disconnected(code, reason));
    addEventListener("pagehide", this.#hidden);
    addEventListener("pageshow", this.#shown);
    sdk.connect();
  }

  /**
   * A feed or topic.
   *
   * @param path - As it is declared, with its parameters filled in: `price/BTC`.
   */
  feed<T>(path: string, { maxRate, every = false, params }: FeedOptions = {}): Feed<T> {
    const channel = channelOf(path, params, maxRate);
    return new Feed<T>(this.#source<T>(channel), every);
  }

  /**
   * A feed with rows, or a topic with them.
   *
   * @param path - As it is declared, with its parameters filled in.
   */
  table<Row>(path: string, { maxRate, params }: Omit<FeedOptions, "every"> = {}): Table<Row> {
    const channel = channelOf(path, params, maxRate);
    return new Table<Row>(this.#source<RowChange<Row>>(channel));
  }

  /**
   * A stream. A run of it begins with a loop, and ends with it.
   *
   * @param path - As it is declared, with its parameters filled in.
   * @param message - What the run is told first, if it takes a message.
   */
  stream<T>(path: string, message?: unknown, { params, signal }: StreamOptions = {}): Stream<T> {
    const channel = channelOf(path, params);
    return new Stream<T>(() => new Run<T>(this.#connection, path, `${channel}#${++this.#runs}`, message, signal));
  }

  /**
   * Calls a function of the server.
   *
   * @param path - As it is declared, with its parameters filled in.
   * @param data - Its message.
   * @throws {@link WirespeedError} It was refused, has failed, or there was no answer.
   */
  async call<T>(path: string, data?: unknown): Promise<T> {
    this.#checkOpen(path);
    try {
      return (await this.#connection.sdk.rpc(channelOf(path), data ?? null)).data as T;
    } catch (error) {
      throw errorAt(path, error);
    }
  }

  /**
   * Sends a message to a topic, whose handler takes it.
   *
   * @throws {@link WirespeedError} It was refused, or there was no answer.
   */
  async publish(path: string, data: unknown): Promise<void> {
    this.#checkOpen(path);
    try {
      await this.#connection.sdk.publish(channelOf(path), data);
    } catch (error) {
      throw errorAt(path, error);
    }
  }

  /** Closes the connection for good. */
  close(): void {
    this.#isClosed = true;
    removeEventListener("pagehide", this.#hidden);
    removeEventListener("pageshow", this.#shown);
    this.#connection.sdk.disconnect();
  }

  #source<T>(channel: string): Source<T> {
    const known = this.#sources.get(channel)?.deref() as Source<T> | undefined;
    const source = known ?? new Source<T>(this.#connection, channel);
    if (known === undefined) {
      this.#sources.set(channel, new WeakRef(source as unknown as Source<never>));
      this.#forgotten.register(source, channel);
    }
    return source;
  }

  #forget(channel: string): void {
    if (this.#sources.get(channel)?.deref() === undefined) {
      this.#sources.delete(channel);
    }
  }

  #checkOpen(path: string): void {
    const { state, reason } = this.status.current;
    if (state === "closed") {
      throw new WirespeedError(0, `${path}: the connection is closed: ${reason}`);
    }
  }

  #disconnected(code: number, reason: string): void {
    if (this.#isClosed || code !== 0) {
      this.#status.become("closed", reason);
    } else {
      this.#status.become("stale", "the page is put away");
    }
  }

  /** A page with an open connection cannot be put away, to be shown again as it was. */
  readonly #hidden = (): void => this.#connection.sdk.disconnect();

  readonly #shown = ({ persisted }: PageTransitionEvent): void => {
    if (persisted) {
      this.#connection.sdk.connect();
    }
  };
}

/** Where the server closes, there is a moment in which browsers complain of what is still sent, and drop it. */
function quietSocket(): typeof WebSocket {
  return class extends WebSocket {
    override send(data: string): void {
      if (this.readyState === WebSocket.OPEN) {
        super.send(data);
      }
    }
  };
}

/** Where the server is: where the page comes from, if nothing else is said. */
function addressOf(url = "/live/websocket"): string {
  const address = new URL(url, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}
