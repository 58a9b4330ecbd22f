"""The floor of a fan-out: the same bytes by bare `send()` calls, `python -m benchmarks.peers.bare_send PORT`.

No event loop, no parser, and no client leaves: every 20 ms, everything that is due is joined once, and each socket gets
it in one system call.
"""

import json
import select
import socket
import sys
import time
from urllib.parse import parse_qs, urlsplit

from benchmarks.values import SIZE, stamped

_ROUND = 0.02
_HEADER = bytes((0x81, SIZE))
_UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Floor:
    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}

    def serve(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._epoll.unregister(fd)
                    self._clients.pop(fd).close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(5)
        request = connection.recv(4096)
        connection.settimeout(None)
        if b"Upgrade: websocket" not in request:
            self._answer(connection, request)
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_UPGRADE)
        self._clients[connection.fileno()] = connection
        self._epoll.register(connection, select.EPOLLIN)

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        if not request:
            return
        url = urlsplit(request.split()[1].decode())
        query = {name: float(values[0]) for name, values in parse_qs(url.query).items()}
        answer = json.dumps(self._run(**query) if url.path == "/run" else len(self._clients))
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode())

    def _run(self, rate: float, seconds: float) -> dict[str, float]:
        begun = time.perf_counter()
        number, total = 0, round(rate * seconds)
        sends = [client.send for client in self._clients.values()]
        while number < total and (passed := time.perf_counter() - begun) < seconds:
            due = min(total, int(passed * rate) + 1)
            frames = b"".join(_HEADER + stamped(each).encode() for each in range(number + 1, due + 1))
            number = due
            for send in sends:
                send(frames)
            time.sleep(max(0.0, _ROUND - (time.perf_counter() - begun - passed)))
        return {"published": number, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    Floor(int(sys.argv[1])).serve()
