"""A server and its clients, both processes of their own, and what a run of theirs costs."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.client import ProtocolError
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.loading import Loading, loading
from benchmarks.feeds.roster import Peer, ask
from benchmarks.processes import Server, serving

SAMPLED = 20
_SETTLE_SECONDS = 15.0
_QUIET_SECONDS = 0.4
_CONNECT_SECONDS = 20.0
# What makes a rate one that was reached.
_REACHED = 0.95
_BEHIND_SECONDS = 0.25


@dataclass(frozen=True)
class Sample:
    """One run. CPU in nanoseconds, of the server and of the clients.

    `publishing` are the seconds until the publisher's end, `seconds` those until the last byte. `is_exact` says
    whether each client got as many values as were published, and, where that was looked at, the last one last.
    """

    rate: float
    connections: int
    published: int
    publishing: float
    deliveries: int
    seconds: float
    cpu: int
    client_cpu: int
    latencies: Latencies
    closed: int
    is_exact: bool

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU of the server for each delivery."""
        return self.cpu / max(1, self.deliveries) / 1000

    @property
    def per_second(self) -> float:
        return self.deliveries / self.seconds

    @property
    def share(self) -> float:
        """Of one core, in percent."""
        return self.cpu / self.seconds / 1e7

    @property
    def client_share(self) -> float:
        return self.client_cpu / self.seconds / 1e7

    @property
    def is_complete(self) -> bool:
        """Whether everybody got everything."""
        return self.is_exact and not self.closed and not self.latencies.gaps

    @property
    def is_saturated(self) -> bool:
        """Whether it was more than the server could do: too little published or delivered, or much too late."""
        is_behind = self.seconds - self.publishing > _BEHIND_SECONDS
        return is_behind or not self.is_complete or self.published < _REACHED * self.rate * self.publishing


class Party:
    """A peer with connected clients."""

    def __init__(self, peer: Peer, server: Server, clients: Loading, connections: int) -> None:
        self.peer, self.server, self.clients = peer, server, clients
        self._connections = connections
        self._is_connected = False

    def sample(self, rate: float, seconds: float) -> Sample:
        """Publish for a while. Clients that were closed in the last run are connected again before."""
        if not self._is_connected:
            self._connect()
        self.clients.mark()
        begun, cpu, client_cpu = time.monotonic_ns(), self.server.cpu_ns(), self.clients.cpu_ns()
        ran = self.peer.publish(self.server, rate, seconds)
        hoped = ran.published * self._connections * self.peer.frame
        self.clients.wait(hoped, quiet=_QUIET_SECONDS, timeout=_SETTLE_SECONDS)
        cpu, client_cpu = self.server.cpu_ns() - cpu, self.clients.cpu_ns() - client_cpu
        received = self.clients.report()
        self._is_connected = not received.closed
        passed = max((received.last - begun) / 1e9, ran.seconds)
        deliveries, least = received.total // self.peer.frame, received.least // self.peer.frame
        if not deliveries:
            raise ProtocolError("nothing was delivered")
        numbers = (rate, self._connections, ran.published, ran.seconds, deliveries, passed, cpu, client_cpu)
        is_exact = least == ran.published
        if self.peer.mode == "values":
            is_exact &= deliveries == ran.published * self._connections and received.newest == ran.published
        return Sample(*numbers, received.latencies, received.closed, is_exact)

    def _connect(self) -> None:
        self.clients.close("all")
        if self.peer.counts:
            await_clients(self.server, 0)
        every = max(1, self._connections // SAMPLED)
        self.clients.connect("all", self.peer.target(self.server), self._connections, mode=self.peer.mode, every=every)
        if self.peer.counts:
            await_clients(self.server, self._connections)
        self._is_connected = True


def await_clients(server: Server, count: int, path: str = "/clients") -> None:
    """Until the server has as many clients as this; raises `ProtocolError` if that does not come."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while (found := int(ask(server, path))) != count:
        if time.monotonic() > deadline:
            raise ProtocolError(f"the server has {found} clients and not {count}")
        time.sleep(0.02)


@contextlib.contextmanager
def meeting(peer: Peer, connections: int) -> Iterator[Party]:
    """A peer's server and so many clients, until the block ends."""
    peer.check()
    with serving(peer.command) as server, loading() as clients:
        yield Party(peer, server, clients, connections)


def middle(samples: list[Sample]) -> Sample:
    """The sample with the median CPU for each delivery."""
    return sorted(samples, key=lambda sample: sample.cpu_each)[(len(samples) - 1) // 2]


def latency(samples: list[Sample]) -> tuple[float, float]:
    """The medians of what the samples have as their median and their p99, in milliseconds."""
    found = [sample.latencies for sample in samples if sample.latencies.values] or [Latencies()]
    return median(each.median for each in found), median(each.p99 for each in found)
