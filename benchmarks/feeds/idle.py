"""Idle connections, by the handshake of a browser: how long they take to open, and what they cost at rest."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.feeds.handshake import Target
from benchmarks.feeds.loading import Loading, loading
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import ask, uvicorn
from benchmarks.processes import Server, serving

# With the pings that uvicorn sends by default: they are a part of being idle.
_SIDES = (
    ("Wirespeed", uvicorn("benchmarks.peers.feeds_ours:app"), "/idle"),
    ("FastAPI route that only receives", uvicorn("benchmarks.peers.feeds_plain:app"), "/fan"),
)


@dataclass(frozen=True)
class Effort:
    connections: int
    seconds: float


@dataclass(frozen=True)
class Idle:
    """One server's connections. Bytes for each: `process` in all, `kernel` for the server's sockets."""

    name: str
    connections: int
    process: float
    kernel: float
    opening: float
    opening_cpu: float
    resting: float
    seconds: float
    closed: int

    @property
    def is_ours(self) -> bool:
        return self.name == _SIDES[0][0]

    @property
    def per_second(self) -> float:
        return self.connections / self.opening


class Side:
    """One server with its clients."""

    def __init__(self, name: str, server: Server, clients: Loading) -> None:
        self.name, self.server, self.clients = name, server, clients
        self._before = self._cpu = 0
        self._opened = (0.0, 0.0, 0.0, 0.0)

    def open(self, path: str, count: int) -> None:
        target = Target(self.server.port, path, as_browser=True)
        self.clients.connect("first", target, 10, mode="answer")  # what is new takes memory once
        await_clients(self.server, 10)
        before, kernel = self.server.resident_bytes(), self.server.socket_memory().server
        cpu = self.server.cpu_ns()
        seconds = self.clients.connect("all", target, count, mode="answer")
        await_clients(self.server, count + 10)
        cpu = self.server.cpu_ns() - cpu
        time.sleep(0.5)
        process = (self.server.resident_bytes() - before) / count
        self._opened = (process, (self.server.socket_memory().server - kernel) / count, seconds, cpu / count / 1000)

    def begin_rest(self) -> None:
        self.clients.mark()
        self._cpu = self.server.cpu_ns()

    def end_rest(self, count: int, seconds: float) -> Idle:
        resting = (self.server.cpu_ns() - self._cpu) / seconds / 1e7
        return Idle(self.name, count, *self._opened, resting, seconds, self.clients.report().closed)


def measure(effort: Effort, say: Callable[[str], None]) -> list[Idle]:
    """Both servers: one after the other opens its connections, and then they rest together."""
    sides: list[Side] = []
    with contextlib.ExitStack() as stack:
        for name, command, path in _SIDES:
            side = Side(name, stack.enter_context(serving(command)), stack.enter_context(loading()))
            say(f"idle connections: opening {effort.connections:,} to {name}")
            side.open(path, effort.connections)
            sides.append(side)
        for side in sides:
            side.begin_rest()
        begun = time.monotonic()
        time.sleep(effort.seconds)
        return [side.end_rest(effort.connections, time.monotonic() - begun) for side in sides]


def parts(effort: Effort) -> dict[str, float]:
    """What the objects of an idle connection of ours take, in bytes, by the package that has made them."""
    with serving(uvicorn("benchmarks.peers.feeds_traced:app")) as server, loading() as clients:
        target = Target(server.port, "/idle", as_browser=True)
        clients.connect("first", target, 10, mode="answer")
        await_clients(server, 10)
        before = ask(server, "/traced")
        count = min(1000, effort.connections)
        clients.connect("all", target, count, mode="answer")
        await_clients(server, count + 10)
        after = ask(server, "/traced")
    return {owner: (size - before.get(owner, 0)) / count for owner, size in after.items()}
