/** Keeps this page busy for some milliseconds, as drawing a chart or a table would. */
export function work(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until) {
    // Nothing else runs in this tab.
  }
}
