"""Many small feeds, one watcher each; and many topics that have news in the same turn of the loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.loading import loading
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import OURS, ask
from benchmarks.feeds.values import FRAME_SIZE
from benchmarks.processes import serving

_SAMPLED = 200


@dataclass(frozen=True)
class Effort:
    """How many feeds and for how long; how many topics with how many watchers each, and how often they have news."""

    feeds: int
    seconds: float
    topics: int
    watchers: int
    bursts: int


@dataclass(frozen=True)
class Small:
    """Many feeds with one value per second and one watcher each. Shares of a core in percent."""

    feeds: int
    seconds: float
    deliveries: int
    share: float
    client_share: float
    cpu_each: float
    latencies: Latencies


@dataclass(frozen=True)
class Burst:
    """Milliseconds of each burst: the turn that publishes, the longest gap of a ticker after it, and the latencies."""

    topics: int
    connections: int
    turns: list[float]
    gaps: list[float]
    latencies: list[Latencies]

    @property
    def gap(self) -> float:
        return median(self.gaps)

    @property
    def turn(self) -> float:
        return median(self.turns)

    @property
    def p99(self) -> float:
        return median(each.p99 for each in self.latencies)


def small(effort: Effort) -> Small:
    with serving(OURS.command) as server, loading() as clients:
        target = Target(server.port, "/small/{number}")
        clients.connect("all", target, effort.feeds, every=max(1, effort.feeds // _SAMPLED))
        await_clients(server, effort.feeds)
        time.sleep(1)
        clients.mark()
        begun, cpu, client_cpu = time.monotonic(), server.cpu_ns(), clients.cpu_ns()
        time.sleep(effort.seconds)
        cpu, client_cpu = server.cpu_ns() - cpu, clients.cpu_ns() - client_cpu
        passed = time.monotonic() - begun
        received = clients.report()
    deliveries = received.total // FRAME_SIZE
    if received.closed or not deliveries:
        raise ProtocolError(f"{received.closed} of {effort.feeds} connections were closed, {deliveries} values came")
    shares = (cpu / passed / 1e7, client_cpu / passed / 1e7)
    return Small(effort.feeds, passed, deliveries, *shares, cpu / deliveries / 1000, received.latencies)


def burst(effort: Effort, say: Callable[[str], None]) -> Burst:
    turns, gaps, latencies = [], [], []
    connections = effort.topics * effort.watchers
    with serving(OURS.command) as server, loading() as clients:
        for watcher in range(effort.watchers):
            clients.connect(f"{watcher}", Target(server.port, "/many/{number}"), effort.topics, every=20)
        await_clients(server, connections)
        ask(server, "/burst", topics=effort.topics)  # what is new is slow
        for _ in range(effort.bursts):
            clients.mark()
            found = ask(server, "/burst", topics=effort.topics)
            clients.wait(connections * FRAME_SIZE, quiet=1.0, timeout=5.0)
            received = clients.report()
            if received.total != connections * FRAME_SIZE:
                raise ProtocolError(f"{received.total} bytes came and not {connections * FRAME_SIZE}")
            turns.append(float(found["turn"]))
            gaps.append(float(found["longest"]))
            latencies.append(received.latencies)
            say(f"burst: published in {turns[-1]:.1f} ms, longest gap of the loop {gaps[-1]:.1f} ms")
    return Burst(effort.topics, connections, turns, gaps, latencies)
