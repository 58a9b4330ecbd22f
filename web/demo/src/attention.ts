// Whether this page is to watch: not while nobody sees it, and not while the race measures the server.

import { pause } from "./dom.js";

const PATIENCE = 5_000;
const QUIET = 1_000;

/** A part of the page that watches live data. */
export interface Part {
  start(): void;
  /** Stops to watch; the words say why. */
  pause(words: string): void;
}

const parts: Part[] = [];
let racing = false;
let unseen = document.hidden;
let timer = 0;

/** Has a part of the page watch whenever it may. */
export function whenever(part: Part): void {
  parts.push(part);
  tell(part);
}

/** Pauses all parts, and waits until the server has closed what nobody watches any more. */
export async function pauseForRace(): Promise<void> {
  racing = true;
  parts.forEach(tell);
  await pause(QUIET);
}

export function resumeAfterRace(): void {
  racing = false;
  parts.forEach(tell);
}

function tell(part: Part): void {
  if (racing) {
    part.pause("Paused while the race runs");
  } else if (unseen) {
    part.pause("Paused while nobody looks");
  } else {
    part.start();
  }
}

function seen(is: boolean): void {
  if (unseen === is) {
    unseen = !is;
    parts.forEach(tell);
  }
}

// A glance at another tab is no reason to leave.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) {
    timer = window.setTimeout(() => seen(false), PATIENCE);
  } else {
    seen(true);
  }
});
