/**
 * Hooks for React.
 *
 * @packageDocumentation
 */
import { useCallback, useEffect, useMemo, useReducer, useRef, useSyncExternalStore } from "react";
import type { FeedOptions } from "./feed.js";
import type { Live } from "./live.js";
import type { Readable } from "./readable.js";
import { Recent } from "./recent.js";
import type { Status } from "./status.js";
import type { StreamOptions } from "./stream.js";

/** The state of a feed in a component. */
export interface FeedState<T> {
  /** The newest value; undefined before the first. */
  readonly value: T | undefined;
  readonly status: Status;
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
  const listen = useCallback((changed: () => void) => feed.onBatch(changed), [feed]);
  const value = useSyncExternalStore(listen, () => feed.value, nothing);
  const status = useReadable(feed);
  return { value, status };
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
  const state = useRef<StreamState<T>>(NOT_BEGUN);
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const key = JSON.stringify([message, options]);
  useEffect(() => {
    const become = (next: StreamState<T>): void => {
      state.current = next;
      changed();
    };
    const leaving = new AbortController();
    const [given, more] = JSON.parse(key) as [unknown, StreamOptions];
    const stream = live.stream<T>(path, given ?? undefined, { ...more, signal: leaving.signal });
    if (state.current !== NOT_BEGUN) {
      become(NOT_BEGUN); // the component still shows the previous run
    }
    void show(stream.batches(), new Recent<T>(keep), become, leaving.signal);
    return () => leaving.abort();
  }, [live, path, key, keep]);
  return state.current;
}

const KEEP = 1_000;

const NOT_BEGUN: StreamState<never> = { values: [], count: 0, isDone: false, error: undefined };

/** Reads a run as fast as its values arrive, and shows the newest once per paint: showing costs a copy and a render. */
async function show<T>(
  batches: AsyncIterable<T[]>,
  recent: Recent<T>,
  become: (next: StreamState<T>) => void,
  leaving: AbortSignal,
): Promise<void> {
  let end: Pick<StreamState<T>, "isDone" | "error"> = { isDone: false, error: undefined };
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

function useReadable(watched: { readonly status: Readable<Status> }): Status {
  const listen = useCallback((changed: () => void) => watched.status.subscribe(changed), [watched]);
  return useSyncExternalStore(listen, () => watched.status.current, () => watched.status.current);
}

function nothing(): undefined {
  return undefined;
}
