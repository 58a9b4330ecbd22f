/** Milliseconds of work after which the page may paint, and milliseconds that it gets. */
const WORK = 8;
const REST = 8;

/** Returns a function that waits now and then, so that a fast response leaves the page time to paint. */
export function paced(): () => Promise<void> {
  let begun = performance.now();
  return async () => {
    if (performance.now() - begun > WORK) {
      await new Promise((resolve) => setTimeout(resolve, REST));
      begun = performance.now();
    }
  };
}
