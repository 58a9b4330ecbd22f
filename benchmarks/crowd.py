"""Clients that all lose their connections and all return: `python -m benchmarks.crowd`. Orders come on standard input.

Each member has one subscription. It knows its position from the reply to that and from the number of values since, and
the server says the same in the offset of each publication: if both agree at the end, nothing was lost and nothing came
twice. As in `benchmarks.clients`, a member does as little as a client can.

A member whose server ends its connection tries the next server. Each order is the name of a method of `Crowd` with its
arguments. Sockets are not read between two orders.
"""

import re
import select
import socket
import sys
import time
from collections import deque
from typing import Any

from benchmarks.clients import PROTOCOL_PING, PROTOCOL_PONG, RESET
from benchmarks.processes import allow_files, obey
from benchmarks.roster import CONNECT, WEBSOCKET, subscribe
from benchmarks.values import MARK
from benchmarks.websocket import HOST, Endpoint, ProtocolError, client_frame, payloads

_BUFFER = 1 << 20
_RETRY_SECONDS = 0.2
_TAIL_SIZE = 512
_AWAY, _CONNECTING, _ASKING, _JOINING, _HERE = range(5)
_OFFSET = re.compile(rb'"offset":(\d+)\}\}\}')
"""The position in a complete publication."""
_EPOCH = re.compile(rb'"epoch":"([^"]*)"')
_TOP = re.compile(rb'"offset":(\d+)')


class Member:
    """One client. `place` is the index of its server. `position` is that of the last value it has received, by its own
    count; None of `missed` if it has always recovered, otherwise the number of values in between."""

    __slots__ = ("epoch", "here_at", "missed", "place", "position", "received", "socket", "state", "was_recovered")

    def __init__(self, place: int) -> None:
        self.place = place
        self.missed: int | None = None
        self.socket: socket.socket | None = None
        self.state = _AWAY
        self.position = 0
        self.epoch = ""
        self.received = b""
        self.here_at = 0
        self.was_recovered = False

    def offset(self) -> int:
        """Return the offset of the last publication; 0 if there was none."""
        offsets = _OFFSET.findall(self.received)
        return int(offsets[-1]) if offsets else 0

    def join(self, channel: str) -> bytes:
        """Return the first frame: it connects, and subscribes from the member's position if it has one."""
        position = {"recover": True, "epoch": self.epoch, "offset": self.position} if self.epoch else {}
        return client_frame(f"{CONNECT}\n{subscribe(channel, '2', **position)}".encode())

    def has_joined(self) -> bool:
        """Read the reply to the subscribe command; return False if it is not complete yet.

        The reply is searched and not parsed: it may hold hundreds of publications.
        """
        for payload in payloads(self.received):
            _, found, rest = payload.partition(b'{"id":2,')
            if found:
                self._read_reply(rest.partition(b"\n")[0])
                return True
        return False

    def _read_reply(self, line: bytes) -> None:
        epoch, top = _EPOCH.search(line), _TOP.findall(line)
        if epoch is None:
            raise ProtocolError(f"not subscribed: {line[:100]!r}")
        is_back, self.was_recovered = bool(self.epoch), b'"recovered":true' in line
        self.epoch = epoch[1].decode()
        if not self.was_recovered:
            now = int(top[-1]) if top else 0
            if is_back:
                self.missed = (self.missed or 0) + max(0, now - self.position)
            self.position = now


