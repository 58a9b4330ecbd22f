import { find, input, write } from "./dom.js";

/** A range of steps, with the words for the chosen one beside it. */
export class Slider<T> {
  readonly #input: HTMLInputElement;
  readonly #steps: readonly T[];

  constructor(root: ParentNode, name: string, steps: readonly T[], words: (step: T) => string, onChange: () => void) {
    this.#input = input(root, name);
    this.#steps = steps;
    const output = find(this.#input.parentElement ?? root, "output", HTMLOutputElement);
    const show = (): void => {
      write(output, words(this.value));
      this.#input.setAttribute("aria-valuetext", words(this.value));
    };
    this.#input.addEventListener("input", show);
    this.#input.addEventListener("change", onChange);
    show();
  }

  get value(): T {
    const step = this.#steps[Number(this.#input.value)];
    if (step === undefined) {
      throw new Error(`The page has no step ${this.#input.value}.`);
    }
    return step;
  }
}
