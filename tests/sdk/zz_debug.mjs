import { createInterface } from "node:readline";
import { Centrifuge as J } from "centrifuge";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { Driver } from "./driver.mjs";
const last = new Map();
class W extends WebSocket {
  constructor(...a) { super(a[0], a[1], { allowSynchronousEvents: false });
    this.on("message", (data) => { for (const l of data.toString().split("\n")) { const d = JSON.parse(l); const p = d.push?.pub; if (p && d.push.channel.startsWith("note")) { const b = last.get(d.push.channel) ?? 0; if (p.offset !== b + 1) process.stderr.write(`RAW GAP ${d.push.channel} ${b} -> ${p.offset}\n`); last.set(d.push.channel, p.offset); } } });
  }
}
process.on("unhandledRejection", () => {});
const driver = new Driver({ json: J }, { websocket: W, eventsource: EventSource }, (told) => { if (told.event==="publication") { const b = last.get(told.of) ?? 0; if (told.offset !== b+1) process.stderr.write(`SDK GAP ${told.of} ${b} -> ${told.offset}\n`); last.set(told.of, told.offset); } process.stdout.write(`${JSON.stringify(told)}\n`); });
createInterface({ input: process.stdin }).on("line", (line) => void driver.take(JSON.parse(line))).on("close", () => process.exit());
