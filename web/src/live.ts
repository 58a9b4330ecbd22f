import { Centrifuge, type Options } from "centrifuge";
import { Acknowledgements } from "./acknowledgements.js";
import { channelOf } from "./channel.js";
import { closedAt, errorAt, explained, WirespeedError } from "./errors.js";
import { Feed, type FeedOptions } from "./feed.js";
import { Painter } from "./painter.js";
import type { Readable } from "./readable.js";
import { type Connection, Source } from "./source.js";
import { type Health, type Status, StatusVariable } from "./status.js";
import { Run, Stream, type StreamOptions } from "./stream.js";
import { type RowChange, Table } from "./table.js";

/** Options of a connection. */
export interface ConnectOptions {
  /** Address of the server; by default, the page's own. It may start with `https` or `wss`, or be a path. */
  readonly url?: string;
  /** A token that identifies the user, or a function that returns one; null for a user who has logged out. */
  readonly token?: string | (() => Promise<string | null>);
  /** Further options of the underlying SDK, such as its reconnect delays. */
  readonly sdk?: Partial<Options>;
}

/**
 * Connects to a server, and reconnects whenever the connection is lost.
 *
 * @param options - Options of the connection; a string is the address.
 */
export function connect(options: string | ConnectOptions = {}): Live {
  return new Live(typeof options === "string" ? { url: options } : options);
}

/** Name by which the server knows this client: its errors then have a status and a detail. */
const OURS = "wirespeed";

/** A message of the connection that is ours: channels whose sources have changed their health. */
interface Notice {
  readonly wirespeed?: { readonly status?: Readonly<Record<string, Health>> };
}

/** One connection, with everything that a page watches. */
export class Live {
  /** State of the connection. */
  readonly status: Readable<Status>;
  readonly #status = new StatusVariable();
  readonly #connection: Connection;
  /** Sources by channel. A source stays while it is subscribed or the page holds a handle of it. */
  readonly #sources = new Map<string, WeakRef<Source<never>>>();
  readonly #forgotten = new FinalizationRegistry<string>((channel) => this.#forget(channel));
  #runs = 0;
  #isClosed = false;

  /** Use {@link connect}. */
  constructor({ url, token, sdk: more }: ConnectOptions) {
    this.status = this.#status;
    const how: Partial<Options> = typeof token === "function" ? { getToken: token as () => Promise<string> } : token ? { token } : {};
    const sdk = new Centrifuge(addressOf(url), { websocket: quietSocket(), ...how, ...more, name: OURS });
    const acknowledgements = new Acknowledgements((acknowledge) => sdk.send({ wirespeed: { acknowledge } }));
    const painter = new Painter(() => acknowledgements.hurry());
    this.#connection = { sdk, acknowledgements, painter, status: this.status };
    sdk.on("message", ({ data }) => this.#noticed(data as Notice | null));
    sdk.on("connecting", ({ reason }) => this.#status.become("stale", explained(reason).message));
    sdk.on("connected", () => this.#status.become("connected"));
    sdk.on("disconnected", ({ code, reason }) => this.#disconnected(code, reason));
    addEventListener("pagehide", this.#hidden);
    addEventListener("pageshow", this.#shown);
    sdk.connect();
  }

  /**
   * Returns a handle of a feed or topic.
   *
   * @param path - Declared path with its parameters filled in: `price/BTC`.
   */
  feed<T>(path: string, { maxRate, every = false, params }: FeedOptions = {}): Feed<T> {
    const channel = channelOf(path, params, maxRate);
    return new Feed<T>(this.#source<T>(channel), every);
  }

  /**
   * Returns a handle of a table: a feed or topic that is declared with `by=`.
   *
   * @param path - Declared path with its parameters filled in.
   */
  table<Row>(path: string, { maxRate, params }: Omit<FeedOptions, "every"> = {}): Table<Row> {
    const channel = channelOf(path, params, maxRate);
    return new Table<Row>(this.#source<RowChange<Row>>(channel));
  }

  /**
   * Returns a stream. Each loop over it is a run, which begins and ends with the loop.
   *
   * @param path - Declared path with its parameters filled in.
   * @param message - Message of the run, if the stream takes one.
   */
  stream<T>(path: string, message?: unknown, { params, signal }: StreamOptions = {}): Stream<T> {
    const channel = channelOf(path, params);
    return new Stream<T>(() => new Run<T>(this.#connection, path, `${channel}#${++this.#runs}`, message, signal));
  }

  /**
   * Makes a call to the server, and returns its value.
   *
   * @param path - Declared path with its parameters filled in.
   * @param data - Message of the call.
   * @throws {@link WirespeedError} The call was refused or failed, or no answer arrived.
   */
  call<T>(path: string, data?: unknown): Promise<T> {
    return this.#asked(path, async (sdk) => (await sdk.rpc(channelOf(path), data ?? null)).data as T);
  }

  /**
   * Sends a message to a topic's handler.
   *
   * @throws {@link WirespeedError} The message was refused, or no answer arrived.
   */
  async publish(path: string, data: unknown): Promise<void> {
    await this.#asked(path, (sdk) => sdk.publish(channelOf(path), data));
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

  /** Takes the server's notice about the sources of values. */
  #noticed(notice: Notice | null): void {
    for (const [channel, health] of Object.entries(notice?.wirespeed?.status ?? {})) {
      this.#sources.get(channel)?.deref()?.healthIs(health);
    }
  }

  #forget(channel: string): void {
    if (this.#sources.get(channel)?.deref() === undefined) {
      this.#sources.delete(channel);
    }
  }

  #checkOpen(path: string): void {
    if (this.status.current.state === "closed") {
      throw closedAt(path, this.status.current);
    }
  }

  /** Makes a request, and throws our own error for that of the SDK. */
  async #asked<T>(path: string, request: (sdk: Centrifuge) => Promise<T>): Promise<T> {
    this.#checkOpen(path);
    try {
      return await request(this.#connection.sdk);
    } catch (error) {
      if ((error as { code: number }).code < 100) {
        this.#checkOpen(path); // the connection was closed meanwhile, which says more
      }
      throw errorAt(path, error);
    }
  }

  #disconnected(code: number, reason: string): void {
    if (this.#isClosed || code !== 0) {
      const { message, status, detail } = explained(reason);
      this.#status.become("closed", message, this.#isClosed ? undefined : new WirespeedError(code, message, status, detail));
    } else {
      this.#status.become("stale", "the page was left");
    }
  }

  /** Disconnects: browsers keep a page for the back button only if it has no open connection. */
  readonly #hidden = (): void => this.#connection.sdk.disconnect();

  readonly #shown = ({ persisted }: PageTransitionEvent): void => {
    if (persisted) {
      this.#connection.sdk.connect();
    }
  };
}

/** Returns a WebSocket that drops messages after the server's close: browsers would drop them and log an error. */
function quietSocket(): typeof WebSocket {
  return class extends WebSocket {
    override send(data: string): void {
      if (this.readyState === WebSocket.OPEN) {
        super.send(data);
      }
    }
  };
}

/** Returns the address of the server; by default, of the server that the page comes from. */
function addressOf(url = "/live/websocket"): string {
  const address = new URL(url, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}
