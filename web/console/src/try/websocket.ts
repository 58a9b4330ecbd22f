import { errorFrame, meaningOf, refusalOf, refusalOfBody } from "./refusal.js";
import { frameOf, isWatched, type Request, socketUrlOf, startsWithMessage, urlOf } from "./request.js";
import type { Run, Sink } from "./run.js";
import type { News, Order } from "./socket.worker.js";

/** Length of the longest text that may be an error frame: its detail has up to 64 KiB. */
const LONGEST_ERROR = 100_000;

/** Connects to a definition's own path. */
export function openWebSocket(request: Request, sink: Sink): Run {
  return new Socket(request, sink);
}

class Socket implements Run {
  readonly #worker = new Worker(new URL("./socket.worker.ts", import.meta.url), { type: "module" });
  #isOpen = false;
  #isStopped = false;

  constructor(
    private readonly request: Request,
    private readonly sink: Sink,
  ) {
    this.#worker.onmessage = ({ data }: MessageEvent<News>) => this.#take(data);
    this.#worker.onerror = () => this.#over("The page could not start the thread of the connection");
    this.#order({ open: socketUrlOf(request) });
  }

  readonly send = (message: unknown): void => {
    if (this.#isOpen) {
      const frame = frameOf(this.request.carrier, message);
      this.#order({ send: frame });
      this.sink.frame("out", frame);
    }
  };

  stop(): void {
    this.#isStopped = true;
    this.#worker.terminate(); // which closes the socket, however much waits in it
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #take(news: News): void {
    if (this.#isStopped) {
      return;
    }
    if ("frames" in news) {
      news.frames.forEach((each, index) => this.#value(each, news.times[index]!));
      if (news.missed > 0) {
        this.sink.frame("state", `The page was too busy for ${news.missed} frames, which it does not show`, {
          isBad: true,
        });
      }
      this.#order({ more: true });
    } else if ("opened" in news) {
      this.#isOpen = true;
      this.sink.opened("WebSocket accepted");
      if (startsWithMessage(this.request.definition)) {
        this.send(this.request.message);
      }
    } else {
      this.#closed(news.closed.code, news.closed.reason);
    }
  }

  #value(data: string | ArrayBuffer, at: number): void {
    if (typeof data !== "string") {
      return this.sink.value(new Uint8Array(data), { at });
    }
    const refusal = data.startsWith('{"error":') && data.length < LONGEST_ERROR ? errorFrame(parsed(data)) : undefined;
    if (refusal === undefined) {
      return this.sink.value(data, { at });
    }
    this.sink.frame("in", data, { at, note: "error", isBad: true });
    this.sink.refused(refusal);
  }

  #closed(code: number, reason: string): void {
    if (!this.#isOpen) {
      this.sink.frame("state", "The connection was not accepted: close code 1006, without a reason", { isBad: true });
      void lookUp(this.request, this.sink, () => this.#isStopped).then(() => this.#worker.terminate());
      return;
    }
    const note = [`Closed with ${code}`, reason || meaningOf(code)].filter(Boolean).join(": ");
    this.sink.frame("state", note, { isBad: code !== 1000 });
    if (code !== 1000 && reason !== "") {
      this.sink.refused(refusalOf(code, reason));
    }
    this.#over(note);
  }

  #over(note: string): void {
    this.#worker.terminate();
    this.sink.ended(note);
  }
}

const HIDDEN =
  "Browsers do not tell pages why a WebSocket was refused before it was accepted; the code is always 1006.";

/** Asks for the reason of a refusal: a GET of the same path passes the same guards. */
async function lookUp(request: Request, sink: Sink, isStopped: () => boolean): Promise<void> {
  const { definition } = request;
  const other = definition.surfaces.includes("multiplexed") ? "the multiplexed connection" : "POST";
  if (!isWatched(definition) || !definition.surfaces.includes("get")) {
    sink.refused(refusalOf(undefined, `${HIDDEN} Choose ${other} to see the status and the detail.`));
    sink.ended("Refused");
    return;
  }
  try {
    const answer = await fetch(urlOf(request), { headers: { accept: "application/json" }, credentials: "same-origin" });
    const body = answer.ok ? "" : await answer.text();
    if (isStopped()) {
      return;
    }
    void answer.body?.cancel().catch(() => {});
    if (answer.ok || (answer.status === 404 && /has no value/.test(body))) {
      sink.refused(
        refusalOf(
          undefined,
          `${HIDDEN} A GET of the same path is answered with ${answer.status}, so the reason concerns WebSockets ` +
            `only: a handler's guard, or the origin of this page. Choose ${other} to see it.`,
        ),
      );
    } else {
      sink.frame("state", `A GET of the same path is answered with ${answer.status}`, { isBad: true });
      sink.refused(refusalOfBody(answer.status, answer.statusText, body));
    }
  } catch {
    if (!isStopped()) {
      sink.refused(refusalOf(undefined, "The server cannot be reached."));
    }
  }
  if (!isStopped()) {
    sink.ended("Refused");
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
