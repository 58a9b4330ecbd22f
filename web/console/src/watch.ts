// One of the console's own feeds, watched by a raw WebSocket. It reconnects until it is closed, and rests while the tab
// is hidden, so that a forgotten tab costs the server nothing.

import { socketAt } from "./address.js";

/** The state of one watched feed. */
export type Link = "connecting" | "live" | "lost" | "refused" | "resting";

export interface Listener<T> {
  onValue: (value: T) => void;
  /** `reason` is for people, and is empty unless the feed was refused. */
  onLink: (link: Link, reason: string) => void;
}

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;
/** A tab that was hidden for this long stops watching, in milliseconds. */
const REST_AFTER = 30_000;

/** Watches a feed, for example `overview`, and returns the function that stops it. */
export function watch<T>(name: string, query: Record<string, string | number>, listener: Listener<T>): () => void {
  const watcher = new Watcher(socketAt(`console/${name}`, query), listener);
  watcher.open();
  return () => watcher.close();
}

class Watcher<T> {
  readonly #url: URL;
  readonly #listener: Listener<T>;
  #socket: WebSocket | null = null;
  #timer = 0;
  #resting = 0;
  #delay = FIRST_DELAY;
  #isClosed = false;

  constructor(url: URL, listener: Listener<T>) {
    this.#url = url;
    this.#listener = listener;
    document.addEventListener("visibilitychange", this.#onVisibility);
    addEventListener("online", this.#onOnline);
  }

  open(): void {
    this.#listener.onLink("connecting", "");
    this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    removeEventListener("online", this.#onOnline);
    clearTimeout(this.#resting);
    this.#drop();
  }

  #connect(): void {
    this.#drop();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(socket, String(data));
    socket.onclose = ({ code, reason }) => this.#onClose(socket, code, reason);
  }

  /** Forgets the connection and everything planned for it. */
  #drop(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #take(socket: WebSocket, text: string): void {
    if (socket !== this.#socket) {
      return;
    }
    const value = JSON.parse(text) as T & { error?: { code: number; message: string } };
    if (isError(value)) {
      // A refusal that lasts: the address is wrong, or the page may not see this.
      if (value.error.code < 500) {
        this.#refuse(value.error.message);
      }
      return;
    }
    this.#delay = FIRST_DELAY;
    this.#listener.onLink("live", "");
    this.#listener.onValue(value);
  }

  #refuse(reason: string): void {
    this.#drop();
    this.#listener.onLink("refused", reason);
  }

  #onClose(socket: WebSocket, code: number, reason: string): void {
    if (socket !== this.#socket) {
      return;
    }
    if (code === 1008) {
      this.#refuse(reason || "The server refused this.");
      return;
    }
    this.#listener.onLink("lost", "");
    // A refused handshake looks like a lost network to a page, so a request for the same feed tells them apart.
    void this.#refusal().then((words) => {
      if (socket === this.#socket && words) {
        this.#refuse(words);
      }
    });
    this.#timer = window.setTimeout(() => this.#connect(), this.#delay * (0.5 + Math.random()));
    this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY);
  }

  async #refusal(): Promise<string> {
    try {
      const { status } = await fetch(new URL(document.baseURI), { cache: "no-store", method: "HEAD" });
      return status === 401 || status === 403 ? "You are not allowed to see this. Sign in again and reload the page." : "";
    } catch {
      return "";
    }
  }

  readonly #onOnline = (): void => {
    if (this.#socket && this.#socket.readyState > WebSocket.OPEN) {
      this.#connect();
    }
  };

  readonly #onVisibility = (): void => {
    clearTimeout(this.#resting);
    if (document.hidden) {
      this.#resting = window.setTimeout(() => this.#rest(), REST_AFTER);
    } else if (!this.#socket && !this.#isClosed && this.#isAtRest) {
      this.#isAtRest = false;
      this.open();
    }
  };

  #isAtRest = false;

  #rest(): void {
    if (this.#socket) {
      this.#isAtRest = true;
      this.#drop();
      this.#listener.onLink("resting", "");
    }
  }
}

function isError(value: unknown): value is { error: { code: number; message: string } } {
  const error = typeof value === "object" && value !== null && "error" in value ? value.error : null;
  return typeof error === "object" && error !== null && "code" in error && Object.keys(value as object).length === 1;
}
