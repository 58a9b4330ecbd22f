import { Centrifuge, type Options } from "centrifuge";
import { Acknowledgements } from "./acknowledgements.js";
import { channelOf, type Params, type ParamsOption, placed, type Template } from "./channel.js";
import { errorAt, explained, type Refusal, refusalOf, WirespeedError } from "./errors.js";
import { Feed, type FeedOptions } from "./feed.js";
import { Messages } from "./messages.js";
import { Painter } from "./painter.js";
import { Presence } from "./presence.js";
import type { Readable } from "./readable.js";
import { endOf, lossOf } from "./reasons.js";
import { type Connection, Source } from "./source.js";
import { closedAt, type Health, type Status, StatusVariable } from "./status.js";
import { Run, Stream, type StreamOptions } from "./stream.js";
import { type RowChange, Table } from "./table.js";
import { type History, type HistoryOptions, historyOf, Topic } from "./topic.js";

/** Options of a connection. */
export interface ConnectOptions {
  /** Address of the server; by default, the page's own. It may start with `https` or `wss`, or be a path. */
  readonly url?: string;
  /** A token that identifies the user, or a function that returns one; null for a user who has logged out. */
  readonly token?: string | (() => Promise<string | null>);
  /** Further options of the underlying SDK, such as its reconnect delays. */
  readonly sdk?: Partial<Options>;
}

