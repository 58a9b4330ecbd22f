"""The clients of a row, all in one process: `python -m benchmarks.feeds.load`. It is told what to do on standard input.

It does as little as a client can, for it shares the machine with the server: one epoll, one call for each socket that
has something, and the kernel throws away what only has to be counted (`MSG_TRUNC`). Of a few connections it keeps
what came and when; that is looked at after the run. Where a value has no fixed size on the wire, values are counted in
place of bytes: what came is searched for them, once for all connections that have got the same.

Each line is `{"do": COMMAND, ...}`, a method of `Load` with its arguments; each answer is a line, too.
"""

import json
import os
import resource
import select
import socket
import struct
import sys
import time
from typing import Any

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target, connect
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.values import PATTERN, SIZE

_BUFFER = 1 << 20
_PING, _PONG = 0x89, 0x8A
_RESET = struct.pack("ii", 1, 0)

_COUNT, _TAIL, _ANSWER, _VALUES = range(4)
_MODES = {"count": _COUNT, "stall": _COUNT, "tail": _TAIL, "answer": _ANSWER, "values": _VALUES}
# The last value, with what its server wraps it in.
_TAIL_SIZE = 2 * SIZE


class Connection:
    """One socket. `mode` is what happens to what it receives; of a sampled one, that is kept, too.

    `mark` is what is counted where values are counted.
    """

    __slots__ = ("chunks", "is_sampled", "mark", "mode", "received", "socket", "tail")

    def __init__(self, connected: socket.socket, mode: int, mark: bytes, *, is_sampled: bool) -> None:
        self.socket = connected
        self.mode = mode
        self.mark = mark
        self.is_sampled = is_sampled
        self.received = 0
        self.chunks: list[tuple[int, bytes]] = []
        self.tail = b""


