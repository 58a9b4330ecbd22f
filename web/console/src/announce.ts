// The one live region of the page: short sentences for screen readers.

let region: HTMLElement | null = null;

/** Names the element whose changes screen readers read when the reader pauses. */
export function announceIn(element: HTMLElement | null): void {
  region = element;
}

/** Has a sentence read. Another one replaces it. */
export function announce(words: string): void {
  if (region && region.textContent !== words) {
    region.textContent = words;
  }
}
