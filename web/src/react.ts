/**
 * Hooks for React.
 *
 * @packageDocumentation
 */
import { useCallback, useEffect, useMemo, useReducer, useRef, useState, useSyncExternalStore } from "react";
import { type Params, type ParamsOption, placed, type Template } from "./channel.js";
import { WirespeedError } from "./errors.js";
import type { FeedOptions } from "./feed.js";
import type { Live, TableOptions } from "./live.js";
import type {
  CallPath,
  FeedArguments,
  FeedPath,
  FurtherMessage,
  LiveOf,
  MessageArgument,
  PresencePath,
  RowOf,
  StreamArguments,
  StreamPath,
  TablePath,
  ValueOf,
} from "./paths.js";
import type { Members } from "./presence.js";
import type { Readable } from "./readable.js";
import { Recent } from "./recent.js";
import type { Status } from "./status.js";
import type { Stream, StreamOptions } from "./stream.js";

/** The state of a feed in a component. */
export interface FeedState<T> {
  /** The newest value; undefined before the first. */
  readonly value: T | undefined;
  readonly status: Status;
}

/** The state of a table in a component. */
export interface TableState<Row> {
  /** All rows by their keys: another map after each change. */
  readonly rows: ReadonlyMap<string, Row>;
  readonly status: Status;
}

/** The members of a channel in a component. */
export interface PresenceState<Info> {
  /** All members by their clients' ids: another map after each change. */
  readonly members: Members<Info>;
  readonly status: Status;
}

/** A call in a component. */
export interface CallState<T, Arguments extends unknown[] = [data?: unknown]> {
  /**
   * Makes the call. Its promise is resolved with the value, or with undefined if the call was refused or failed: then
   * `error` says why.
   */
  readonly call: (...data: Arguments) => Promise<T | undefined>;
  /** True while the newest call has no answer. */
  readonly isPending: boolean;
  /** Value of the newest call that has succeeded; undefined before the first. */
  readonly value: T | undefined;
  /** Error of the newest call, usually a `WirespeedError`; undefined if it has succeeded, or has no answer yet. */
  readonly error: unknown;
}

/** The state of a stream's run in a component. */
export interface StreamState<T, Message = unknown> {
  /** The newest values, oldest first; at most `keep` of them. */
  readonly values: readonly T[];
  /** Number of values so far, including those that are no longer in `values`. */
  readonly count: number;
  readonly isDone: boolean;
  /** Error of a refusal or failure. */
  readonly error: unknown;
  /** Sends a further message to the run, if the stream is duplex. */
  readonly send: (message: Message) => Promise<void>;
}

/** Options of a feed in a component. */
export type FeedHookOptions = Omit<FeedOptions, "every">;

/** Options of a stream in a component. */
export interface RunOptions extends Omit<StreamOptions, "signal"> {
  /** Number of the newest values that the component gets; 1,000 by default. */
  readonly keep?: number;
}

/**
 * Returns the newest value of a feed or topic, at paint rate. Components that watch the same feed share one
 * subscription, which ends with the last of them.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in, `price/BTC`; or as it is declared, `price/{symbol}`, with
 *   the parameters in the next argument.
 */
export function useFeed<T>(live: Live, path: Template, parameters: Params, options?: FeedHookOptions): FeedState<T>;
export function useFeed<T>(live: Live, path: string, options?: FeedHookOptions): FeedState<T>;
export function useFeed<Paths, Path extends FeedPath<Paths>>(
  live: LiveOf<Paths>,
  path: Path,
  ...more: FeedArguments<Paths, Path, FeedHookOptions>
): FeedState<ValueOf<Paths, Path>>;
export function useFeed<T>(live: unknown, path: string, ...more: readonly unknown[]): FeedState<T> {
  const [at, key] = keyOf(path, more);
  const feed = useMemo(() => (live as Live).feed<T>(at, JSON.parse(key) as FeedOptions), [live, at, key]);
  return { value: useReadable(feed, undefined), status: useStatus(feed) };
}

/**
 * Returns the rows of a table, at paint rate. Components that watch the same table share one subscription.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in, `price/BTC`; or as it is declared, `price/{symbol}`, with
 *   the parameters in the next argument.
 */