class Load:
    """Connections in groups, and what they have received since the last `mark`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._groups: dict[str, list[Connection]] = {}
        self._buffer = memoryview(bytearray(_BUFFER))
        self._total = self._last = self._closed = 0
        self._until: tuple[int, int, int] | None = None
        self._counted = b"", 0

    # Commands

    def connect(
        self, group: str, target: dict[str, Any], count: int, *, mode: str, every: int, mark: str
    ) -> dict[str, Any]:
        """Open connections; each `every`th is sampled. Those of mode `stall` are never read."""
        begun = time.monotonic()
        members = self._groups.setdefault(group, [])
        for number, (connected, rest) in enumerate(connect(Target(**target), range(count))):
            is_sampled = every > 0 and number % every == 0
            connection = Connection(connected, _MODES[mode], mark.encode(), is_sampled=is_sampled)
            connection.tail = rest[-SIZE:]
            members.append(connection)
            if mode != "stall":
                self._connections[connected.fileno()] = connection
                self._epoll.register(connected, select.EPOLLIN)
        return {"seconds": time.monotonic() - begun}

    def mark(self) -> dict[str, Any]:
        """Count from zero."""
        self._total = self._closed = 0
        self._last = time.monotonic_ns()
        for connection in self._connections.values():
            connection.received = 0
            connection.chunks = []
        return {}

    def wait(self, total: int, quiet: float, timeout: float) -> None:
        """Answer when so many bytes (or values) have come, or nothing for `quiet` seconds, or the time is over."""
        now = time.monotonic_ns()
        self._last = max(self._last, now) if self._total < total else self._last
        self._until = (total, int(quiet * 1e9), now + int(timeout * 1e9))

    def report(self) -> dict[str, Any]:
        """What has come since the mark, and how late it was."""
        counts = [connection.received for connection in self._connections.values()]
        sampled = [connection.chunks for connection in self._connections.values() if connection.is_sampled]
        return {
            "total": self._total,
            "least": min(counts, default=0),
            "newest": min(map(_newest, self._connections.values()), default=0),
            "closed": self._closed,
            "last": self._last,
            **Latencies.of(sampled).as_dict(),
        }

    def tails(self, group: str) -> dict[str, Any]:
        """The different last bytes of a group's connections, and how many have each."""
        found: dict[str, int] = {}
        for connection in self._groups[group]:
            text = connection.tail.decode(errors="replace")
            found[text] = found.get(text, 0) + 1
        return {"tails": found}

    def vanish(self, group: str, how: str) -> dict[str, Any]:
        """End a group: `reset`, or `half` closed with a FIN while nothing is read; `both` is half of them each."""
        for number, connection in enumerate(self._groups[group]):
            if how == "half" or (how == "both" and number % 2):
                connection.socket.shutdown(socket.SHUT_WR)
            else:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._forget(connection)
        return {"at": time.monotonic_ns()}

    def close(self, group: str) -> dict[str, Any]:
        """Close a group for good."""
        for connection in self._groups.pop(group, []):
            self._forget(connection)
        return {}

    # The loop

    def run(self) -> None:
        commands = sys.stdin.fileno()
        self._epoll.register(commands, select.EPOLLIN)
        pending = b""
        while True:
            for fd, _ in self._epoll.poll(0.01 if self._until else None):
                if fd != commands:
                    self._read(self._connections[fd])
                    continue
                more = os.read(commands, 1 << 16)
                if not more:
                    return
                *lines, pending = (pending + more).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            if self._until:
                self._end_wait(*self._until)

    def _read(self, connection: Connection) -> None:
        is_read = connection.mode or connection.is_sampled
        flags = socket.MSG_DONTWAIT if is_read else socket.MSG_DONTWAIT | socket.MSG_TRUNC
        try:
            count = connection.socket.recv_into(self._buffer, _BUFFER, flags)
        except BlockingIOError:
            return
        except ConnectionError:
            count = 0
        if not count:
            self._closed += 1
            self._forget(connection)
            return
        self._last = time.monotonic_ns()
        amount = self._take(connection, bytes(self._buffer[:count])) if is_read else count
        self._total += amount
        connection.received += amount

    def _take(self, connection: Connection, data: bytes) -> int:
        """Do what the mode says; returns how much it was, in bytes or in values."""
        if connection.is_sampled:
            connection.chunks.append((self._last, data))
        if connection.mode == _VALUES:
            return self._values(connection, data)
        if connection.mode == _TAIL:
            connection.tail = data[-SIZE:]
        elif connection.mode == _ANSWER:
            self._answer(connection.socket, data)
        return len(data)

    def _values(self, connection: Connection, data: bytes) -> int:
        """How many values have begun; one that begins in two parts is counted with the second."""
        begun = connection.tail[1 - len(connection.mark) :] + data
        connection.tail = (connection.tail + data if len(data) < _TAIL_SIZE else data)[-_TAIL_SIZE:]
        if begun != self._counted[0]:
            self._counted = begun, begun.count(connection.mark)
        return self._counted[1]

    def _answer(self, connected: socket.socket, received: bytes) -> None:
        """Answer a ping: without that, servers take an idle client for a lost one."""
        while len(received) >= 2:
            length = received[1]
            if received[0] == _PING:
                connected.sendall(bytes((_PONG, 0x80 | length)) + bytes(4) + received[2 : 2 + length])
            received = received[2 + length :]

    def _forget(self, connection: Connection) -> None:
        if (fd := connection.socket.fileno()) < 0:
            return
        if self._connections.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        connection.socket.close()

    def _end_wait(self, total: int, quiet: int, deadline: int) -> None:
        now = time.monotonic_ns()
        if self._total >= total or now - self._last > quiet or now > deadline:
            self._until = None
            _say({"total": self._total})

    def _obey(self, order: dict[str, Any]) -> None:
        try:
            answer = getattr(self, order.pop("do"))(**order)
        except (ProtocolError, OSError) as error:
            answer = {"error": f"{error}" or type(error).__name__}
        if answer is not None:
            _say(answer)


def _newest(connection: Connection) -> int:
    """The number of the last value that a connection has got, as far as that was looked at."""
    numbers = PATTERN.findall(connection.tail)
    return int(numbers[-1][1]) if numbers else 0


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main(load: type[Load]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    load().run()


if __name__ == "__main__":
    main(Load)
