// Typed helpers to find elements and to set texts.

export type Mood = "" | "live" | "good" | "bad";

/** Returns an element of the given type; throws if the page does not have it. */
export function find<T extends Element>(root: ParentNode, selector: string, type: new () => T): T {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) {
    throw new Error(`The page has no ${selector}.`);
  }
  return found;
}

export function part(root: ParentNode, selector: string): HTMLElement {
  return find(root, selector, HTMLElement);
}

export function input(root: ParentNode, name: string): HTMLInputElement {
  return find(root, `input[name="${name}"]`, HTMLInputElement);
}

export function button(root: ParentNode, selector = "button"): HTMLButtonElement {
  return find(root, selector, HTMLButtonElement);
}

/** Sets an element's text if it differs. */
export function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Shows the state of a part of the page. */
export function say(state: HTMLElement, words: string, mood: Mood = ""): void {
  write(state, words);
  state.dataset["mood"] = mood;
}

/** Calls `paint` before each paint of the browser, until the function that it returns is called. */
export function everyFrame(paint: (now: number) => void): () => void {
  let frame = requestAnimationFrame(function next(now) {
    frame = requestAnimationFrame(next);
    paint(now);
  });
  return () => cancelAnimationFrame(frame);
}

/** Waits for some milliseconds. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Returns the message of an error. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