export function useTable<Row>(live: Live, path: Template, parameters: Params, options?: TableOptions): TableState<Row>;
export function useTable<Row>(live: Live, path: string, options?: TableOptions): TableState<Row>;
export function useTable<Paths, Path extends TablePath<Paths>>(
  live: LiveOf<Paths>,
  path: Path,
  ...more: FeedArguments<Paths, Path, TableOptions>
): TableState<RowOf<Paths, Path>>;
export function useTable<Row>(live: unknown, path: string, ...more: readonly unknown[]): TableState<Row> {
  const [at, key] = keyOf(path, more);
  const table = useMemo(() => (live as Live).table<Row>(at, JSON.parse(key) as TableOptions), [live, at, key]);
  return { rows: useReadable(table, NOTHING as ReadonlyMap<string, Row>), status: useStatus(table) };
}

/**
 * Returns the clients that are subscribed to a feed or topic, at paint rate. The component subscribes as well.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in, `price/BTC`; or as it is declared, `price/{symbol}`, with
 *   the parameters in the next argument.
 */
export function usePresence<Info = unknown>(
  live: Live,
  path: Template,
  parameters: Params,
  options?: ParamsOption,
): PresenceState<Info>;
export function usePresence<Info = unknown>(live: Live, path: string, options?: ParamsOption): PresenceState<Info>;
export function usePresence<Paths, Path extends PresencePath<Paths>>(
  live: LiveOf<Paths>,
  path: Path,
  ...more: FeedArguments<Paths, Path, ParamsOption>
): PresenceState<unknown>;
export function usePresence<Info>(live: unknown, path: string, ...more: readonly unknown[]): PresenceState<Info> {
  const [at, key] = keyOf(path, more);
  const presence = useMemo(() => (live as Live).presence<Info>(at, JSON.parse(key) as ParamsOption), [live, at, key]);
  return { members: useReadable(presence, NOTHING as Members<Info>), status: useStatus(presence) };
}

/**
 * Returns the status of a connection, feed, table or presence.
 *
 * @param watched - Object with a `status`, such as the connection.
 */
export function useStatus(watched: { readonly status: Readable<Status> }): Status {
  return useReadable(watched.status, CONNECTING);
}

/**
 * Returns a function that makes a call, and the state of the newest call. Answers to earlier calls, and those that
 * arrive after the component has unmounted, change nothing.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in, `price/BTC`; or as it is declared, `price/{symbol}`, with
 *   the parameters in the next argument.
 */
export function useCall<T>(live: Live, path: Template, parameters: Params, options?: ParamsOption): CallState<T>;
export function useCall<T>(live: Live, path: string, options?: ParamsOption): CallState<T>;
export function useCall<Paths, Path extends CallPath<Paths>>(
  live: LiveOf<Paths>,
  path: Path,
  ...more: FeedArguments<Paths, Path, ParamsOption>
): CallState<ValueOf<Paths, Path>, MessageArgument<Paths, Path>>;
export function useCall<T>(live: unknown, path: string, ...more: readonly unknown[]): CallState<T> {
  const [at, key] = keyOf(path, more);
  const [state, become] = useState<Omit<CallState<T>, "call">>(NOT_CALLED);
  const newest = useRef(0);
  useEffect(() => {
    become(NOT_CALLED);
    return () => void (newest.current += 1);
  }, [live, at, key]);
  const call = useCallback(
    async (data?: unknown) => {
      const number = (newest.current += 1);
      const settle = (more: Partial<CallState<T>>): void => {
        if (number === newest.current) {
          become((before) => ({ ...before, isPending: false, error: undefined, ...more }));
        }
      };
      settle({ isPending: true });
      try {
        const value = await (live as Live).call<T>(at, data, JSON.parse(key) as ParamsOption);
        settle({ value });
        return value;
      } catch (error) {
        settle({ error });
        return undefined;
      }
    },
    [live, at, key],
  );
  return { ...state, call };
}

/**
 * Runs a stream, and returns its values at paint rate. The run begins when the component mounts, or when its message or
 * options change. It is cancelled when the component unmounts.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in, `price/BTC`; or as it is declared, `price/{symbol}`, with
 *   the parameters in the next argument.
 * @param message - Message of the run, if the stream takes one.
 */
