// 20 feeds with 10,000 changes per second, shown as text: with the Wirespeed client, or with bare WebSockets.

const FEEDS = 20;
/** Milliseconds. The page is fresh if everything that is painted is younger. */
const FRESH = 100;
const PATIENCE = 30_000;

const elements = [];
/** The time at which the value of each element was made, in milliseconds since 1970. */
const shown = new Float64Array(FEEDS);
/** The age of each painted value. There is room for all ages from the start, so that they do not count as growth. */
const ages = new Float32Array(1_000_000);
let noted = 0;
let frames = 0;
let frame = -1;
/** The wait of a page that was blocked; null while nothing is counted. */
let waiting = null;

/** Notes that an element is painted with a value; called in the animation frame that paints it. */
function note(name, { at }) {
  ages[noted++ % ages.length] = Date.now() - at;
  shown[name] = at;
  const now = document.timeline.currentTime;
  frames += now === frame ? 0 : 1;
  frame = now;
  if (waiting !== null && Date.now() - Math.min(...shown) < FRESH) waiting.resolve(Date.now());
}

/** Counts the frames that arrive while the page waits, and the values in them that were made before it was free again. */
class CountedSocket extends WebSocket {
  constructor(...how) {
    super(...how);
    this.addEventListener("message", ({ data }) => {
      if (waiting === null) return;
      const made = [...data.matchAll(/"at":([\d.]+)/g)].map(([, at]) => Number(at));
      const old = made.filter((at) => at < waiting.since).length;
      waiting.messages += old ? 1 : 0;
      waiting.values += old;
    });
  }
}

const SHOWS = {
  async wirespeed(Socket) {
    const { connect } = await import("/live/wirespeed.js").catch(() => {
      throw new Error("/live/wirespeed.js is missing: run `npm run build:browser` in web");
    });
    const live = connect({ sdk: { websocket: Socket } });
    elements.forEach((element, name) => {
      // This function is called in the frame that paints the text.
      const text = (value) => {
        note(name, value);
        return String(value.number);
      };
      live.feed(`newest/${name}`, { maxRate: 60 }).bind(element, text);
    });
  },

  async bare(Socket) {
    const painted = new Map();
    let due = 0;
    const paint = () => {
      due = 0;
      painted.forEach((value, name) => note(name, value));
      painted.clear();
    };
    elements.forEach((element, name) => {
      const socket = new Socket(new URL(`/all/${name}`, location.href.replace("http", "ws")));
      socket.onmessage = ({ data }) => {
        const value = JSON.parse(data);
        element.textContent = String(value.number);
        painted.set(name, value);
        due ||= requestAnimationFrame(paint);
      };
    });
  },
};

/** Shows the feeds; resolves when each has been painted. */
export async function start(name, isCounted) {
  for (let each = 0; each < FEEDS; each += 1) {
    elements.push(document.getElementById("prices").appendChild(document.createElement("li")));
  }
  await SHOWS[name](isCounted ? CountedSocket : WebSocket);
  const deadline = performance.now() + PATIENCE;
  while (shown.includes(0)) {
    if (performance.now() > deadline) throw new Error("no value arrived");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Counts from zero. */
export function reset() {
  noted = frames = 0;
}

/** Returns the number of frames and texts that were painted since, and their age in milliseconds. */
export function report() {
  const sorted = ages.slice(0, Math.min(noted, ages.length)).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
  return { frames, texts: noted, median: at(0.5), p99: at(0.99) };
}

/**
 * Blocks the page for some milliseconds. Then returns the milliseconds until everything painted is fresh (null if not
 * within half a minute), the frames and values that were waiting and came before that, and the age of the oldest text
 * `before` the block.
 */
export async function block(milliseconds) {
  const before = Date.now() - Math.min(...shown);
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
  const fresh = new Promise((resolve) => {
    waiting = { resolve, since: Date.now(), messages: 0, values: 0 };
    setTimeout(() => resolve(null), PATIENCE);
  });
  const at = await fresh;
  const { since, messages, values } = waiting;
  waiting = null;
  return { before, fresh: at === null ? null : at - since, messages, values };
}