/** Options of a table. */
export type TableOptions = Omit<FeedOptions, "every" | "hidden">;

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
  /** Messages that the app sends to this client, outside of all feeds. */
  readonly messages = new Messages();
  readonly #status = new StatusVariable();
  readonly #connection: Connection;
  /** Sources by channel. A source stays while it is subscribed or the page holds a handle of it. */
  readonly #sources = new Map<string, WeakRef<Source<never>>>();
  readonly #forgotten = new FinalizationRegistry<string>((channel) => this.#forget(channel));
  readonly #network = new EventTarget();
  readonly #hasToken: boolean;
  #runs = 0;
  readonly #closing = new AbortController();

  /** Use `connect()`. */
  constructor({ url, token, sdk: more }: ConnectOptions) {
    this.status = this.#status;
    this.#hasToken = typeof token === "function";
    const how: Partial<Options> = typeof token === "function" ? { getToken: token as () => Promise<string> } : token ? { token } : {};
    const network = { networkEventTarget: this.#network };
    const sdk = new Centrifuge(addressOf(url), { ...(IS_PAGE && { websocket: quietSocket() }), ...network, ...how, ...more, name: OURS });
    const acknowledgements = new Acknowledgements((acknowledge) => sdk.send({ wirespeed: { acknowledge } }));
    const painter = new Painter(() => acknowledgements.hurry());
    this.#connection = { sdk, acknowledgements, painter, status: this.status };
    sdk.on("message", ({ data }) => this.#said(data));
    sdk.on("connecting", ({ code, reason }) => this.#status.become("stale", lossOf(code, explained(reason).message)));
    sdk.on("connected", () => this.#status.become("connected"));
    sdk.on("disconnected", ({ code, reason }) => this.#disconnected(code, reason));
    sdk.on("error", ({ type, error: { code } }) => type === "transport" && this.#unreachable(code));
    sdk.on("error", ({ type, error: { code, message } }) => type === "connect" && this.#status.postpone(refusalOf(code, message)));
    if (IS_PAGE) {
      this.#listen();
      sdk.connect();
    }
  }

  /**
   * Returns a handle of a feed or topic.
   *
   * @param path - Declared path with its parameters filled in: `price/BTC`. Or as it is declared, `price/{symbol}`; then
   *   the next argument has the parameters, `{ symbol: "BTC" }`, and those that the path does not name are for the query.
   */
  feed<T>(path: Template, parameters: Params, options?: FeedOptions): Feed<T>;
  feed<T>(path: string, options?: FeedOptions): Feed<T>;
  feed<T>(path: string, ...args: readonly unknown[]): Feed<T> {
    const [at, params, options = {}] = placed<[FeedOptions]>(path, args);
    return new Feed<T>(this.#source<T>(channelOf(at, { ...params, ...options.params }, options.maxRate)), options);
  }

  /**
   * Returns a handle of a topic: a feed to which the page can publish, with its history and presence.
   *
   * @param path - Path, as for {@link feed}: `chat/hall`.
   */
  topic<T, Message = T, Info = unknown>(path: Template, parameters: Params, options?: FeedOptions): Topic<T, Message, Info>;
  topic<T, Message = T, Info = unknown>(path: string, options?: FeedOptions): Topic<T, Message, Info>;
  topic<T, Message, Info>(path: string, ...args: readonly unknown[]): Topic<T, Message, Info> {
    const [at, params, options = {}] = placed<[FeedOptions]>(path, args);
    const source = this.#source<T>(channelOf(at, { ...params, ...options.params }, options.maxRate));
    return new Topic<T, Message, Info>(this, source, options, new Presence<Info>(source));
  }

  /**
   * Returns the clients that are subscribed to a feed or topic that is declared with `presence=True`. While the page
   * listens, it is subscribed as well.
   *
   * @param path - Path, as for {@link feed}.
   */
  presence<Info = unknown>(path: Template, parameters: Params, options?: ParamsOption): Presence<Info>;
  presence<Info = unknown>(path: string, options?: ParamsOption): Presence<Info>;
  presence<Info>(path: string, ...args: readonly unknown[]): Presence<Info> {
    const [at, params, options = {}] = placed<[ParamsOption]>(path, args);
    return new Presence<Info>(this.#source(channelOf(at, { ...params, ...options.params })));
  }

  /**
   * Returns a handle of a table: a feed or topic that is declared with `by=`.
   *
   * @param path - Path, as for {@link feed}.
   */
  table<Row>(path: Template, parameters: Params, options?: TableOptions): Table<Row>;
  table<Row>(path: string, options?: TableOptions): Table<Row>;
  table<Row>(path: string, ...args: readonly unknown[]): Table<Row> {
    const [at, params, options = {}] = placed<[TableOptions]>(path, args);
    return new Table<Row>(this.#source<RowChange<Row>>(channelOf(at, { ...params, ...options.params }, options.maxRate)));
  }

  /**
   * Returns a stream. Each loop over it is a run, which begins and ends with the loop.
   *
   * @param path - Path, as for {@link feed}.
   * @param message - Message of the run, if the stream takes one.
   */
  stream<T>(path: Template, parameters: Params, message?: unknown, options?: StreamOptions): Stream<T>;
  stream<T>(path: string, message?: unknown, options?: StreamOptions): Stream<T>;
  stream<T>(path: string, ...args: readonly unknown[]): Stream<T> {
    const [at, params, message, options = {}] = placed<[unknown, StreamOptions]>(path, args);
    const channel = channelOf(at, { ...params, ...options.params });
    return new Stream<T>(at, () => new Run<T>(this.#connection, at, `${channel}#${++this.#runs}`, message, options.signal));
  }

  /**
   * Makes a call to the server, and returns its value.
   *
   * @param path - Path, as for {@link feed}.
   * @param data - Message of the call.
   * @throws {@link WirespeedError} The call was refused or failed, or no answer arrived.
   */
  call<T>(path: Template, parameters: Params, data?: unknown, options?: ParamsOption): Promise<T>;
  call<T>(path: string, data?: unknown, options?: ParamsOption): Promise<T>;
  async call<T>(path: string, ...args: readonly unknown[]): Promise<T> {
    const [at, params, data, options = {}] = placed<[unknown, ParamsOption]>(path, args);
    const method = channelOf(at, { ...params, ...options.params });
    return this.#ask(at, async (sdk) => (await sdk.rpc(method, data ?? null)).data as T);
  }

  /**
   * Sends a message to a topic's handler.
   *
   * @param path - Path, as for {@link feed}.
   * @throws {@link WirespeedError} The message was refused, or no answer arrived.
   */
  publish(path: Template, parameters: Params, data: unknown, options?: ParamsOption): Promise<void>;
  publish(path: string, data: unknown, options?: ParamsOption): Promise<void>;
  async publish(path: string, ...args: readonly unknown[]): Promise<void> {
    const [at, params, data, options = {}] = placed<[unknown, ParamsOption]>(path, args);
    await this.#ask(at, (sdk) => sdk.publish(channelOf(at, { ...params, ...options.params }), data));
  }

  /**
   * Returns values of the log of a feed or topic with `keep=N`, at most 300 of them.
   *
   * @param path - Path, as for {@link feed}.
   * @throws {@link WirespeedError} The request was refused, or no answer arrived.
   */
  history<T>(path: Template, parameters: Params, options?: HistoryOptions & ParamsOption): Promise<History<T>>;
  history<T>(path: string, options?: HistoryOptions & ParamsOption): Promise<History<T>>;
  async history<T>(path: string, ...args: readonly unknown[]): Promise<History<T>> {
    const [at, params, { params: more, ...options } = {}] = placed<[HistoryOptions & ParamsOption]>(path, args);
    const channel = channelOf(at, { ...params, ...more });
    return this.#ask(at, async (sdk) => historyOf<T>(await sdk.history(channel, { ...options, limit: options.limit ?? -1 })));
  }

  /**
   * Returns true if an error is the refusal of a path with a status, such as 404. With generated types, the error's
   * `detail` then has the type that the app declares for that status with `responses=`.
   *
   * @param error - Error that was caught, or that a status or hook has.
   */
  isRefusal<Status extends number>(error: unknown, _path: string, status: Status): error is Refusal<Status, unknown> {
    return error instanceof WirespeedError && error.status === status;
  }

  /**
   * Connects again at once, with the present cookies or a new token, for example after a login. A client that waits
   * before its next attempt does not wait; feeds that were refused are tried again.
   *
   * @throws {@link WirespeedError} The page has closed the connection.
   */
  reconnect(): void {
    if (this.#closing.signal.aborted) {
      this.#checkOpen("reconnect()");
    }
    if (this.#hasToken) {
      this.#connection.sdk.setToken("");
    }
    this.#connection.sdk.disconnect(); // an attempt that is under way has the cookies and the token from before, too
    this.#sources.forEach((source) => source.deref()?.retry());
    this.#hurry();
  }

  /** Closes the connection for good. */
  close(): void {
    this.#closing.abort();
    this.#connection.sdk.disconnect();
  }

  /** Makes a request. Its error becomes ours. */
  async #ask<R>(path: string, request: (sdk: Centrifuge) => Promise<R>): Promise<R> {
    this.#checkOpen(path);
    try {
      return await request(this.#connection.sdk);
    } catch (error) {
      if ((error as { readonly code?: number }).code! < 100) {
        this.#checkOpen(path); // the connection was closed meanwhile, which says more
      }
      throw errorAt(path, error);
    }
  }

  /** Tries to connect now, if the client is not connected. */
  #hurry(): void {
    if (IS_PAGE) {
      this.#connection.sdk.connect(); // does something only if the SDK has given up
    }
    this.#network.dispatchEvent(new Event("online")); // does something only if the SDK waits
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

  /** Takes a message of the connection: the server's notice about the sources of values, or the app's message. */
  #said(data: unknown): void {
    const notice = (data as Notice | null)?.wirespeed;
    if (notice === undefined) {
      this.messages.pass(data);
    }
    for (const [channel, health] of Object.entries(notice?.status ?? {})) {
      this.#sources.get(channel)?.deref()?.healthIs(health);
    }
  }

  #forget(channel: string): void {
    if (this.#sources.get(channel)?.deref() === undefined) {
      this.#sources.delete(channel);
    }
  }

  #checkOpen(path: string): void {
    if (!IS_PAGE) {
      throw new WirespeedError(0, `${path}: there is no connection where pages are rendered on a server`);
    }
    if (this.status.current.state === "closed") {
      throw closedAt(path, this.status.current);
    }
  }

  /** Notes that an attempt has failed, if the client was never connected. */
  #unreachable(code: number): void {
    const { state, reason } = this.status.current;
    if (state === "connecting" && reason === undefined) {
      this.#status.become("connecting", { code, reason: "The server cannot be reached; trying again." });
    }
  }

  #disconnected(code: number, reason: string): void {
    if (this.#closing.signal.aborted) {
      this.#status.become("closed", { code: 0, reason: "The page has closed the connection." });
    } else if (code === 0) {
      this.#status.become("stale", { code, reason: "The page was left." });
    } else {
      const { message, status, detail } = explained(reason);
      const why = status === undefined ? endOf(code, message) : { code, reason: message };
      this.#status.become("closed", { ...why, error: new WirespeedError(code, why.reason, status, detail) });
    }
  }

  /** Listens to the page, until the connection is closed for good. */
  #listen(): void {
    const until = { signal: this.#closing.signal };
    addEventListener("pagehide", this.#left, until);
    addEventListener("pageshow", this.#back, until);
    addEventListener("online", this.#turned, until);
    addEventListener("offline", this.#turned, until);
    document.addEventListener("visibilitychange", this.#seen, until);
  }

  /** Disconnects: browsers keep a page for the back button only if it has no open connection. */
  readonly #left = (): void => this.#connection.sdk.disconnect();

  readonly #back = ({ persisted }: PageTransitionEvent): void => {
    if (persisted) {
      this.#connection.sdk.connect();
    }
  };

  /** Passes on that the network is there, or is not. */
  readonly #turned = ({ type }: Event): void => void this.#network.dispatchEvent(new Event(type));

  /** Takes note that the tab was hidden or shown. */
  readonly #seen = (): void => {
    this.#connection.painter.turn();
    if (!document.hidden && this.status.current.state !== "closed") {
      this.#hurry();
    }
  };
}

/** True in a page, and false where pages are rendered on a server. */
const IS_PAGE = typeof document !== "undefined" && typeof WebSocket !== "undefined";

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
  const address = new URL(url, IS_PAGE ? location.href : "http://localhost");
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}
