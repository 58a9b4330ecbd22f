import { guarded } from "./readable.js";

/** Milliseconds between two paints above which the page was busy or hidden, or had nothing to paint. */
const GAP = 250;

/** An object with values for the page. */
export interface Paintable {
  /** Hands its values over. */
  paint(): void;
}

/**
 * Hands values to the page when it paints: once per animation frame, and not while the tab is hidden. Without values,
 * nothing runs.
 *
 * @param late - Called before a round that is long after the last one.
 */
export class Painter {
  readonly #due = new Set<Paintable>();
  #frame = 0;
  #last = -Infinity;

  constructor(private readonly late: () => void) {}

  /** Adds an object to the next round. */
  add(paintable: Paintable): void {
    this.#due.add(paintable);
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    this.#frame = 0;
    const now = performance.now();
    if (now - this.#last > GAP) {
      this.late();
    }
    this.#last = now;
    const due = [...this.#due];
    this.#due.clear();
    for (const paintable of due) {
      guarded(() => paintable.paint());
    }
  }
}
