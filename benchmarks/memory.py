"""What a server holds: while it streams without end, and for clients that have stopped reading.

Memory is counted where it is: in the server's process (resident), in the kernel's buffers of the server's
sockets, and, told apart because it is the client's machine that pays for it, in those of the client's.
"""

import contextlib
import time
from dataclasses import dataclass

from benchmarks.cases import TEXT
from benchmarks.client import ProtocolError, RawClient
from benchmarks.peers.shapes import ENDLESS_VALUE
from benchmarks.processes import Server, UnavailableError, serving
from benchmarks.roster import Peer

_PATH = "/endless"
_FRAME_BYTES = len(ENDLESS_VALUE) + 2
_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True)
class Effort:
    """How many values to stream until the first and the second look, and how many clients to stall."""

    first: int
    second: int
    connections: int

    def for_slow_server(self) -> "Effort":
        """Less of everything, so that a server that needs 20 times as long comes to an end, too."""
        return Effort(self.first // 10, self.second // 10, self.connections // 5)


@dataclass(frozen=True)
class Growth:
    """One endless stream to one reading client. All in bytes."""

    effort: Effort
    after_first: int
    after_second: int
    peak: int
    kernel: int

    @property
    def grown(self) -> int:
        return self.after_second - self.after_first


@dataclass(frozen=True)
class Stall:
    """Clients that stop reading after their first message. All in bytes per connection."""

    connections: int
    idle: float
    process: float
    kernel: float
    client: float

    @property
    def total(self) -> float:
        """What the server's side holds for a stalled client more than for an idle one."""
        return self.process + self.kernel


@dataclass(frozen=True)
class Findings:
    """The memory of one peer, or why it could not be measured."""

    peer: Peer
    growth: Growth | None = None
    stall: Stall | None = None
    missing: str = ""


def measure(peer: Peer, effort: Effort) -> Findings:
    """Both measurements, each on a fresh server."""
    try:
        with serving(peer.command) as server:
            growth = _stream(server, effort)
        with serving(peer.command) as server:
            stall = _stall(server, effort.connections)
    except (UnavailableError, ProtocolError, OSError) as error:
        return Findings(peer, missing=f"{error}" or type(error).__name__)
    return Findings(peer, growth, stall)


def _stream(server: Server, effort: Effort) -> Growth:
    """Read without a pause but for the looks; at the second one the server's buffers are as full as they get."""
    with RawClient(server.port, _PATH) as client:
        client.say("go")
        client.drain(effort.first * _FRAME_BYTES)
        after_first = server.resident_bytes()
        client.drain((effort.second - effort.first) * _FRAME_BYTES)
        _wait_until_still(server)
        kernel = server.socket_memory().server
        return Growth(effort, after_first, server.resident_bytes(), server.peak_bytes(), kernel)


def _stall(server: Server, count: int) -> Stall:
    with RawClient(server.port, f"/{TEXT.name}") as warm_up:
        TEXT.check_run(warm_up)
    with contextlib.ExitStack() as stack:
        before = server.resident_bytes()
        clients = _connect(server, count, stack)
        idle = server.resident_bytes()
        _stop_reading(clients)
        _wait_until_still(server)
        sockets = server.socket_memory()
        return Stall(
            count,
            idle=(idle - before) / count,
            process=(server.resident_bytes() - idle) / count,
            kernel=sockets.server / count,
            client=sockets.client / count,
        )


def _connect(server: Server, count: int, stack: contextlib.ExitStack) -> list[RawClient]:
    return [stack.enter_context(RawClient(server.port, _PATH)) for _ in range(count)]


def _stop_reading(clients: list[RawClient]) -> None:
    for client in clients:
        client.say("go")


def _wait_until_still(server: Server) -> None:
    """Wait until the buffers are full: the server's memory has stood still for half a second."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    previous, still = 0, 0
    while still < 2 and time.monotonic() < deadline:
        time.sleep(0.25)
        now = server.resident_bytes() + server.socket_memory().server
        still = still + 1 if abs(now - previous) <= previous // 200 else 0
        previous = now