class Crowd:
    """All members, in one loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: list[Member] = []
        self._by_fd: dict[int, Member] = {}
        self._buffer = memoryview(bytearray(_BUFFER))
        self._waiting: deque[Member] = deque()
        self._failed: deque[tuple[float, Member]] = deque()
        self._opening = self._here = self._failures = self._dropped = 0
        self._counted = b"", 0
        self._ports: list[int] = []
        self._channel = ""

    # Orders

    def join(self, ports: list[int], channel: str, count: int, at_once: int, timeout: float) -> dict[str, Any]:
        """Connect and subscribe for the first time, evenly to all ports."""
        self._ports, self._channel = ports, channel
        self._members = [Member(at % len(ports)) for at in range(count)]
        return self.come(at_once, timeout)

    def come(self, at_once: int, timeout: float, lost: int = 0) -> dict[str, Any]:
        """Connect all members that are away, `at_once` at the same time; answer when all are here or after the timeout.

        With `lost`, first wait until that number of members has lost its connections. The times count from the order
        until the last member and until half of those that were away were here.
        """
        begun = time.monotonic_ns()
        self._failures = self._dropped = 0
        known = {*self._waiting, *(member for _, member in self._failed)}
        self._waiting.extend(each for each in self._members if each.state == _AWAY and each not in known)
        deadline = time.monotonic() + timeout
        while (self._here < len(self._members) or self._dropped < lost) and time.monotonic() < deadline:
            self._connect(at_once)
            self._poll()
        here = [member.here_at - begun for member in self._members if member.state == _HERE]
        took = sorted(each for each in here if each > 0)
        return {
            "here": self._here,
            "recovered": sum(member.was_recovered for member in self._members),
            "failed": self._failures,
            "seconds": took[-1] / 1e9 if took else 0.0,
            "half": took[len(took) // 2] / 1e9 if took else 0.0,
        }

    def listen(self, seconds: float, until: int) -> dict[str, Any]:
        """Read for some seconds, or until all members have the value at a position (0 for none)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._connect(256)
            self._poll()
            if until and all(member.position >= until for member in self._members):
                break
        return {}

    def cut(self) -> dict[str, Any]:
        """Reset all connections at once; data in transit is lost."""
        for member in self._members:
            self._drop(member)
        return {}

    def tally(self, position: int) -> dict[str, Any]:
        """Return how many have always recovered and are exactly at a position, by their own count and by the offset.

        Also return how many values are missing to the members, or came to them twice.
        """
        exact = sum(m.missed is None and m.position == m.offset() == position for m in self._members)
        lost = sum((m.missed or 0) + max(0, position - m.position) for m in self._members)
        return {"exact": exact, "lost": lost, "twice": sum(max(0, m.position - position) for m in self._members)}

    # Connecting

    def _connect(self, at_once: int) -> None:
        """Connect those that wait for it, or have waited long enough since they failed."""
        while self._failed and self._failed[0][0] < time.monotonic():
            self._waiting.append(self._failed.popleft()[1])
        while self._waiting and self._opening < at_once:
            self._open(self._waiting.popleft())

    def _open(self, member: Member) -> None:
        connected = socket.socket()
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect_ex((HOST, self._ports[member.place]))
        member.socket, member.state, member.received, member.was_recovered = connected, _CONNECTING, b"", False
        self._opening += 1
        self._by_fd[connected.fileno()] = member
        self._epoll.register(connected, select.EPOLLOUT)

    def _connected(self, member: Member, connected: socket.socket) -> None:
        if connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionError
        member.state = _ASKING
        self._epoll.modify(connected, select.EPOLLIN)
        connected.sendall(Endpoint(self._ports[member.place], WEBSOCKET).request())

    def _asked(self, member: Member, connected: socket.socket) -> None:
        head, end, rest = member.received.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head)
        member.state, member.received = _JOINING, rest
        connected.sendall(member.join(self._channel))

    def _joined(self, member: Member) -> None:
        if not member.has_joined():
            return
        member.state, member.here_at = _HERE, time.monotonic_ns()
        member.position += member.received.count(MARK)
        member.received = member.received[-_TAIL_SIZE:]
        self._opening -= 1
        self._here += 1

    def _news(self, member: Member, connected: socket.socket, data: bytes) -> None:
        if PROTOCOL_PING in data:
            connected.sendall(PROTOCOL_PONG)
        begun = member.received[1 - len(MARK) :] + data
        member.received = (member.received + data if len(data) < _TAIL_SIZE else data)[-_TAIL_SIZE:]
        if begun != self._counted[0]:
            self._counted = begun, begun.count(MARK)
        member.position += self._counted[1]

    # The loop

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0.01):
            member = self._by_fd[fd]
            assert member.socket is not None
            try:
                self._serve(member, member.socket)
            except ConnectionError:
                self._failures += member.state != _HERE
                self._drop(member)
                member.place = (member.place + 1) % len(self._ports)
                self._failed.append((time.monotonic() + _RETRY_SECONDS, member))

    def _serve(self, member: Member, connected: socket.socket) -> None:
        if member.state == _CONNECTING:
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
            self._news(member, connected, data)
            return
        member.received += data
        if member.state == _ASKING:
            self._asked(member, connected)
        if member.state == _JOINING:
            self._joined(member)

    def _drop(self, member: Member) -> None:
        if member.socket is None:
            return
        if member.state == _HERE:
            self._here -= 1
            self._dropped += 1
            # A value of which only the beginning has arrived does not count.
            member.position -= member.offset() == member.position - 1
        elif member.state != _AWAY:
            self._opening -= 1
        self._epoll.unregister(member.socket)
        del self._by_fd[member.socket.fileno()]
        member.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        member.socket.close()
        member.socket, member.state = None, _AWAY


if __name__ == "__main__":
    allow_files()
    crowd = Crowd()
    for line in sys.stdin:
        obey(crowd, line)
