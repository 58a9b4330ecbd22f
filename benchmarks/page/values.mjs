// 10,000 values in several ways. Each way opens its connection first; then it runs as often as it is asked to.

const COUNT = 10_000;
const HELLO = { message: "hello" };
/** The number of requests that are timed if each value takes one; the rest is extrapolated. */
const REQUESTS = 1_000;

/** Handles values, whichever way they arrive: looks at each, and shows the last one once per frame. */
export class Handler {
  #count = 0;
  #sum = 0;
  #last = null;
  #frame = 0;
  #finish = null;

  /** @param {number} expected The number of values. */
  constructor(expected) {
    this.expected = expected;
    this.finished = new Promise((resolve) => (this.#finish = resolve));
  }

  handle(value) {
    this.#count += 1;
    this.#sum += value.number;
    this.#last = value;
    this.#frame ||= requestAnimationFrame(this.#paint);
    if (this.#count === this.expected) this.#finish(performance.now());
  }

  /** Throws unless all values have arrived, and the right ones. */
  check() {
    const { expected } = this;
    const isRight = this.#sum === (expected * (expected + 1)) / 2 && this.#last.message === `hello - ${expected}`;
    if (this.#count !== expected || !isRight) throw new Error(`not the values that were requested: ${JSON.stringify(this.#last)}`);
  }

  #paint = () => {
    this.#frame = 0;
    document.getElementById("last").textContent = this.#last.message;
  };
}

/** One request for each value. */
async function polling() {
  return {
    expected: REQUESTS,
    async run(handler) {
      for (let number = 1; number <= REQUESTS; number += 1) {
        handler.handle(await (await fetch(`/value/${number}`)).json());
      }
    },
  };
}

/** One frame for each value, on the page's own WebSocket. */
async function bare(path) {
  const socket = new WebSocket(new URL(path, location.href.replace("http", "ws")));
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
  return {
    expected: COUNT,
    run(handler) {
      socket.onmessage = ({ data }) => handler.handle(JSON.parse(data));
      socket.send(JSON.stringify(HELLO));
    },
  };
}

/** Loads a script of the server, or says what to do if it is missing. */
async function load(path, remedy) {
  return import(path).catch(() => {
    throw new Error(`${path} is missing: ${remedy}`);
  });
}

/** The official package: one event for each value. */
async function sdk() {
  await load("/sdk/centrifuge.js", "run `npm ci` in benchmarks/peers"); // sets a global name
  const client = new Centrifuge(new URL("/live/websocket", location.href.replace("http", "ws")).href);
  client.connect();
  await client.ready();
  let runs = 0;
  return {
    expected: COUNT,
    run(handler) {
      const subscription = client.newSubscription(`values#${(runs += 1)}`, { data: HELLO });
      subscription.on("publication", ({ data }) => handler.handle(data));
      subscription.on("unsubscribed", () => client.removeSubscription(subscription));
      subscription.subscribe();
    },
  };
}

/** The Wirespeed client, connected. */
async function connected() {
  const { connect } = await load("/live/wirespeed.js", "run `npm run build:browser` in web");
  const live = connect();
  await new Promise((resolve) => live.status.subscribe(({ state }) => state === "connected" && resolve()));
  return live;
}

/** Value by value. */
async function iterate() {
  const live = await connected();
  return {
    expected: COUNT,
    async run(handler) {
      for await (const value of live.stream("values", HELLO)) handler.handle(value);
    },
  };
}

/** All values that have arrived at once. */
async function batches() {
  const live = await connected();
  return {
    expected: COUNT,
    async run(handler) {
      for await (const values of live.stream("values", HELLO).batches()) {
        for (const value of values) handler.handle(value);
      }
    },
  };
}

/** One `JSON.parse` of the same values, which a page has in its memory: no page can be faster. */
async function parse() {
  const values = Array.from({ length: COUNT }, (_, at) => ({ message: `hello - ${at + 1}`, number: at + 1 }));
  const text = JSON.stringify(values);
  return {
    expected: COUNT,
    run(handler) {
      for (const value of JSON.parse(text)) handler.handle(value);
    },
  };
}

const WAYS = { parse, polling, plain: () => bare("/plain"), raw: () => bare("/values"), sdk, iterate, batches };
const open = new Map();

/** Chromium reports tasks of 50 ms and more; other browsers report none. */
const tasks = [];
if (PerformanceObserver.supportedEntryTypes.includes("longtask")) {
  new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: "longtask" });
}

/** Opens a way's connection, and runs it twice: code that runs for the first time is slow. */
export async function prepare(name) {
  open.set(name, await WAYS[name]());
  await timed(name);
  await timed(name);
}

/**
 * Runs a way once. `milliseconds` is the time of 10,000 values, from the request to the last one handled; `scale` is
 * the number of runs that would be.
 */
export async function timed(name) {
  const way = open.get(name);
  const handler = new Handler(way.expected);
  const scale = COUNT / way.expected;
  const began = performance.now();
  const [ended] = await Promise.all([handler.finished, way.run(handler)]);
  handler.check();
  return { milliseconds: (ended - began) * scale, scale, began, ended };
}

/** Returns the longest task that was reported for a span of time, in milliseconds; 0 if there was none of 50 ms. */
export function longest(began, ended) {
  const within = tasks.filter(({ startTime, duration }) => startTime < ended && startTime + duration > began);
  return Math.max(0, ...within.map(({ duration }) => duration));
}

/** Runs a way once more; returns the longest time for which nothing else had its turn, in milliseconds. */
export async function gap(name) {
  const { port1, port2 } = new MessageChannel();
  let [isOver, found, last] = [false, 0, performance.now()];
  port2.onmessage = () => {
    const now = performance.now();
    found = Math.max(found, now - last);
    last = now;
    if (!isOver) port1.postMessage(null);
  };
  port1.postMessage(null);
  await timed(name);
  isOver = true;
  return Math.max(found, performance.now() - last);
}
