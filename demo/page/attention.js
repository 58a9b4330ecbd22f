// Whether this page is to watch: not while nobody sees it, and not while the race measures the server.

const PATIENCE = 5_000;
const QUIET = 1_000;

const parts = [];
let racing = false;
let unseen = document.hidden;
let timer = 0;

/** Has a part of the page watch whenever it may: it is told to `start()` and to `pause(words)`. */
export function whenever(part) {
  parts.push(part);
  tell(part);
}

/** Pauses all parts, and waits until the server has closed what nobody watches any more. */
export async function pauseForRace() {
  racing = true;
  parts.forEach(tell);
  await new Promise((resolve) => setTimeout(resolve, QUIET));
}

export function resumeAfterRace() {
  racing = false;
  parts.forEach(tell);
}

function tell(part) {
  if (racing) {
    part.pause("Paused while the race runs");
  } else if (unseen) {
    part.pause("Paused while nobody looks");
  } else {
    part.start();
  }
}

function seen(is) {
  if (unseen === is) {
    unseen = !is;
    parts.forEach(tell);
  }
}

// A glance at another tab is no reason to leave.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) {
    timer = setTimeout(() => seen(false), PATIENCE);
  } else {
    seen(true);
  }
});
