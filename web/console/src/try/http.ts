import { Events, Lines, type ServerEvent } from "./lines.js";
import { paced } from "./pace.js";
import { errorFrame, refusalOf, refusalOfBody } from "./refusal.js";
import { bodyOf, isPost, type Request, urlOf } from "./request.js";
import type { Run, Sink } from "./run.js";

/** Headers of an answer that the page shows. */
const SHOWN = ["content-type", "etag", "wirespeed-status", "wirespeed-run", "retry-after"];

/** Makes a request over HTTP: a GET, a POST, or either of them with Server-Sent Events. */
export function request(wanted: Request, sink: Sink): Run {
  const abort = new AbortController();
  void made(wanted, sink, abort.signal);
  return { stop: () => abort.abort() };
}

async function made(wanted: Request, sink: Sink, signal: AbortSignal): Promise<void> {
  const body = isPost(wanted) ? bodyOf(wanted) : undefined;
  try {
    const answer = await fetch(urlOf(wanted), {
      method: isPost(wanted) ? "POST" : "GET",
      headers: headersOf(wanted, body),
      ...(body !== undefined && { body }),
      signal,
    });
    if (body !== undefined) {
      sink.frame("out", body);
    }
    await taken(answer, sink, signal);
  } catch (error) {
    if (!signal.aborted) {
      const why = `The request failed: ${(error as Error).message}`;
      sink.frame("state", why, { isBad: true });
      sink.refused(refusalOf(undefined, why));
      sink.ended("Failed");
    }
  }
}

function headersOf({ surface, options }: Request, body: string | undefined): Record<string, string> {
  return {
    accept: surface === "sse" ? "text/event-stream" : "application/json",
    ...(body !== undefined && { "content-type": "application/json" }),
    ...(options.token.trim() !== "" && { authorization: `Bearer ${options.token.trim()}` }),
  };
}

/** Reads an answer. */
async function taken(answer: Response, sink: Sink, signal: AbortSignal): Promise<void> {
  const headers = SHOWN.flatMap((name) => (answer.headers.has(name) ? [`${name}: ${answer.headers.get(name)}`] : []));
  const line = `${answer.status} ${answer.statusText}`.trim();
  if (!answer.ok) {
    const body = await answer.text();
    sink.frame("in", body, { note: line, isBad: true });
    sink.refused(refusalOfBody(answer.status, answer.statusText, body));
    return sink.ended(line);
  }
  sink.opened([line, ...headers].join(" · "));
  const type = (answer.headers.get("content-type") ?? "").split(";")[0]!.trim();
  if (type === "text/event-stream") {
    await readEvents(answer, sink, signal);
  } else if (type === "application/jsonl") {
    await readLines(answer, sink, signal);
  } else if (type === "application/octet-stream") {
    await readBytes(answer, sink, signal);
  } else {
    const body = await answer.text();
    if (body !== "") {
      sink.value(body);
    }
  }
  if (!signal.aborted) {
    sink.frame("state", "The response is complete");
    sink.ended(`${line}, complete`);
  }
}

async function readEvents(answer: Response, sink: Sink, signal: AbortSignal): Promise<void> {
  const lines = new Lines();
  const events = new Events();
  for await (const piece of piecesOf(answer, signal)) {
    for (const line of lines.of(piece)) {
      const event = events.of(line);
      if (event !== undefined && !signal.aborted) {
        pass(event, sink);
      }
    }
  }
}

function pass({ type, data, id }: ServerEvent, sink: Sink): void {
  if (type === "message") {
    return sink.value(data, { note: id });
  }
  if (type === "append") {
    return sink.value(data, { note: `append ${id}`.trim() });
  }
  const refusal = type === "error" ? errorFrame(parsed(data)) : undefined;
  if (type === "reset") {
    sink.value('{"reset":true}', { note: "event: reset" }, { reset: true });
  } else {
    sink.frame("in", data, { note: `event: ${type}`, isBad: type === "error" || type === "lost" });
  }
  if (refusal !== undefined) {
    sink.refused(refusal);
  }
}

async function readLines(answer: Response, sink: Sink, signal: AbortSignal): Promise<void> {
  const lines = new Lines();
  const take = (line: string): void => {
    const text = line.trim(); // heartbeats are spaces
    if (text === "" || signal.aborted) {
      return;
    }
    const refusal = text.startsWith('{"error":') ? errorFrame(parsed(text)) : undefined;
    if (refusal === undefined) {
      return sink.value(text);
    }
    sink.frame("in", text, { note: "error", isBad: true });
    sink.refused(refusal);
  };
  for await (const piece of piecesOf(answer, signal)) {
    lines.of(piece).forEach(take);
  }
  take(lines.rest);
}

async function readBytes(answer: Response, sink: Sink, signal: AbortSignal): Promise<void> {
  const rest = paced();
  const reader = answer.body?.getReader();
  for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader!.read()) {
    if (!signal.aborted) {
      sink.value(part.value);
    }
    await rest();
  }
}

async function* piecesOf(answer: Response, signal: AbortSignal): AsyncGenerator<string> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  const rest = paced();
  for (
    let part = await reader?.read();
    part !== undefined && !part.done && !signal.aborted;
    part = await reader!.read()
  ) {
    yield decoder.decode(part.value, { stream: true });
    await rest();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
