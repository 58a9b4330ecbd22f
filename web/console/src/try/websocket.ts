import { errorFrame, meaningOf, refusalOf, refusalOfBody } from "./refusal.js";
import { frameOf, isWatched, type Request, socketUrlOf, startsWithMessage, urlOf } from "./request.js";
import type { Run, Sink } from "./run.js";

/** Length of the longest text that may be an error frame: its detail has up to 64 KiB. */
const LONGEST_ERROR = 100_000;

/** Connects to a definition's own path. */
export function openWebSocket(request: Request, sink: Sink): Run {
  const socket = new WebSocket(socketUrlOf(request));
  socket.binaryType = "arraybuffer";
  let isOpen = false;
  let isStopped = false;
  const send = (message: unknown): void => {
    const frame = frameOf(request.carrier, message);
    socket.send(frame);
    sink.frame("out", frame);
  };
  socket.onopen = () => {
    isOpen = true;
    sink.opened("WebSocket accepted");
    if (startsWithMessage(request.definition)) {
      send(request.message);
    }
  };
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") {
      return sink.value(new Uint8Array(data));
    }
    if (data.startsWith('{"error":') && data.length < LONGEST_ERROR) {
      const refusal = errorFrame(parsed(data));
      if (refusal !== undefined) {
        sink.frame("in", data, { note: "error", isBad: true });
        return sink.refused(refusal);
      }
    }
    sink.value(data);
  };
  socket.onclose = ({ code, reason }) => {
    if (isStopped) {
      return;
    }
    if (!isOpen) {
      sink.frame("state", "The connection was not accepted: close code 1006, without a reason", { isBad: true });
      void lookUp(request, sink, () => isStopped);
      return;
    }
    const meaning = meaningOf(code);
    const note = [`Closed with ${code}`, reason || meaning].filter(Boolean).join(": ");
    sink.frame("state", note, { isBad: code !== 1000 });
    if (code !== 1000 && reason !== "") {
      sink.refused(refusalOf(code, reason));
    }
    sink.ended(note);
  };
  const stop = (): void => {
    isStopped = true;
    socket.onmessage = null;
    socket.close(1000);
  };
  return {
    stop,
    send: (message) => {
      if (socket.readyState === WebSocket.OPEN) {
        send(message);
      }
    },
  };
}

const HIDDEN = "Browsers do not tell pages why a WebSocket was refused before it was accepted; the code is always 1006.";

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
    if (answer.ok || answer.status === 404 && /has no value/.test(body)) {
      sink.refused(refusalOf(undefined, `${HIDDEN} A GET of the same path is answered with ${answer.status}, so the reason concerns WebSockets only: a handler's guard, or the origin of this page.`));
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
