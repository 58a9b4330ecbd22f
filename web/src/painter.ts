import { guarded } from "./readable.js";

/** Something with news for the page. */
export interface Paintable {
  /** Hands its news over. */
  paint(): void;
}

/**
 * Brings news to the page when the page paints: once per animation frame, and not while the tab is hidden. Nothing runs
 * while there is none.
 */
export class Painter {
  readonly #due = new Set<Paintable>();
  #frame = 0;

  /** Something has news. */
  add(paintable: Paintable): void {
    this.#due.add(paintable);
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    this.#frame = 0;
    const due = [...this.#due];
    this.#due.clear();
    for (const paintable of due) {
      guarded(() => paintable.paint());
    }
  }
}
