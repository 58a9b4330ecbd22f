import { guarded } from "./readable.js";

/** Milliseconds between two paints above which the page was busy or hidden, or had nothing to paint. */
const GAP = 250;

/** An object with values for the page. */
export interface Paintable {
  /** True if it hands its values over in a hidden tab, too. */
  readonly paintsHidden: boolean;
  /** Hands its values over. */
  paint(): void;
}

/**
 * Hands values to the page when it paints: once per animation frame. In a hidden tab, only objects that want it are
 * painted, as soon as they have values. Without values, nothing runs.
 *
 * @param late - Called before a round that is long after the last one.
 */
export class Painter {
  readonly #due = new Set<Paintable>();
  #frame = 0;
  #isSoon = false;
  #last = -Infinity;

  constructor(private readonly late: () => void) {}

  /** Adds an object to the next round. */
  add(paintable: Paintable): void {
    this.#due.add(paintable);
    if (!document.hidden) {
      this.#frame ||= requestAnimationFrame(() => this.#painted());
    } else if (paintable.paintsHidden && !this.#isSoon) {
      this.#isSoon = true;
      queueMicrotask(() => this.#paint()); // timers of a hidden tab run once per second or less
    }
  }

  /** Plans the next round again: the tab was shown or hidden. */
  turn(): void {
    this.#due.forEach((paintable) => this.add(paintable));
  }

  #painted(): void {
    this.#frame = 0;
    this.#paint(); // some browsers call it in a hidden tab, too
  }

  #paint(): void {
    this.#isSoon = false;
    const due = [...this.#due].filter(({ paintsHidden }) => paintsHidden || !document.hidden);
    if (due.length === 0) {
      return;
    }
    const now = performance.now();
    if (now - this.#last > GAP) {
      this.late();
    }
    this.#last = now;
    due.forEach((paintable) => this.#due.delete(paintable));
    for (const paintable of due) {
      guarded(() => paintable.paint());
    }
  }
}
