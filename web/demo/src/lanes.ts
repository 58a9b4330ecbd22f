// The four ways to get the same values. A lane counts into its progress and returns its figures; it paints nothing.

import { errorIn, open, whyClosed } from "./connection.js";
import { live } from "./live.js";

export type Format = "text" | "json";

export type LaneName = "poll" | "plain" | "wirespeed" | "client";

/** The time of a lane, in seconds. */
export interface Figures {
  /** Time in this page. */
  seconds: number;
  /** CPU time of the server. */
  cpu: number;
  /** The process of the server. */
  process: number;
}

export interface Lane {
  name: LaneName;
  title: string;
  values: number;
  run(format: Format, progress: Progress): Promise<Figures>;
}

interface Tick {
  message: string;
  number: number;
}

const HELLO = { message: "hello" };

export const LANES: readonly Lane[] = [
  { name: "poll", title: "HTTP polling", values: 500, run: poll },
  { name: "plain", title: "Plain FastAPI", values: 10_000, run: (...all) => bare("/plain/text", "/plain/json", ...all) },
  { name: "wirespeed", title: "Wirespeed", values: 10_000, run: (...all) => bare("/test", "/test/json", ...all) },
  { name: "client", title: "Wirespeed client", values: 10_000, run: client },
];

/** The progress of a lane: the lane writes it, and the painter reads it. */
export class Progress {
  startedAt: number | null = null;
  endedAt: number | null = null;
  received = 0;

  readonly values: number;

  constructor(values: number) {
    this.values = values;
  }

  get elapsed(): number {
    return this.startedAt === null ? 0 : ((this.endedAt ?? performance.now()) - this.startedAt) / 1000;
  }
}

async function poll(format: Format, progress: Progress): Promise<Figures> {
  const path = format === "json" ? "/poll/json/" : "/poll/";
  const cpuSince = await serverCpu();
  let last = "";
  progress.startedAt = performance.now();
  while (progress.received < progress.values) {
    last = await get(path + (progress.received + 1));
    progress.received += 1;
  }
  progress.endedAt = performance.now();
  const used = await cpuSince();
  check(JSON.parse(last) as number | Tick, progress.values);
  return { seconds: progress.elapsed, ...used };
}

async function bare(textPath: string, jsonPath: string, format: Format, progress: Progress): Promise<Figures> {
  const socket = await open(format === "json" ? jsonPath : textPath);
  try {
    const cpuSince = await serverCpu();
    const last = await receive(socket, format === "json" ? JSON.stringify(HELLO) : "hi", progress);
    const used = await cpuSince();
    check(JSON.parse(last) as number | Tick, progress.values);
    return { seconds: progress.elapsed, ...used };
  } finally {
    socket.onclose = null;
    socket.close();
  }
}

/** Sends one message and resolves with the last value of the answer. */
function receive(socket: WebSocket, message: string, progress: Progress): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      progress.received += 1;
      if (progress.received === progress.values) {
        progress.endedAt = performance.now();
        resolve(data);
      } else if (progress.received === 1) {
        const error = errorIn(data);
        if (error) {
          reject(new Error(error));
        }
      }
    };
    socket.onclose = (event) => reject(new Error(whyClosed(event)));
    if (socket.readyState === WebSocket.CLOSED) {
      reject(new Error("The connection was lost before the message was sent.")); // that event is over
    }
    progress.startedAt = performance.now();
    socket.send(message);
  });
}

/** Runs the same generators through the browser client, on the page's own connection. */
async function client(format: Format, progress: Progress): Promise<Figures> {
  const cpuSince = await serverCpu();
  const run = format === "json" ? live.stream<Tick>("test/json", HELLO) : live.stream<string>("test", "hi");
  let last: Tick | string = "";
  progress.startedAt = performance.now();
  for await (const value of run) {
    last = value;
    progress.received += 1;
  }
  progress.endedAt = performance.now();
  const used = await cpuSince();
  check(typeof last === "string" ? Number(last) : last, progress.values);
  return { seconds: progress.elapsed, ...used };
}

async function get(path: string): Promise<string> {
  let response;
  try {
    response = await fetch(path, { cache: "no-store" });
  } catch {
    throw new Error("The server did not answer. Is it running?");
  }
  if (response.status === 409) {
    throw new Error(((await response.json()) as { detail: string }).detail);
  }
  if (!response.ok) {
    throw new Error(`The server answered ${path} with status ${response.status}.`);
  }
  return response.text();
}

/**
 * Starts to measure the server's CPU time; resolves to a function that returns the time used since. A request for it
 * costs CPU time, too: two requests in a row show how much, and that is subtracted.
 */
async function serverCpu(): Promise<() => Promise<Used>> {
  const first = await cpuTime();
  const start = await cpuTime();
  const asking = start.cpu - first.cpu;
  return async () => {
    const end = await cpuTime();
    checkProcess(first.process, end.process);
    return { process: end.process, cpu: end.cpu - start.cpu - asking };
  };
}

/** The CPU time of one process. */
type Used = Pick<Figures, "cpu" | "process">;

async function cpuTime(): Promise<Used> {
  const { seconds, process } = JSON.parse(await get("/race/cpu")) as { seconds: number; process: number };
  return { cpu: seconds, process };
}

/** Throws if the server is another process than before: figures of two servers cannot be compared. */
export function checkProcess(before: number, now: number): void {
  if (now !== before) {
    throw new Error("The server has restarted meanwhile.");
  }
}

/** Throws if the last value is not the right one; such a lane gets no figures. */
function check(last: number | Tick, values: number): void {
  const number = typeof last === "number" ? last : last.number;
  if (number !== values) {
    throw new Error(`The last value should have been ${values}, but was ${number}.`);
  }
}
