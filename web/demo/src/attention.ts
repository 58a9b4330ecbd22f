// Decides whether this page watches: not in the background, not while the race measures the server, and not while the
// visitor has paused all motion.

import { button, pause } from "./dom.js";

const PATIENCE = 5_000;
const QUIET = 1_000;

/** A part of the page that watches live data. */
export interface Part {
  start(): void;
  /** Stops watching; the words say why. */
  pause(words: string): void;
}

const parts: Part[] = [];
let racing = false;
let unseen = document.hidden;
let paused = false;
let timer = 0;

/** Makes a part of the page watch whenever it may. */
export function whenever(part: Part): void {
  parts.push(part);
  update(part);
}

/** Pauses all parts, and waits until the server has closed the feeds that are no longer watched. */
export async function pauseForRace(): Promise<void> {
  racing = true;
  parts.forEach(update);
  await pause(QUIET);
}

export function resumeAfterRace(): void {
  racing = false;
  parts.forEach(update);
}

/** Makes a button pause everything that moves, and continue (WCAG 2.2, success criterion 2.2.2). */
export function pausedBy(root: ParentNode): void {
  const control = button(root, "#pause");
  control.addEventListener("click", () => {
    paused = !paused;
    control.setAttribute("aria-pressed", String(paused));
    parts.forEach(update);
  });
}

function update(part: Part): void {
  if (racing) {
    part.pause("Paused while the race runs");
  } else if (paused) {
    part.pause("Paused");
  } else if (unseen) {
    part.pause("Paused in the background");
  } else {
    part.start();
  }
}

function seen(is: boolean): void {
  if (unseen === is) {
    unseen = !is;
    parts.forEach(update);
  }
}

// A short look at another tab does not end the watching.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) {
    timer = window.setTimeout(() => seen(false), PATIENCE);
  } else {
    seen(true);
  }
});
