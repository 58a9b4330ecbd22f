import { connect, errorIn, whyClosed } from "./connection.js";
import { count, seconds } from "./format.js";

const VALUES = 10_000;

/** One card: a button that sends a message, and the number and the message that come back. */
export class Counter {
  #path;
  #message;
  #number;
  #text;
  #state;
  #socket = null;
  #connecting = null;
  #received = 0;
  #waiting = 0;
  #startedAt = 0;
  #last = "";
  #painting = false;

  constructor(card) {
    this.#path = card.dataset.path;
    this.#message = card.dataset.send;
    this.#number = card.querySelector(".number");
    this.#text = card.querySelector(".message");
    this.#state = card.querySelector(".state");
    card.querySelector("button").addEventListener("click", () => this.#click());
    this.#open().catch(() => {});
  }

  async #click() {
    try {
      const socket = await this.#open();
      this.#start();
      socket.send(this.#message);
    } catch {
      // #open has said why.
    }
  }

  /** The open connection; a new one if there is none. */
  #open() {
    if (this.#socket) {
      return Promise.resolve(this.#socket);
    }
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect() {
    this.#say("Connecting");
    try {
      this.#socket = await connect(this.#path);
    } catch (error) {
      this.#say(`${error.message} Click to try again.`, "bad");
      throw error;
    }
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#closed(event);
    this.#say("Connected");
    return this.#socket;
  }

  /** A click while a run is going on waits in the server until that run has ended. */
  #start() {
    this.#waiting += 1;
    if (this.#waiting === 1) {
      this.#received = 0;
      this.#startedAt = performance.now();
      this.#say("Counting");
    }
  }

  /** Runs once per value: it keeps the newest and counts, and leaves the rest to the next paint. */
  #receive(frame) {
    const error = errorIn(frame);
    if (error) {
      this.#failed(error);
      return;
    }
    this.#last = frame;
    this.#received += 1;
    if (this.#received === VALUES) {
      this.#finish();
    } else if (!this.#painting) {
      this.#painting = true;
      requestAnimationFrame(() => {
        this.#painting = false;
        this.#paint();
      });
    }
  }

  #finish() {
    const now = performance.now();
    const took = (now - this.#startedAt) / 1000;
    this.#paint();
    this.#say(`${count(VALUES)} values in ${seconds(took)}`, "good");
    this.#waiting -= 1;
    this.#received = 0;
    this.#startedAt = now;
  }

  #failed(words) {
    this.#waiting = Math.max(0, this.#waiting - 1);
    this.#received = 0;
    this.#say(words, "bad");
  }

  #closed(event) {
    this.#socket = null;
    this.#waiting = 0;
    this.#say(`${whyClosed(event)} Click to connect again.`, "bad");
  }

  #paint() {
    const json = this.#last.startsWith("{");
    const tick = json ? JSON.parse(this.#last) : { number: this.#last, message: this.#last };
    this.#number.textContent = tick.number;
    this.#text.textContent = tick.message;
  }

  #say(words, mood = "") {
    this.#state.textContent = words;
    this.#state.dataset.mood = mood;
  }
}
