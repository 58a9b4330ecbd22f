import { announce } from "./announcer.js";
import { button, part, pause, write } from "./dom.js";

const SHOWN = 2_000;

/** Makes the button of a listing copy its code. */
export function copies(listing: HTMLElement): void {
  const control = button(listing, ".copy");
  control.addEventListener("click", () => {
    void (async () => {
      const words = await copied(part(listing, ".code").innerText);
      write(control, words);
      announce(words);
      await pause(SHOWN);
      write(control, "Copy");
    })();
  });
}

async function copied(text: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(`${text.trimEnd()}\n`);
    return "Copied";
  } catch {
    return "Not allowed"; // by the browser, or because the page is not served by https or from localhost
  }
}
