// The driver as a process: a command per line of stdin, what happens as lines of stdout, until stdin ends.

import { createInterface } from "node:readline";
import { Centrifuge as JsonCentrifuge } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { Driver } from "./driver.mjs";
import { inTurns } from "./turns.mjs";

// The SDK mixes up frames that are handed over in the same turn of the loop, which `ws` does by default and pages never.
class OneByOne extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { allowSynchronousEvents: false });
  }
}

// In Node, this reads a response, too; in pages, each event has a turn of its own.
class InTurns extends EventSource {
  constructor(url, init) {
    super(url, { ...init, fetch: inTurns });
  }
}

const driver = new Driver(
  { json: JsonCentrifuge, protobuf: ProtobufCentrifuge },
  { websocket: OneByOne, eventsource: InTurns },
  (told) => process.stdout.write(`${JSON.stringify(told)}\n`),
);

// The SDK does not look at what comes of its commands beside a stream; a page only notes that one has failed.
process.on("unhandledRejection", (error) => {
  if (error?.message !== "fetch failed") throw error;
});

createInterface({ input: process.stdin })
  .on("line", (line) => void driver.take(JSON.parse(line)))
  .on("close", () => process.exit());
