"""Slow clients: some stop reading among many that do not; then they vanish with bytes unsent."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.loading import Loading, loading
from benchmarks.feeds.party import SAMPLED, await_clients
from benchmarks.feeds.roster import SILENT, ask, uvicorn
from benchmarks.feeds.values import FRAME_SIZE
from benchmarks.processes import Server, serving

_COMMAND = uvicorn("benchmarks.peers.feeds_ours:patient", *SILENT)
_PATH = "/slow"
_GONE_SECONDS = 15.0


@dataclass(frozen=True)
class Effort:
    """How many of each, values per second, and the seconds without and with those that have stopped, in parts."""

    healthy: int
    stalled: int
    rate: int
    without: float
    seconds: float
    parts: int


@dataclass(frozen=True)
class Memory:
    """Bytes, of the process and of the kernel at both ends."""

    process: int
    server: int
    client: int


@dataclass(frozen=True)
class Slow:
    """Memory in bytes for each stalled client: `idle` before it stalls, and everything after; `gone` in seconds."""

    effort: Effort
    idle: float
    process: float
    kernel: float
    client: float
    without: list[Latencies]
    beside: list[Latencies]
    complete: bool
    reset: float
    half: float

    @property
    def ours(self) -> float:
        return self.process + self.kernel

    @property
    def total(self) -> float:
        return self.ours + self.client

    @property
    def is_undisturbed(self) -> bool:
        """Whether the p99 of the healthy is, in the middle, not above the highest that it was without the others."""
        return median(each.p99 for each in self.beside) <= max(each.p99 for each in self.without)

    @property
    def gone(self) -> float:
        return max(self.reset, self.half)


def measure(effort: Effort, say: Callable[[str], None]) -> Slow:
    with serving(_COMMAND) as server, loading() as healthy, loading() as stalled:
        target = Target(server.port, _PATH)
        healthy.connect("all", target, effort.healthy, every=max(1, effort.healthy // SAMPLED))
        await_clients(server, effort.healthy)
        _run(server, healthy, effort, min(2.0, effort.without))  # what is new is slow
        without, _ = _run_parts(server, healthy, effort, effort.without)
        say(f"slow clients: p99 without them {_p99s(without)} ms")
        before = _memory(server)
        # Two groups, which will leave in two ways.
        for group, count in (("reset", effort.stalled // 2), ("half", effort.stalled - effort.stalled // 2)):
            stalled.connect(group, target, count, mode="stall")
        await_clients(server, effort.healthy + effort.stalled)
        idle = _memory(server)
        beside, complete = _run_parts(server, healthy, effort, effort.seconds)
        say(f"slow clients: p99 beside them {_p99s(beside)} ms")
        after = _memory(server)
        if (watchers := int(ask(server, "/watchers"))) != effort.healthy + effort.stalled:
            raise ProtocolError(f"{watchers} watchers are left of {effort.healthy + effort.stalled}")
        each = effort.stalled
        return Slow(
            effort,
            idle=(idle.process - before.process) / each,
            process=(after.process - before.process) / each,
            kernel=(after.server - before.server) / each,
            client=(after.client - before.client) / each,
            without=without,
            beside=beside,
            complete=complete,
            reset=_vanish(server, stalled, "reset", effort.healthy + effort.stalled - effort.stalled // 2),
            half=_vanish(server, stalled, "half", effort.healthy),
        )


def _run_parts(server: Server, healthy: Loading, effort: Effort, seconds: float) -> tuple[list[Latencies], bool]:
    found = [_run(server, healthy, effort, seconds / effort.parts) for _ in range(effort.parts)]
    return [latencies for latencies, _ in found], all(complete for _, complete in found)


def _p99s(parts: list[Latencies]) -> str:
    return ", ".join(f"{each.p99:.0f}" for each in parts)


def _run(server: Server, healthy: Loading, effort: Effort, seconds: float) -> tuple[Latencies, bool]:
    """Publish; the latencies of the healthy, and whether they have everything."""
    healthy.mark()
    ran = ask(server, "/run", rate=effort.rate, seconds=seconds)
    hoped = int(ran["published"]) * effort.healthy * FRAME_SIZE
    healthy.wait(hoped, quiet=1.0, timeout=10)
    received = healthy.report()
    if received.closed:
        raise ProtocolError(f"{received.closed} healthy connections were closed")
    return received.latencies, received.total == hoped and not received.latencies.gaps


def _memory(server: Server) -> Memory:
    time.sleep(0.5)  # for the kernel to let go of what has been read
    sockets = server.socket_memory()
    return Memory(server.resident_bytes(), sockets.server, sockets.client)


def _vanish(server: Server, stalled: Loading, group: str, left: int) -> float:
    """Seconds from the end of a group until the server's statistics show only those who are left."""
    at = stalled.vanish(group, group)
    deadline = time.monotonic() + _GONE_SECONDS
    while int(ask(server, "/watchers")) > left:
        if time.monotonic() > deadline:
            return _GONE_SECONDS
        time.sleep(0.01)
    return (time.monotonic_ns() - at) / 1e9
