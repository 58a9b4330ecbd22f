// Hooks that bind the server's data to views.

import { useEffect, useState } from "preact/hooks";
import { watch, type Link } from "./watch.js";

export interface Watched<T> {
  /** The newest value, also while the connection is lost. */
  value: T | null;
  link: Link;
  reason: string;
}

const NOTHING = { value: null, link: "connecting", reason: "" } as const;

/** Watches a feed of the console while the component is shown; another query starts over. */
export function useWatch<T>(name: string, query: Record<string, string | number> = {}): Watched<T> {
  const [watched, setWatched] = useState<Watched<T>>(NOTHING);
  const key = JSON.stringify([name, query]);
  useEffect(() => {
    setWatched(NOTHING);
    return watch<T>(name, query, {
      onValue: (value) => setWatched({ value, link: "live", reason: "" }),
      onLink: (link, reason) => setWatched((before) => (before.link === link ? before : { ...before, link, reason })),
    });
  }, [key]);
  return watched;
}

/** Returns a value that follows another one after it has rested for some milliseconds, as for a search field. */
export function useSettled<T>(value: T, delay = 200): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value, delay]);
  return settled;
}
