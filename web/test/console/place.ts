// The surroundings of the console in tests: its server, and the document of its app.

import { vi } from "vitest";
import type { Figures, Overview, Process, Row } from "../../console/src/data.js";
import type { AsyncApi, Kind } from "../../console/src/document.js";

/** A connection that the page has opened. */
export class Socket {
  static readonly OPEN = 1;
  readyState = 1;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(readonly url: URL) {
    sockets.push(this);
  }

  send(value: unknown): void {
    this.onmessage?.({ data: JSON.stringify(value) });
  }

  /** Ends the connection, as the server or the network does it. */
  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  close(): void {
    this.readyState = 3;
  }
}

export const sockets: Socket[] = [];

/** Requests that the page has made, and the status that they are answered with. */
export const requests: { url: string; body: string | null }[] = [];

let status = 200;

export function answerWith(code: number): void {
  status = code;
}

/** Puts the page in front of a server that has this document. */
export function serve(document: AsyncApi = documentOf()): void {
  sockets.length = 0;
  requests.length = 0;
  status = 200;
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("fetch", async (url: URL, options: RequestInit = {}) => {
    requests.push({ url: String(url), body: typeof options.body === "string" ? options.body : null });
    return new Response(String(url).endsWith("asyncapi.json") ? JSON.stringify(document) : null, { status });
  });
}

/** Returns the newest open connection to a feed of the console. */
export function socketOf(name: string): Socket {
  const found = sockets.filter(({ url, readyState }) => url.pathname.endsWith(`console/${name}`) && readyState === 1).at(-1);
  if (!found) {
    throw new Error(`no connection to ${name}`);
  }
  return found;
}

export function documentOf(...paths: (readonly [path: string, kind: Kind, summary?: string])[]): AsyncApi {
  const channels = paths.map(([path, kind, summary = ""], index) => [
    `c${index}`,
    {
      address: path,
      summary,
      "x-wirespeed": {
        kind,
        path,
        channel: path.slice(1),
        parameters: [],
        surfaces: [],
        encoding: "json" as const,
        value: { type: "integer" },
        message: null,
      },
    },
  ]);
  return { asyncapi: "3.0.0", info: { title: "Shop", version: "2" }, channels: Object.fromEntries(channels) };
}

const RUNS = { active: 0, completed: 0, refused: 0, failed: 0, cancelled: 0 };

export function figures(own: Partial<Figures> = {}): Figures {
  const zero = { keys: 0, watchers: 0, published: 0, delivered: 0, skipped: 0, lost: 0, failed: 0, restarts: 0 };
  return { ...zero, failing: 0, bytes: 0, runs: RUNS, ...own };
}

/** Returns the row of a feed by the figures of its processes. Its sums are those of numbers. */
export function rowOf(path: string, by: Record<string, Partial<Figures>>, own: Partial<Row> = {}): Row {
  const by_process = Object.fromEntries(Object.entries(by).map(([name, each]) => [name, figures(each)]));
  const sums: Record<string, number> = {};
  for (const each of Object.values(by_process)) {
    for (const [name, value] of Object.entries(each)) {
      sums[name] = (sums[name] ?? 0) + (typeof value === "number" ? value : 0);
    }
  }
  return { ...figures(), ...sums, runs: RUNS, path, kind: "feed", by_process, producers: {}, ...own };
}

export function processOf(name: string, own: Partial<Process> = {}): Process {
  const zero = { uptime: 5, cpu: 0.1, memory: 50e6, connections: 0, clients: 0, runs: 0, messages: 0, bytes: 0 };
  const broker = { state: "none", seconds: 0, problem: null, waiting: 0 };
  return { ...zero, name, host: "host", pid: name === "one" ? 1 : 2, loop_lag: null, lanes: {}, refused: {}, broker, answered: true, ...own };
}

export function overviewOf(at: number, definitions: Row[], names = ["one"]): Overview {
  const app = { title: "Shop", version: "2" };
  return {
    at,
    app,
    self: "one",
    may_disconnect: true,
    prefix: "/live",
    processes: names.map((name) => processOf(name)),
    definitions,
  };
}

/** Lets promises, effects and renderings pass. */
export async function pass(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await vi.advanceTimersByTimeAsync(20);
  }
}
