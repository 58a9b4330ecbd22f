"""The clients of a server, all in one process: `python -m benchmarks.clients`. Orders come on standard input.

The process does as little as a client can, because it shares the machine with the server: one epoll, one call for each
socket that has something, and the kernel discards what only has to be counted (`MSG_TRUNC`). Of a few connections it
keeps what came and when, and looks at that after the run. Where a value has no fixed size on the wire, values are
counted instead of bytes: what came is searched for them, once for all connections that have received the same.

Each order is the name of a method of `Load` with its arguments.
"""

import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.processes import allow_files, obey
from benchmarks.values import PATTERN, SIZE
from benchmarks.websocket import Endpoint, client_frame, connect, payloads

PROTOCOL_PING = b"\x81\x02{}"
PROTOCOL_PONG = client_frame(b"{}")

_BUFFER = 1 << 20
_PING, _PONG = 0x89, 0x8A
RESET = struct.pack("ii", 1, 0)

_COUNT, _TAIL, _ANSWER, _VALUES = range(4)
_MODES = {"count": _COUNT, "stall": _COUNT, "tail": _TAIL, "answer": _ANSWER, "values": _VALUES}
# The last value, with what its server wraps it in.
_TAIL_SIZE = 2 * SIZE

Chunk = tuple[int, bytes]


class Connection:
    """One socket. `mode` says what happens to the data that it receives; a sampled connection keeps it, too.

    `mark` is what is counted in the mode `values`.
    """

    __slots__ = ("chunks", "is_sampled", "mark", "mode", "received", "socket", "tail")

    def __init__(self, connected: socket.socket, mode: int, mark: bytes, *, is_sampled: bool) -> None:
        self.socket = connected
        self.mode = mode
        self.mark = mark
        self.is_sampled = is_sampled
        self.received = 0
        self.chunks: list[Chunk] = []
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

    # Orders

    def connect(
        self, group: str, endpoint: dict[str, Any], count: int, *, mode: str, every: int, mark: str
    ) -> dict[str, Any]:
        """Open connections; each `every`th is sampled. Those of mode `stall` are never read."""
        begun = time.monotonic()
        members = self._groups.setdefault(group, [])
        for number, (connected, rest) in enumerate(connect(Endpoint(**endpoint), range(count))):
            is_sampled = every > 0 and number % every == 0
            connection = Connection(connected, _MODES[mode], mark.encode(), is_sampled=is_sampled)
            connection.tail = rest[-SIZE:]
            members.append(connection)
            if mode != "stall":
                self._connections[connected.fileno()] = connection
                self._epoll.register(connected, select.EPOLLIN)
        return {"seconds": time.monotonic() - begun}

    def send(self, group: str, line: str, count: int, step: int = 0) -> dict[str, Any]:
        """Send one frame with `count` lines from each connection of a group, all at once.

        `<id>` in the line is replaced by the number of the command, and `<number>` by a number that begins with 0 for
        the first connection and `step` higher for each further one.
        """
        members = self._groups[group]
        frames = [client_frame(_lines(line, at * step, count)) for at in range(len(members))]
        begun = time.monotonic_ns()
        for connection, frame in zip(members, frames, strict=True):
            connection.socket.sendall(frame)
        return {"at": begun}

    def look_for(self, mark: str) -> dict[str, Any]:
        """Count something else from now on."""
        for connection in self._connections.values():
            connection.mark = mark.encode()
        return {}

    def mark(self) -> dict[str, Any]:
        """Count from zero."""
        self._total = self._closed = 0
        self._last = time.monotonic_ns()
        for connection in self._connections.values():
            connection.received = 0
            connection.chunks = []
        return {}

    def wait(self, total: int, quiet: float, timeout: float) -> None:
        """Answer after `total` bytes or values, after `quiet` seconds without any, or after the timeout."""
        now = time.monotonic_ns()
        self._last = max(self._last, now) if self._total < total else self._last
        self._until = (total, int(quiet * 1e9), now + int(timeout * 1e9))

    def report(self) -> dict[str, Any]:
        """Return what has come since the mark, and how late it was."""
        counts = [connection.received for connection in self._connections.values()]
        sampled = [connection.chunks for connection in self._connections.values() if connection.is_sampled]
        return {
            "total": self._total,
            "least": min(counts, default=0),
            "newest": min(map(_newest, self._connections.values()), default=0),
            "closed": self._closed,
            "last": self._last,
            **latencies(sampled),
        }

    def tails(self, group: str) -> dict[str, Any]:
        """Return the different last bytes of a group's connections, and how many connections have each."""
        found: dict[str, int] = {}
        for connection in self._groups[group]:
            text = connection.tail.decode(errors="replace")
            found[text] = found.get(text, 0) + 1
        return found

    def frames(self, group: str) -> dict[str, Any]:
        """Return how many complete frames the sampled connections of a group have received since the mark."""
        sampled = [member for member in self._groups[group] if member.is_sampled]
        received = [b"".join(data for _, data in member.chunks) for member in sampled]
        return {"frames": sum(len(list(payloads(each))) for each in received)}

    def numbers(self, group: str) -> dict[str, Any]:
        """Return when each value has come to the sampled connections of a group, and its number."""
        sampled = [member for member in self._groups[group] if member.is_sampled]
        return {"values": [[(arrived, number) for arrived, _, number in _arrivals(each.chunks)] for each in sampled]}

    def vanish(self, group: str, how: str) -> dict[str, Any]:
        """End a group by `reset`, or `half`: closed with a FIN while nothing is read."""
        for connection in self._groups[group]:
            if how == "half":
                connection.socket.shutdown(socket.SHUT_WR)
            else:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self._forget(connection)
        return {"at": time.monotonic_ns()}

    def close(self, group: str) -> dict[str, Any]:
        """Close a group."""
        for connection in self._groups.pop(group, []):
            self._forget(connection)
        return {}

    # The loop

    def run(self) -> None:
        """Serve the sockets and the orders until standard input ends."""
        orders = sys.stdin.fileno()
        self._epoll.register(orders, select.EPOLLIN)
        pending = b""
        while True:
            for fd, _ in self._epoll.poll(0.01 if self._until else None):
                if fd != orders:
                    self._read(self._connections[fd])
                    continue
                more = os.read(orders, 1 << 16)
                if not more:
                    return
                *lines, pending = (pending + more).split(b"\n")
                for line in lines:
                    obey(self, line)
            if self._until:
                self._end_wait(*self._until)

    def _end_wait(self, total: int, quiet: int, deadline: int) -> None:
        now = time.monotonic_ns()
        if self._total >= total or now - self._last > quiet or now > deadline:
            self._until = None
            print("{}", flush=True)

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
        """Do what the mode says; return the number of bytes or of values."""
        if connection.is_sampled:
            connection.chunks.append((self._last, data))
        if connection.mode == _VALUES:
            if PROTOCOL_PING in data:
                connection.socket.sendall(PROTOCOL_PONG)
            return self._values(connection, data)
        if connection.mode == _TAIL:
            connection.tail = data[-SIZE:]
        elif connection.mode == _ANSWER:
            self._answer(connection.socket, data)
        return len(data)

    def _values(self, connection: Connection, data: bytes) -> int:
        """Return how many values have begun; one that begins in two parts is counted with the second."""
        begun = connection.tail[1 - len(connection.mark) :] + data
        connection.tail = (connection.tail + data if len(data) < _TAIL_SIZE else data)[-_TAIL_SIZE:]
        if begun != self._counted[0]:
            self._counted = begun, begun.count(connection.mark)
        return self._counted[1]

    def _answer(self, connected: socket.socket, received: bytes) -> None:
        """Answer a ping: without an answer, servers take an idle client for a lost one."""
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


