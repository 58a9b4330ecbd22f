import { address, whyClosed } from "./connection.js";

const SOONEST = 500;
const LATEST = 8_000;

/** Milliseconds before the next attempt: more after each, and never the same for all pages. */
export function delayAfter(attempts) {
  return Math.min(SOONEST * 2 ** attempts, LATEST) * (0.6 + 0.4 * Math.random());
}

/** A WebSocket that is opened again whenever it is lost, until it is stopped. */
export class Watch {
  #path;
  #opened;
  #receive;
  #say;
  #socket = null;
  #timer = 0;
  #attempts = 0;
  #lost = false;

  /**
   * `path` gives the path for each connection, `opened` is called when one is open, `receive` with each message,
   * `say` with words for the visitor.
   */
  constructor({ path, opened, receive, say }) {
    this.#path = path;
    this.#opened = opened;
    this.#receive = receive;
    this.#say = say;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => this.#hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  start() {
    if (!this.#socket && !this.#timer) {
      this.#connect();
    }
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  send(text) {
    this.#socket.send(text);
  }

  #connect() {
    this.#timer = 0;
    if (!this.#lost) {
      this.#say("Connecting");
    }
    const socket = new WebSocket(address(this.#path()));
    let accepted = false;
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket === socket) {
        accepted = true;
        this.#arrived();
      }
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) {
        this.#attempts = 0;
        this.#receive(data);
      }
    };
    socket.onclose = (event) => {
      if (this.#socket === socket) {
        this.#gone(accepted ? whyClosed(event) : "The server does not answer.");
      }
    };
  }

  #arrived() {
    this.#say(this.#lost ? "Live again" : "Live", "live");
    this.#lost = false;
    this.#opened?.();
  }

  #gone(why) {
    this.#socket = null;
    this.#lost = true;
    this.#say(`${why} Trying again.`, "bad");
    this.#timer = setTimeout(() => this.#connect(), delayAfter(this.#attempts));
    this.#attempts += 1;
  }

  /** Somebody is back, or the network is: no reason to wait any longer. */
  #hurry() {
    if (this.#timer && !document.hidden) {
      clearTimeout(this.#timer);
      this.#connect();
    }
  }
}
