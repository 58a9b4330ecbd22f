import { part, write } from "./dom.js";

/** Reads words to visitors with a screen reader. It is the page's one live region, so that nothing speaks at once. */
export function announce(words: string): void {
  write(part(document, "#announcer"), words);
}
