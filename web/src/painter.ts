import { guarded } from "./readable.js";

/** Milliseconds between two paints after which the page was busy, or hidden, or had nothing to paint. */
const GAP = 250;

/** Something with news for the page. */
export interface Paintable {
  /** Hands its news over. */
  paint(): void;
}

/**
 * Brings news to the page when the page paints: once per animation frame, and not while the tab is hidden. Nothing runs
 * while there is none.
 *
 * @param late - Called before a round that comes long after the last one.
 */
export class Painter {
  readonly #due = new Set<Paintable>();
  #frame = 0;
  #last = -Infinity;

  constructor(private readonly late: () => void) {}

  /** Something has news. */
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
