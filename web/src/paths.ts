/**
 * A connection that knows the paths of its app, from the types that `wirespeed types` generates.
 *
 * These are types only: the connection itself is `Live`.
 */
import type { ParamsOption, Template } from "./channel.js";
import type { Refusal } from "./errors.js";
import type { Feed, FeedOptions } from "./feed.js";
import type { Live, TableOptions } from "./live.js";
import type { Presence } from "./presence.js";
import type { Stream, StreamOptions } from "./stream.js";
import type { RowChange, Table } from "./table.js";
import type { History, HistoryOptions, Topic } from "./topic.js";

type Kind = "feed" | "topic" | "stream" | "call";

/** Paths, among all, whose types have a shape. A leading slash makes no difference. */
type PathsWith<Paths, Shape> = {
  [Path in keyof Paths & string]: Paths[Path] extends Shape ? Path | `/${Path}` : never;
}[keyof Paths & string];

/** Any path of an app. */
export type PathOf<Paths> = PathsWith<Paths, { kind: Kind }>;
/** Path of a feed or topic. */
export type FeedPath<Paths> = PathsWith<Paths, { kind: "feed" | "topic" }>;
/** Path of a topic. */
export type TopicPath<Paths> = PathsWith<Paths, { kind: "topic" }>;
/** Path of a table: a feed or topic that is declared with `by=`. */
export type TablePath<Paths> = PathsWith<Paths, { kind: "feed" | "topic"; row: unknown }>;
/** Path of a feed or topic that is declared with `presence=True`. */
export type PresencePath<Paths> = PathsWith<Paths, { kind: "feed" | "topic"; presence: true }>;
/** Path of a table, or of a feed or topic with `keep=N` whose earlier values clients may have. */
export type HistoryPath<Paths> = PathsWith<Paths, { kind: "feed" | "topic"; history: true }>;
/** Path of a topic that takes messages. */
export type PublishPath<Paths> = PathsWith<Paths, { kind: "topic"; message: unknown }>;
/** Path of a stream. */
export type StreamPath<Paths> = PathsWith<Paths, { kind: "stream" }>;
/** Path of a call. */
export type CallPath<Paths> = PathsWith<Paths, { kind: "call" }>;

/** The generated type of a path. */
type Entry<Paths, Path> = Path extends keyof Paths ? Paths[Path] : Path extends `/${infer Plain extends keyof Paths & string}` ? Paths[Plain] : never;

type Member<Of, Name extends string, Otherwise = never> = Of extends { [_ in Name]: infer Found } ? Found : Otherwise;

/** Type of the rows of a table. */
export type RowOf<Paths, Path> = Member<Entry<Paths, Path>, "row">;
/** Type of the values of a feed, topic or stream, or of the value of a call. The values of a table are its changes. */
export type ValueOf<Paths, Path> =
  Entry<Paths, Path> extends { row: infer Row } ? RowChange<Row> : Member<Entry<Paths, Path>, "value">;
/** Type of the messages of a topic, stream or call; `never` if it takes none. */
export type MessageOf<Paths, Path> = Member<Entry<Paths, Path>, "message">;
/** Type of the parameters of a path. */
export type ParametersOf<Paths, Path> = Member<Entry<Paths, Path>, "parameters", Record<string, never>>;

type Errors<Paths, Path> = Member<Entry<Paths, Path>, "errors", Record<never, never>>;
/** Statuses with which a path refuses, as the app declares them with `responses=`. */
export type StatusOf<Paths, Path> = keyof Errors<Paths, Path> extends infer Name
  ? Name extends `${infer Status extends number}`
    ? Status
    : Name & number
  : never;
/** Type of the detail of a refusal. */
export type DetailOf<Paths, Path, Status extends number> = Member<Errors<Paths, Path>, `${Status}`, unknown>;

/**
 * Arguments behind a path: its parameters, if the path has any; then those of `Before`; then the options. If only the
 * query has parameters, they are in the options.
 */
