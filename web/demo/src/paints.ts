import { everyFrame } from "./dom.js";

const WINDOW = 10_000;

/** The number of paints in the last seconds, and the number of dropped ones. */
export interface Count {
  perSecond: number;
  dropped: number;
}

/**
 * Counts the page's paints. The median time between two paints is the pace of the screen; a time that is twice as long
 * means a dropped paint.
 */
export class Paints {
  #stop: (() => void) | null = null;
  #at: number[] = [];

  start(): void {
    this.#at = [];
    this.#stop ??= everyFrame((now) => this.#painted(now));
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  count(): Count | null {
    const gaps = this.#at.slice(1).map((at, before) => at - (this.#at[before] ?? at));
    const pace = [...gaps].sort((a, b) => a - b)[gaps.length >> 1];
    if (!pace || gaps.length < 10) {
      return null;
    }
    const dropped = gaps.reduce((sum, gap) => sum + Math.max(0, Math.round(gap / pace) - 1), 0);
    return { perSecond: (gaps.length * 1000) / gaps.reduce((sum, gap) => sum + gap, 0), dropped };
  }

  #painted(now: number): void {
    this.#at.push(now);
    while ((this.#at[0] ?? now) < now - WINDOW) {
      this.#at.shift();
    }
  }
}
