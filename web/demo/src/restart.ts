import { announce } from "./announcer.js";
import { button, part, reason, say } from "./dom.js";
import { seconds } from "./format.js";
import { live } from "./live.js";

/** A button that restarts the server; the live data of the page comes back by itself. */
export class Restart {
  readonly #result: HTMLElement;
  readonly #button: HTMLButtonElement;

  constructor(card: HTMLElement) {
    this.#result = part(card, ".result");
    this.#button = button(card, ".restart");
    this.#button.addEventListener("click", () => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#button.getAttribute("aria-disabled") === "true") {
      return;
    }
    this.#button.setAttribute("aria-disabled", "true");
    say(this.#result, "The server restarts");
    try {
      const [lost, back] = [state("stale"), state("stale").then(() => state("connected"))];
      await ask();
      const since = await lost;
      const words = `The connection was lost and back after ${seconds(((await back) - since) / 1000)}. This page did nothing for it.`;
      say(this.#result, words, "good");
      announce(words);
    } catch (error) {
      say(this.#result, reason(error), "bad");
      announce(reason(error));
    } finally {
      this.#button.setAttribute("aria-disabled", "false");
    }
  }
}

async function ask(): Promise<void> {
  let response;
  try {
    response = await fetch("/restart", { method: "POST", headers: { "x-restart": "please" } });
  } catch {
    throw new Error("The server did not answer. Is it running?");
  }
  if (response.status === 409) {
    const { detail } = (await response.json()) as { detail: string };
    throw new Error(detail);
  }
  if (!response.ok) {
    throw new Error(`The server refused to restart, with status ${response.status}.`);
  }
}

/** Returns when the connection is in a state, in milliseconds. */
function state(name: string): Promise<number> {
  return new Promise((resolve) => {
    const stop = live.status.subscribe((status) => {
      if (status.state === name) {
        resolve(performance.now());
        queueMicrotask(() => stop());
      }
    });
  });
}
