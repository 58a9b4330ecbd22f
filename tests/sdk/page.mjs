// The driver in a page, with the SDK's own browser bundles; a test takes what happens from `outbox`.

import { Driver } from "./driver.mjs";

globalThis.uncaught = [];
addEventListener("error", ({ message }) => uncaught.push(message));
addEventListener("unhandledrejection", ({ reason }) => uncaught.push(String(reason)));

// The bundles are scripts that set one global name.
await import("./node_modules/centrifuge/dist/centrifuge.js");
const json = globalThis.Centrifuge;
await import("./node_modules/centrifuge/dist/centrifuge.protobuf.js");
const protobuf = globalThis.Centrifuge;

const told = [];
let wake = () => {};

const driver = new Driver({ json, protobuf }, {}, (each) => {
  told.push(each);
  wake();
});

// Does one thing, and gives what was told until it was done.
globalThis.send = async (message) => {
  await driver.take(message);
  return told.splice(0);
};

// What was told since the last time; waits until there is something, or `timeout` is over.
globalThis.receive = async (timeout) => {
  if (!told.length) {
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, timeout);
    });
    await new Promise((resolve) => setTimeout(resolve)); // what comes with it
  }
  return told.splice(0);
};

globalThis.isReady = true;
