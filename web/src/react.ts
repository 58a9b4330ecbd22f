/**
 * Hooks for React.
 *
 * @packageDocumentation
 */
import { useCallback, useEffect, useMemo, useReducer, useRef, useState, useSyncExternalStore } from "react";
import { WirespeedError } from "./errors.js";
import type { FeedOptions } from "./feed.js";
import type { Live } from "./live.js";
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
export interface CallState<T> {
  /**
   * Makes the call. Its promise is resolved with the value, or with undefined if the call was refused or failed: then
   * `error` says why.
   */
  readonly call: (data?: unknown) => Promise<T | undefined>;
  /** True while the newest call has no answer. */
  readonly isPending: boolean;
  /** Value of the newest call that has succeeded; undefined before the first. */
  readonly value: T | undefined;
  /** Error of the newest call, usually a `WirespeedError`; undefined if it has succeeded, or has no answer yet. */
  readonly error: unknown;
}

/** The state of a stream's run in a component. */
export interface StreamState<T> {
  /** The newest values, oldest first; at most `keep` of them. */
  readonly values: readonly T[];
  /** Number of values so far, including those that are no longer in `values`. */
  readonly count: number;
  readonly isDone: boolean;
  /** Error of a refusal or failure. */
  readonly error: unknown;
  /** Sends a further message to the run, if the stream is duplex. */
  readonly send: (message: unknown) => Promise<void>;
}

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
 * @param path - Declared path with its parameters filled in.
 */
export function useFeed<T>(live: Live, path: string, options: Omit<FeedOptions, "every"> = {}): FeedState<T> {
  const key = JSON.stringify(options);
  const feed = useMemo(() => live.feed<T>(path, JSON.parse(key) as FeedOptions), [live, path, key]);
  return { value: useReadable(feed, undefined), status: useStatus(feed) };
}

/**
 * Returns the rows of a table, at paint rate. Components that watch the same table share one subscription.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in.
 */
export function useTable<Row>(live: Live, path: string, options: Omit<FeedOptions, "every" | "hidden"> = {}): TableState<Row> {
  const key = JSON.stringify(options);
  const table = useMemo(() => live.table<Row>(path, JSON.parse(key) as FeedOptions), [live, path, key]);
  return { rows: useReadable(table, NOTHING as ReadonlyMap<string, Row>), status: useStatus(table) };
}

/**
 * Returns the clients that are subscribed to a feed or topic, at paint rate. The component subscribes as well.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in.
 */
export function usePresence<Info = unknown>(
  live: Live,
  path: string,
  options: Pick<FeedOptions, "params"> = {},
): PresenceState<Info> {
  const key = JSON.stringify(options);
  const presence = useMemo(() => live.presence<Info>(path, JSON.parse(key) as FeedOptions), [live, path, key]);
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
 * @param path - Declared path with its parameters filled in.
 */
export function useCall<T>(live: Live, path: string): CallState<T> {
  const [state, become] = useState<Omit<CallState<T>, "call">>(NOT_CALLED);
  const newest = useRef(0);
  useEffect(() => {
    become(NOT_CALLED);
    return () => void (newest.current += 1);
  }, [live, path]);
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
        const value = await live.call<T>(path, data);
        settle({ value });
        return value;
      } catch (error) {
        settle({ error });
        return undefined;
      }
    },
    [live, path],
  );
  return { ...state, call };
}

/**
 * Runs a stream, and returns its values at paint rate. The run begins when the component mounts, or when its message or
 * options change. It is cancelled when the component unmounts.
 *
 * @param live - Connection; it outlives the component.
 * @param path - Declared path with its parameters filled in.
 * @param message - Message of the run, if the stream takes one.
 */
export function useStream<T>(
  live: Live,
  path: string,
  message?: unknown,
  { keep = KEEP, ...options }: RunOptions = {},
): StreamState<T> {
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
    const stream = live.stream<T>(path, given ?? undefined, { ...more, signal: leaving.signal });
    running.current = stream;
    if (state.current !== NOT_BEGUN) {
      become(NOT_BEGUN); // the component still shows the previous run
    }
    void show(stream.batches(), new Recent<T>(keep), become, leaving.signal);
    return () => leaving.abort();
  }, [live, path, key, keep]);
  const send = useCallback(async (message: unknown) => {
    if (running.current === undefined) {
      throw new WirespeedError(0, `${path}: the component has not mounted yet`);
    }
    await running.current.send(message);
  }, [path]);
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

/** @param rendered - Value where pages are rendered on a server, and while a page takes that over. */
function useReadable<T>(readable: Readable<T>, rendered: T): T {
  const listen = useCallback((changed: () => void) => readable.subscribe(changed), [readable]);
  return useSyncExternalStore(listen, () => readable.current, () => rendered);
}
