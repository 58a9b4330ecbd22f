// A WebSocket in a thread of its own. A browser delivers every message as an event; ten thousand per second would leave
// the page no time to paint. Here they are gathered, and the page gets them in batches, as fast as it takes them.

/** A message to this thread. */
export type Order =
  | { readonly open: string }
  | { readonly send: string | Uint8Array }
  /** The page has handled a batch. */
  | { readonly more: true };

/** A message to the page. */
export type News =
  | { readonly opened: true }
  | { readonly frames: readonly (string | ArrayBuffer)[]; readonly times: readonly number[]; readonly missed: number }
  | { readonly closed: { readonly code: number; readonly reason: string } };

/** Milliseconds between two batches: a page paints no faster. */
const PAUSE = 15;
/** Bounds of what waits for a page that is busy. */
const MOST_FRAMES = 50_000;
const MOST_CHARACTERS = 16_000_000;

let socket: WebSocket | undefined;
let frames: (string | ArrayBuffer)[] = [];
let times: number[] = [];
let characters = 0;
let missed = 0;
let isHandled = true;
let timer: ReturnType<typeof setTimeout> | undefined;
let last = 0;

function tell(news: News): void {
  postMessage(news);
}

function open(url: string): void {
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => tell({ opened: true });
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => take(data);
  socket.onclose = ({ code, reason }) => {
    pass();
    tell({ closed: { code, reason } });
  };
}

function take(data: string | ArrayBuffer): void {
  const length = typeof data === "string" ? data.length : data.byteLength;
  if (frames.length >= MOST_FRAMES || characters + length > MOST_CHARACTERS) {
    missed += 1;
    return;
  }
  frames.push(data);
  times.push(Date.now());
  characters += length;
  soon();
}

function soon(): void {
  if (isHandled && timer === undefined && frames.length > 0) {
    const wait = last + PAUSE - performance.now();
    wait > 0 ? (timer = setTimeout(pass, wait)) : pass();
  }
}

function pass(): void {
  clearTimeout(timer);
  timer = undefined;
  if (frames.length > 0) {
    tell({ frames, times, missed });
    [frames, times, characters, missed, isHandled, last] = [[], [], 0, 0, false, performance.now()];
  }
}

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  if ("open" in data) {
    open(data.open);
  } else if ("send" in data) {
    socket?.send(data.send as string | Uint8Array<ArrayBuffer>);
  } else {
    isHandled = true;
    soon();
  }
});
