"""Clients that are all cut off and all come back: `python -m benchmarks.protocol.crowd`. Orders come on standard input.

Each member has one subscription. It knows its position from the reply to that and from the number of values since, and
the server says the same in the offset of each publication: where both agree at the end, nothing was lost and nothing
came twice. As in `benchmarks.feeds.load`, it does as little as a client can.

Each line is `{"do": ORDER, ...}`, a method of `Crowd` with its arguments; each answer is a line, too. Nobody reads
between two orders.
"""

import json
import resource
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.client import HOST, ProtocolError
from benchmarks.feeds.handshake import client_frame, request
from benchmarks.feeds.values import MARK
from benchmarks.protocol.commands import OFFSET, PING, PONG, Subscribed, rejoin, target

_BUFFER = 1 << 20
_RESET = struct.pack("ii", 1, 0)
_RETRY_SECONDS = 0.2
_TAIL_SIZE = 512
_AWAY, _CONNECTING, _ASKING, _JOINING, _HERE = range(5)


class Member:
    """One client. `position` is that of the last value it has got, as it has counted."""

    __slots__ = ("epoch", "here_at", "position", "received", "socket", "state", "was_recovered")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.state = _AWAY
        self.position = 0
        self.epoch = ""
        self.received = b""
        self.here_at = 0
        self.was_recovered = False

    def told(self) -> int:
        """The position that the last publication has told; 0 for none."""
        offsets = OFFSET.findall(self.received)
        return int(offsets[-1]) if offsets else 0


class Crowd:
    """All members, in one loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: list[Member] = []
        self._by_fd: dict[int, Member] = {}
        self._buffer = memoryview(bytearray(_BUFFER))
        self._waiting: deque[Member] = deque()
        self._failed: deque[tuple[float, Member]] = deque()
        self._opening = self._here = self._failures = 0
        self._counted = b"", 0
        self._port, self._channel = 0, ""

    # Orders

    def join(self, port: int, channel: str, count: int, at_once: int, timeout: float) -> dict[str, Any]:
        """So many come for the first time, and subscribe."""
        self._port, self._channel = port, channel
        self._members = [Member() for _ in range(count)]
        return self.come(at_once, timeout)

    def come(self, at_once: int, timeout: float) -> dict[str, Any]:
        """All who are away come (back), so many at the same time; answers when they are here, or the time is over."""
        begun = time.monotonic_ns()
        self._failures = 0
        self._waiting.extend(member for member in self._members if member.state == _AWAY)
        deadline = time.monotonic() + timeout
        while self._here < len(self._members) and time.monotonic() < deadline:
            while self._failed and self._failed[0][0] < time.monotonic():
                self._waiting.append(self._failed.popleft()[1])
            while self._waiting and self._opening < at_once:
                self._open(self._waiting.popleft())
            self._poll()
        took = sorted(member.here_at - begun for member in self._members if member.state == _HERE)
        return {
            "here": self._here,
            "recovered": sum(member.was_recovered for member in self._members),
            "failures": self._failures,
            "seconds": took[-1] / 1e9 if took else 0.0,
            "median": took[len(took) // 2] / 1e9 if took else 0.0,
        }

    def listen(self, seconds: float, until: int) -> dict[str, Any]:
        """Read for a while, or until all have got the value at a position (0 for none)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._poll()
            if until and all(member.position >= until for member in self._members):
                break
        return {}

    def cut(self) -> dict[str, Any]:
        """All connections are gone at once, with what was on its way."""
        for member in self._members:
            self._settle(member)
            self._drop(member)
        return {}

    def tally(self, position: int) -> dict[str, Any]:
        """How many have recovered, and have exactly this position by their own count and by what they were told."""
        exact = sum(m.was_recovered and m.position == m.told() == position for m in self._members)
        return {"exact": exact}

    # The way in

    def _open(self, member: Member) -> None:
        connected = socket.socket()
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect_ex((HOST, self._port))
        member.socket, member.state, member.received, member.was_recovered = connected, _CONNECTING, b"", False
        self._opening += 1
        self._by_fd[connected.fileno()] = member
        self._epoll.register(connected, select.EPOLLOUT)

    def _connected(self, member: Member, connected: socket.socket) -> None:
        member.state = _ASKING
        self._epoll.modify(connected, select.EPOLLIN)
        connected.sendall(request(target(self._port), 0))

    def _asked(self, member: Member, connected: socket.socket) -> None:
        head, end, rest = member.received.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head)
        member.state, member.received = _JOINING, rest
        payload = rejoin(self._channel, member.epoch, member.position)
        connected.sendall(client_frame(payload))

    def _joined(self, member: Member, _: socket.socket) -> None:
        reply = Subscribed.of(member.received)
        if reply is None:
            return
        if not reply.recovered:
            member.position = reply.offset
        member.state, member.epoch, member.was_recovered = _HERE, reply.epoch, reply.recovered
        member.here_at = time.monotonic_ns()
        member.position += member.received.count(MARK)
        member.received = member.received[-_TAIL_SIZE:]
        self._opening -= 1
        self._here += 1

    # While it is here

    def _news(self, member: Member, data: bytes) -> None:
        if PING in data and member.socket is not None:
            member.socket.sendall(PONG)
        begun = member.received[1 - len(MARK) :] + data
        member.received = (member.received + data if len(data) < _TAIL_SIZE else data)[-_TAIL_SIZE:]
        if begun != self._counted[0]:
            self._counted = begun, begun.count(MARK)
        member.position += self._counted[1]

    def _settle(self, member: Member) -> None:
        """A value of which only the beginning has come does not count."""
        told = member.told()
        if told == member.position - 1:
            member.position = told

    # The loop

    def run(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            try:
                answer = getattr(self, order.pop("do"))(**order)
            except (ProtocolError, OSError) as error:
                answer = {"error": f"{error}" or type(error).__name__}
            print(json.dumps(answer), flush=True)

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0.01):
            member = self._by_fd[fd]
            assert member.socket is not None
            try:
                self._serve(member, member.socket)
            except ConnectionError:
                self._failures += 1
                self._drop(member)
                self._failed.append((time.monotonic() + _RETRY_SECONDS, member))

    def _serve(self, member: Member, connected: socket.socket) -> None:
        if member.state == _CONNECTING:
            if connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionError
            self._connected(member, connected)
            return
        try:
            count = connected.recv_into(self._buffer)
        except BlockingIOError:
            return
        if not count:
            raise ConnectionError
        data = bytes(self._buffer[:count])
        if member.state == _HERE:
            self._news(member, data)
            return
        member.received += data
        if member.state == _ASKING:
            self._asked(member, connected)
        if member.state == _JOINING:
            self._joined(member, connected)

    def _drop(self, member: Member) -> None:
        if member.socket is None:
            return
        if member.state == _HERE:
            self._here -= 1
        elif member.state != _AWAY:
            self._opening -= 1
        self._epoll.unregister(member.socket)
        del self._by_fd[member.socket.fileno()]
        member.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        member.socket.close()
        member.socket, member.state = None, _AWAY


def main(make: Callable[[], Crowd]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    make().run()


if __name__ == "__main__":
    main(Crowd)