def latencies(sampled: Sequence[Sequence[Chunk]]) -> dict[str, float]:
    """Return the milliseconds from publishing a value to receiving it, and how many values a connection never saw."""
    late: list[int] = []
    gaps = 0
    for chunks in sampled:
        before = None
        for arrived, made, number in _arrivals(chunks):
            late.append(arrived - made)
            gaps += before is not None and number != before + 1
            before = number
    late.sort()
    median, p99 = (late[int(share * (len(late) - 1))] if late else 0 for share in (0.5, 0.99))
    return {"median": median / 1e6, "p99": p99 / 1e6, "gaps": gaps}


def _arrivals(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int, int]]:
    """Yield when each value was complete, when it was made, and its number."""
    whole = b"".join(data for _, data in chunks)
    ends = _ends(chunks)
    end, arrived = next(ends, (0, 0))
    for found in PATTERN.finditer(whole):
        while found.end() > end:
            end, arrived = next(ends)
        yield arrived, int(found[1]), int(found[2])


def _ends(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
    end = 0
    for arrived, data in chunks:
        end += len(data)
        yield end, arrived


def _lines(line: str, first: int, count: int) -> bytes:
    return "\n".join(
        line.replace("<id>", str(each + 2)).replace("<number>", str(first + each)) for each in range(count)
    ).encode()


def _newest(connection: Connection) -> int:
    """Return the number of the last value that a connection has received, if that was looked at."""
    numbers = PATTERN.findall(connection.tail)
    return int(numbers[-1][1]) if numbers else 0


if __name__ == "__main__":
    allow_files()
    Load().run()
