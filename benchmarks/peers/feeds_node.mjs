// The `ws` package on Node.js, with the loop of its README: `node benchmarks/peers/feeds_node.mjs PORT`.
// It has no backpressure in this form: what the sockets do not take at once is buffered by Node.

import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const PADDING = "x".repeat(70);

function stamped(number) {
  const now = String(process.hrtime.bigint()).padStart(20, "0");
  return `${PADDING}|${now}|${String(number).padStart(7, "0")}|`;
}

function publish(value) {
  for (const client of sockets.clients) {
    if (client.readyState === WebSocket.OPEN) {
      client.send(value);
    }
  }
}

// The same pace as in values.py: each millisecond what is due by then, and nothing after the end.
function pace(rate, seconds, done) {
  const begun = performance.now();
  const total = Math.round(rate * seconds);
  const passed = () => (performance.now() - begun) / 1000;
  let number = 0;
  const tick = () => {
    const due = Math.min(total, Math.floor(passed() * rate) + 1);
    while (number < due && passed() < seconds) {
      number += 1;
      publish(stamped(number));
    }
    if (number >= total || passed() >= seconds) {
      done({ published: number, seconds: passed() });
      return;
    }
    const ahead = number / rate - passed();
    if (ahead > -0.01) {
      setTimeout(tick, Math.max(1, ahead * 1000));
    } else {
      setImmediate(tick);
    }
  };
  tick();
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://127.0.0.1");
  if (url.pathname === "/run") {
    const [rate, seconds] = ["rate", "seconds"].map((name) => Number(url.searchParams.get(name)));
    pace(rate, seconds, (paced) => response.end(JSON.stringify(paced)));
  } else {
    response.end(String(sockets.clients.size));
  }
});
const sockets = new WebSocketServer({ server });
server.listen(Number(process.argv[2]), "127.0.0.1");
