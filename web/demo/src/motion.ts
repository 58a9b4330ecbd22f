// How often things that move may change: as often as the screen, or twice per second for visitors who want less motion.

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Changes per second that a visitor who wants less motion sees. */
const CALM = 2;

/** The `maxRate` of what moves. */
export const RATE = calm.matches ? CALM : 60;

/** Says whether it is time for another change. */
export class Pace {
  #at = -Infinity;

  due(now = performance.now()): boolean {
    if (calm.matches && now - this.#at < 1000 / CALM) {
      return false;
    }
    this.#at = now;
    return true;
  }
}
