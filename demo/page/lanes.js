// The three ways to the same values. A lane counts into `progress` and gives its figures; it paints nothing.

import { connect, errorIn, whyClosed } from "./connection.js";

export const LANES = [
  { name: "poll", title: "HTTP polling", values: 500, run: poll },
  { name: "plain", title: "Plain FastAPI", values: 10_000, run: (...all) => stream("/plain/text", "/plain/json", ...all) },
  { name: "wirespeed", title: "Wirespeed", values: 10_000, run: (...all) => stream("/test", "/test/json", ...all) },
];

/** What a lane has done so far: read by the painter, written by the lane. */
export class Progress {
  startedAt = null;
  endedAt = null;
  received = 0;

  constructor(values) {
    this.values = values;
  }

  get elapsed() {
    return this.startedAt === null ? 0 : ((this.endedAt ?? performance.now()) - this.startedAt) / 1000;
  }
}

async function poll(format, progress) {
  const path = format === "json" ? "/poll/json/" : "/poll/";
  const cpuSince = await serverCpu();
  let last = "";
  progress.startedAt = performance.now();
  while (progress.received < progress.values) {
    last = await get(path + (progress.received + 1));
    progress.received += 1;
  }
  progress.endedAt = performance.now();
  const cpu = await cpuSince();
  check(last, format, progress.values);
  return { seconds: progress.elapsed, cpu };
}

async function stream(textPath, jsonPath, format, progress) {
  const socket = await connect(format === "json" ? jsonPath : textPath);
  try {
    const cpuSince = await serverCpu();
    const last = await receive(socket, format === "json" ? '{"message":"hello"}' : "hi", progress);
    const cpu = await cpuSince();
    check(last, format, progress.values);
    return { seconds: progress.elapsed, cpu };
  } finally {
    socket.onclose = null;
    socket.close();
  }
}

/** Sends one message and resolves with the last value of the answer. */
function receive(socket, message, progress) {
  return new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      progress.received += 1;
      if (progress.received === progress.values) {
        progress.endedAt = performance.now();
        resolve(data);
      } else if (progress.received === 1 && errorIn(data)) {
        reject(new Error(errorIn(data)));
      }
    };
    socket.onclose = (event) => reject(new Error(whyClosed(event)));
    progress.startedAt = performance.now();
    socket.send(message);
  });
}

async function get(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store" });
  } catch {
    throw new Error("The server did not answer. Is it running?");
  }
  if (!response.ok) {
    throw new Error(`The server answered ${path} with status ${response.status}.`);
  }
  return response.text();
}

/**
 * Starts to measure the server's CPU time; the function that it resolves with tells what was used since. Asking
 * costs the server something, too: that is the difference of two questions with nothing between, and it is taken off.
 */
async function serverCpu() {
  const first = await cpuTime();
  const start = await cpuTime();
  const asking = start - first;
  return async () => (await cpuTime()) - start - asking;
}

async function cpuTime() {
  return JSON.parse(await get("/race/cpu")).seconds;
}

/** A lane that delivered something else than it should has no figures. */
function check(last, format, values) {
  const number = format === "json" ? JSON.parse(last).number : Number(last);
  if (number !== values) {
    throw new Error(`The last value should have been ${values}, and was ${last}.`);
  }
}