type Behind<Paths, Path, Before extends unknown[], Options> = Path extends Template
  ? [parameters: ParametersOf<Paths, Path>, ...Before, options?: Omit<Options, "params">]
  : Record<never, never> extends ParametersOf<Paths, Path>
    ? [...Before, options?: Omit<Options, "params"> & { readonly params?: ParametersOf<Paths, Path> }]
    : [...Before, options: Omit<Options, "params"> & { readonly params: ParametersOf<Paths, Path> }];

/** The message of a call, or the first of a run, as an argument. */
export type MessageArgument<Paths, Path> =
  Entry<Paths, Path> extends { message: infer Message }
    ? Entry<Paths, Path> extends { duplex: true }
      ? [message?: Message]
      : [message: Message]
    : [message?: undefined];

/** Arguments behind the path of a feed or topic. */
export type FeedArguments<Paths, Path, Options = FeedOptions> = Behind<Paths, Path, [], Options>;
/** Arguments behind the path of a stream. */
export type StreamArguments<Paths, Path, Options = StreamOptions> = Behind<Paths, Path, MessageArgument<Paths, Path>, Options>;
/** Arguments behind the path of a call. */
export type CallArguments<Paths, Path> = Behind<Paths, Path, MessageArgument<Paths, Path>, ParamsOption>;
/** Further messages of a run: those of a duplex stream. */
export type FurtherMessage<Paths, Path> = Entry<Paths, Path> extends { duplex: true } ? MessageOf<Paths, Path> : never;

/** A {@link Live} that knows the paths of its app. `connect<Paths>()` makes it. */
export interface LiveOf<Paths> extends Pick<Live, "status" | "messages" | "reconnect" | "close"> {
  /** Returns a handle of a feed or topic. */
  feed<Path extends FeedPath<Paths>>(path: Path, ...more: FeedArguments<Paths, Path>): Feed<ValueOf<Paths, Path>>;

  /** Returns a handle of a table: a feed or topic that is declared with `by=`. */
  table<Path extends TablePath<Paths>>(path: Path, ...more: FeedArguments<Paths, Path, TableOptions>): Table<RowOf<Paths, Path>>;

  /** Returns a handle of a topic: a feed to which the page can publish, with its history and presence. */
  topic<Path extends TopicPath<Paths>>(
    path: Path,
    ...more: FeedArguments<Paths, Path>
  ): Topic<ValueOf<Paths, Path>, MessageOf<Paths, Path>>;

  /** Returns the clients that are subscribed to a feed or topic that is declared with `presence=True`. */
  presence<Path extends PresencePath<Paths>>(path: Path, ...more: FeedArguments<Paths, Path, ParamsOption>): Presence;

  /** Returns a stream. Each loop over it is a run, which begins and ends with the loop. */
  stream<Path extends StreamPath<Paths>>(
    path: Path,
    ...more: StreamArguments<Paths, Path>
  ): Stream<ValueOf<Paths, Path>, FurtherMessage<Paths, Path>>;

  /**
   * Makes a call to the server, and returns its value.
   *
   * @throws {@link WirespeedError} The call was refused or failed, or no answer arrived.
   */
  call<Path extends CallPath<Paths>>(path: Path, ...more: CallArguments<Paths, Path>): Promise<ValueOf<Paths, Path>>;

  /**
   * Sends a message to a topic's handler.
   *
   * @throws {@link WirespeedError} The message was refused, or no answer arrived.
   */
  publish<Path extends PublishPath<Paths>>(path: Path, ...more: CallArguments<Paths, Path>): Promise<void>;

  /**
   * Returns values of the log of a feed or topic with `keep=N`, at most 300 of them.
   *
   * @throws {@link WirespeedError} The request was refused, or no answer arrived.
   */
  history<Path extends HistoryPath<Paths>>(
    path: Path,
    ...more: FeedArguments<Paths, Path, HistoryOptions & ParamsOption>
  ): Promise<History<ValueOf<Paths, Path>>>;

  /** Returns true if an error is the refusal of a path with a status. The error's `detail` then has its declared type. */
  isRefusal<Path extends PathOf<Paths>, Status extends StatusOf<Paths, Path>>(
    error: unknown,
    path: Path,
    status: Status,
  ): error is Refusal<Status, DetailOf<Paths, Path, Status>>;
}
