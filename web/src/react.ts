/**
 * Hooks for React.
 *
 * @packageDocumentation
 */
import { useCallback, useEffect, useMemo, useReducer, useRef, useSyncExternalStore } from "react";
import type { FeedOptions } from "./feed.js";
import type { Live } from "./live.js";
import type { Readable } from "./readable.js";
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
  /** All values so far. */
  readonly values: readonly T[];
  readonly isDone: boolean;
  /** What it was refused with, or has failed with. */
  readonly error: unknown;
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
 * A run of a stream: it begins when the component is there, or its message is another one, and is cancelled when the
 * component goes.
 *
 * @param live - The connection, which outlives the component.
 * @param path - As it is declared, with its parameters filled in.
 * @param message - What the run is told first, if it takes a message.
 */
export function useStream<T>(
  live: Live,
  path: string,
  message?: unknown,
  options: Omit<StreamOptions, "signal"> = {},
): StreamState<T> {
  const state = useRef<StreamState<T>>(NOT_BEGUN);
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const key = JSON.stringify([message, options]);
  useEffect(() => {
    const leaving = new AbortController();
    const become = (next: Partial<StreamState<T>>): void => {
      if (!leaving.signal.aborted) {
        state.current = { ...state.current, ...next };
        changed();
      }
    };
    const [told, more] = JSON.parse(key) as [unknown, StreamOptions];
    const stream = live.stream<T>(path, told ?? undefined, { ...more, signal: leaving.signal });
    if (state.current !== NOT_BEGUN) {
      state.current = NOT_BEGUN; // what is shown is of the run before
      changed();
    }
    void read(stream.batches(), become);
    return () => leaving.abort();
  }, [live, path, key]);
  return state.current;
}

const NOT_BEGUN: StreamState<never> = { values: [], isDone: false, error: undefined };

async function read<T>(batches: AsyncIterable<T[]>, become: (next: Partial<StreamState<T>>) => void): Promise<void> {
  let values: readonly T[] = [];
  try {
    for await (const batch of batches) {
      values = [...values, ...batch];
      become({ values });
    }
    become({ isDone: true });
  } catch (error) {
    become({ isDone: true, error });
  }
}

function useReadable(watched: { readonly status: Readable<Status> }): Status {
  const listen = useCallback((changed: () => void) => watched.status.subscribe(changed), [watched]);
  return useSyncExternalStore(listen, () => watched.status.current, () => watched.status.current);
}

function nothing(): undefined {
  return undefined;
}
