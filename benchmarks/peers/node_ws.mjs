// The `ws` package on Node.js, as in its README: `node benchmarks/peers/node_ws.mjs PORT`.
// It has no backpressure in this form: Node buffers what the sockets do not take at once.

import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const COUNT = 10_000;
const PADDING = "x".repeat(70);

// Streams

function sendText(socket) {
  for (let number = 1; number <= COUNT; number++) {
    socket.send(String(number));
  }
}

function sendJson(socket, data) {
  const hello = JSON.parse(data);
  for (let number = 1; number <= COUNT; number++) {
    socket.send(JSON.stringify({ message: `${hello.message} - ${number}`, number }));
  }
}

// Fan-out

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

// The pace of values.py: each millisecond what is due by then, and nothing after the end.
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
const streams = { "/text": sendText, "/dict": sendJson };
sockets.on("connection", (socket, request) => {
  const send = streams[request.url];
  if (send) {
    socket.on("message", (data) => send(socket, data));
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1");
