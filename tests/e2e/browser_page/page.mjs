// What tests work with in the page: the client, connected, and recorders of what it gives.

import { connect, WirespeedError } from "/live/wirespeed.js";

const live = connect({ sdk: { timeout: 180_000 } }); // the SDK's five seconds may pass on a slow machine
const states = [];
live.status.subscribe((status) => states.push(status));

/** The time of the animation frame that runs now: the same for all that is done in one. */
const frame = () => document.timeline.currentTime;

/** Keeps what a listener is called with, the frame of each call, and when it was called. */
function recorder() {
  const calls = [];
  const listener = (value) => calls.push({ value, frame: frame(), at: Date.now() });
  return { calls, listener };
}

/** Reads a stream, at most `most` values of it; what it gave, and the error that ended it. */
async function read(stream, most = Infinity) {
  const values = [];
  try {
    for await (const value of stream) {
      values.push(value);
      if (values.length >= most) break;
    }
  } catch (error) {
    return { values, error: described(error) };
  }
  return { values, error: null };
}

/** An error, as far as tests look at it. */
function described(error) {
  return { ours: error instanceof WirespeedError, code: error.code, message: error.message };
}

/** What a promise is rejected with. */
async function failure(promise) {
  return promise.then(() => null, described);
}

/** Keeps the page from doing anything else. */
function block(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** Asks the app without giving the page back its turn: nothing else comes in meanwhile. */
function blocking(method, path, body) {
  const request = new XMLHttpRequest();
  request.open(method, path, false);
  request.setRequestHeader("Content-Type", "application/json");
  request.send(body && JSON.stringify(body));
  return request.responseText;
}

/** Lets the app publish, and keeps the page from doing anything else until it has. */
const blockingPublish = (channel, values, pause = 0) =>
  void blocking("POST", "/app/publish", { channel, values, pause });

/** How many values of a feed the server has sent so far. */
const delivered = (path) => JSON.parse(blocking("GET", "/state")).delivered[path];

/** Resolves once a frame was painted. */
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

Object.assign(globalThis, { live, connect, states, recorder, read, failure, block, blockingPublish, delivered, painted });
globalThis.isReady = true;
