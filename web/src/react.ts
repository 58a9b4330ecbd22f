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

/** A feed, as a component shows it. */
export interface FeedState<T> {
  /** The newest value; undefined before the first. */
  readonly value: T | undefined;
  readonly status: Status;
}

/** A run of a stream, as a component shows it. */
export interface StreamState<T> {
  /** The newest values, the oldest first: at most as many as `keep` says. */
  readonly values: readonly T[];
  /** Number of values so far, including those that are no longer in `values`. */
  readonly count: number;
  readonly isDone: boolean;
  /** What it was refused with, or has failed with. */
  readonly error: unknown;
}

/** How a component runs a stream. */
export interface RunOptions extends Omit<StreamOptions, "signal"> {
  /** How many of the newest values the component gets; 1,000 by default. */
  readonly keep?: number;
}

/**
 * The newest value of a feed or topic, at paint rate. Components that watch the same share one subscription, which ends
 * with the last of them.
 *
 * @param live - The connection, which outlives the component.
 * @param path - As it is declared, with its parameters filled in.
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
 * A run of a stream, shown at paint rate. The run begins when the component is there, or its message or options change,
 * and is cancelled when the component goes.
 *
 * @param live - The connection, which outlives the component.
 * @param path - As it is declared, with its parameters filled in.
 * @param message - What the run is told first, if it takes a message.
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
    const [told, more] = JSON.parse(key) as [unknown, StreamOptions];
    const stream = live.stream<T>(path, told ?? undefined, { ...more, signal: leaving.signal });
    if (state.current !== NOT_BEGUN) {
      become(NOT_BEGUN); // what is shown is of the run before
    }
    void show(stream.batches(), new Recent<T>(keep), become, leaving.signal);
    return () => leaving.abort();
  }, [live, path, key, keep]);
  return state.current;
}

const KEEP = 1_000;

const NOT_BEGUN: StreamState<never> = { values: [], count: 0, isDone: false, error: undefined };

/** Reads a run as fast as its values come, and shows the newest once per paint: each costs a copy and a render. */
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

/** Returns a function that has `paint` called in the next animation frame, until the signal is aborted. */
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
