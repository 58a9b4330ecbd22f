import { announce } from "./announcer.js";
import { errorIn, open, whyClosed } from "./connection.js";
import { button, part, say } from "./dom.js";
import type { Mood } from "./dom.js";
import { count, seconds } from "./format.js";
import { Pace } from "./motion.js";

const VALUES = 10_000;
/** The time until a lost connection is opened again, in milliseconds. */
const AGAIN = 1_000;
/** The code with which a server that restarts closes its connections (RFC 6455, section 7.4). */
const RESTART = 1012;

/** One card: a button that sends a message over a bare WebSocket, and the number and the message of the answer. */
export class Counter {
  readonly #path: string;
  readonly #message: string;
  readonly #number: HTMLElement;
  readonly #text: HTMLElement;
  readonly #state: HTMLElement;
  #socket: WebSocket | null = null;
  #connecting: Promise<WebSocket> | null = null;
  #received = 0;
  #waiting = 0;
  #startedAt = 0;
  #last = "";
  #painting = false;
  #timer = 0;
  readonly #pace = new Pace();

  constructor(card: HTMLElement) {
    this.#path = card.dataset["path"] ?? "";
    this.#message = card.dataset["send"] ?? "";
    this.#number = part(card, ".number");
    this.#text = part(card, ".message");
    this.#state = part(card, ".state");
    button(card).addEventListener("click", () => void this.#click());
    this.#open().catch(() => {});
  }

  /** Opens the connection again after a while, until that works. */
  #reopen(): void {
    clearTimeout(this.#timer); // each click on a page without a server would start another one
    this.#timer = window.setTimeout(() => this.#open().catch(() => {}), AGAIN);
  }

  async #click(): Promise<void> {
    try {
      const socket = await this.#open();
      this.#start();
      socket.send(this.#message);
    } catch {
      // #open has shown the reason.
    }
  }

  /** Returns the open connection, or opens one. */
  #open(): Promise<WebSocket> {
    if (this.#socket) {
      return Promise.resolve(this.#socket);
    }
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect(): Promise<WebSocket> {
    this.#say("Connecting");
    try {
      const socket = await open(this.#path);
      socket.onmessage = (event: MessageEvent<string>) => this.#receive(event.data);
      socket.onclose = (event) => this.#closed(event);
      this.#socket = socket;
      this.#say("Connected");
      return socket;
    } catch (error) {
      this.#say("The server does not answer. Trying again.", "bad");
      this.#reopen();
      throw error;
    }
  }

  /** A click during a run waits in the server until that run has ended. */
  #start(): void {
    this.#waiting += 1;
    if (this.#waiting === 1) {
      this.#received = 0;
      this.#startedAt = performance.now();
      this.#say("Counting");
    }
  }

  /** Handles one value: counts it and keeps the newest; the next paint does the rest. */
  #receive(frame: string): void {
    const error = errorIn(frame);
    if (error) {
      this.#failed(error);
      return;
    }
    this.#last = frame;
    this.#received += 1;
    if (this.#received === VALUES) {
      this.#finish();
    } else if (!this.#painting && this.#pace.due()) {
      this.#painting = true;
      requestAnimationFrame(() => {
        this.#painting = false;
        this.#paint();
      });
    }
  }

  #finish(): void {
    const now = performance.now();
    const took = (now - this.#startedAt) / 1000;
    const words = `${count(VALUES)} values in ${seconds(took)}`;
    this.#paint();
    this.#say(words, "good");
    announce(words);
    this.#waiting -= 1;
    this.#received = 0;
    this.#startedAt = now;
  }

  #failed(words: string): void {
    this.#waiting = Math.max(0, this.#waiting - 1);
    this.#received = 0;
    this.#say(words, "bad");
  }

  #closed(event: CloseEvent): void {
    this.#socket = null;
    this.#waiting = 0;
    this.#say(event.code === RESTART ? "Connecting" : `${whyClosed(event)} Connecting again.`);
    this.#reopen();
  }

  #paint(): void {
    const { number, message } = this.#last.startsWith("{")
      ? (JSON.parse(this.#last) as { number: number; message: string })
      : { number: this.#last, message: this.#last };
    this.#number.textContent = String(number);
    this.#text.textContent = message;
  }

  #say(words: string, mood: Mood = ""): void {
    say(this.#state, words, mood);
  }
}
