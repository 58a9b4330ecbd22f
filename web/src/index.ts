/**
 * Live data from a FastAPI backend with Wirespeed, as fast as a page can show it, and never stale.
 *
 * @packageDocumentation
 */
export type { Params, ParamsOption, Template } from "./channel.js";
export { connect } from "./connect.js";
export { type Refusal, WirespeedError } from "./errors.js";
export type { Feed, FeedOptions } from "./feed.js";
export type { ConnectOptions, Live, TableOptions } from "./live.js";
export type { Messages } from "./messages.js";
export type {
  CallArguments,
  CallPath,
  DetailOf,
  FeedArguments,
  FeedPath,
  LiveOf,
  MessageOf,
  ParametersOf,
  PathOf,
  PresencePath,
  RowOf,
  StatusOf,
  StreamArguments,
  StreamPath,
  TablePath,
  TopicPath,
  ValueOf,
} from "./paths.js";
export type { Member, Members, MembersListener, Presence } from "./presence.js";
export type { Readable } from "./readable.js";
export type { State, Status } from "./status.js";
export type { Stream, StreamOptions } from "./stream.js";
export type { RowChange, RowsListener, Table } from "./table.js";
export type { Entry, History, HistoryOptions, Position, Topic } from "./topic.js";