export function useStream<T>(
  live: Live,
  path: Template,
  parameters: Params,
  message?: unknown,
  options?: RunOptions,
): StreamState<T>;
export function useStream<T>(live: Live, path: string, message?: unknown, options?: RunOptions): StreamState<T>;
export function useStream<Paths, Path extends StreamPath<Paths>>(
  live: LiveOf<Paths>,
  path: Path,
  ...more: StreamArguments<Paths, Path, RunOptions>
): StreamState<ValueOf<Paths, Path>, FurtherMessage<Paths, Path>>;
export function useStream<T>(live: unknown, path: string, ...more: readonly unknown[]): StreamState<T> {
  const [at, params, message, { keep = KEEP, ...others } = {}] = placed<[unknown, RunOptions]>(path, more);
  const options = { ...others, params: { ...params, ...others.params } };
  const state = useRef<RunState<T>>(NOT_BEGUN);
  const running = useRef<Stream<T> | undefined>(undefined);
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const key = JSON.stringify([message, options]);
  useEffect(() => {
    const become = (next: RunState<T>): void => {
      state.current = next;
      changed();
    };
    const leaving = new AbortController();
    const [given, more] = JSON.parse(key) as [unknown, StreamOptions];
    const stream = (live as Live).stream<T>(at, given ?? undefined, { ...more, signal: leaving.signal });
    running.current = stream;
    if (state.current !== NOT_BEGUN) {
      become(NOT_BEGUN); // the component still shows the previous run
    }
    void show(stream.batches(), new Recent<T>(keep), become, leaving.signal);
    return () => leaving.abort();
  }, [live, at, key, keep]);
  const send = useCallback(async (message: unknown) => {
    if (running.current === undefined) {
      throw new WirespeedError(0, `${at}: the component has not mounted yet`);
    }
    await running.current.send(message);
  }, [at]);
  return { ...state.current, send };
}

type RunState<T> = Omit<StreamState<T>, "send">;

const KEEP = 1_000;

const NOTHING = new Map<string, never>();

const CONNECTING: Status = { state: "connecting", since: 0 };

const NOT_CALLED: Omit<CallState<never>, "call"> = { isPending: false, value: undefined, error: undefined };

const NOT_BEGUN: RunState<never> = { values: [], count: 0, isDone: false, error: undefined };

/** Reads a run as fast as its values arrive, and shows the newest once per paint: showing costs a copy and a render. */
async function show<T>(
  batches: AsyncIterable<T[]>,
  recent: Recent<T>,
  become: (next: RunState<T>) => void,
  leaving: AbortSignal,
): Promise<void> {
  let end: Pick<RunState<T>, "isDone" | "error"> = { isDone: false, error: undefined };
  const changed = oncePerPaint(() => become({ values: recent.values, count: recent.count, ...end }), leaving);
  try {
    for await (const batch of batches) {
      recent.add(batch);
      changed();
    }
    end = { isDone: true, error: undefined };
  } catch (error) {
    end = { isDone: true, error };
  }
  changed();
}

/** Returns a function that schedules `paint` for the next animation frame, unless the signal is aborted. */
function oncePerPaint(paint: () => void, leaving: AbortSignal): () => void {
  let frame = 0;
  const painted = (): void => {
    frame = 0;
    if (!leaving.aborted) {
      paint();
    }
  };
  return () => void (frame ||= requestAnimationFrame(painted));
}

/** Returns a path with its parameters filled in, and its options as JSON: a component has equal ones for each render. */
function keyOf(path: string, more: readonly unknown[]): [string, string] {
  const [at, params, options = {}] = placed<[ParamsOption]>(path, more);
  return [at, JSON.stringify({ ...options, params: { ...params, ...options.params } })];
}

/** @param rendered - Value where pages are rendered on a server, and while a page takes that over. */
function useReadable<T>(readable: Readable<T>, rendered: T): T {
  const listen = useCallback((changed: () => void) => readable.subscribe(changed), [readable]);
  return useSyncExternalStore(listen, () => readable.current, () => rendered);
}
