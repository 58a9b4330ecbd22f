// The `ws` package on Node.js, as in its README: `node benchmarks/peers/node_ws.mjs PORT`.
// It has no backpressure in this form: what the socket does not take at once is buffered by Node.

import { WebSocketServer } from "ws";

const COUNT = 10_000;

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

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("connection", (socket, request) => {
  const send = request.url === "/text" ? sendText : sendJson;
  socket.on("message", (data) => send(socket, data));
});
