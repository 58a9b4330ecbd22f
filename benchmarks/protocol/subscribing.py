"""Subscribing: how fast one server process lets clients in, to channels of their own behind two dependencies."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import ProtocolError
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import ask
from benchmarks.processes import serving
from benchmarks.protocol.commands import SUBSCRIBED, target
from benchmarks.protocol.loading import ProtocolLoading, loading
from benchmarks.protocol.roster import CHANNELS

_PATIENCE_SECONDS = 60.0
_QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class Effort:
    """How many connections subscribe to how many channels each, and how often, anew each time."""

    connections: int
    channels: int
    rounds: int


@dataclass(frozen=True)
class Round:
    """`seconds` go from the first command to the last reply; CPU in nanoseconds."""

    subscriptions: int
    seconds: float
    cpu: int
    client_cpu: int

    @property
    def per_second(self) -> float:
        return self.subscriptions / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of the server for each."""
        return self.cpu / self.subscriptions / 1000

    @property
    def client_share(self) -> float:
        return self.client_cpu / self.seconds / 1e7


@dataclass(frozen=True)
class Subscribing:
    effort: Effort
    rounds: list[Round]


def measure(effort: Effort, say: Callable[[str], None]) -> Subscribing:
    """All rounds on one server; a first and smaller one is not counted, for what is new is slow."""
    rounds: list[Round] = []
    with serving(CHANNELS) as server, loading() as clients:
        for number in range(effort.rounds + 1):
            count = effort.connections if number else max(1, effort.connections // 10)
            clients.connect("all", target(server.port), count, mode="values", mark=SUBSCRIBED)
            await_clients(server, count)
            clients.mark()
            cpu, client_cpu = server.cpu_ns(), clients.cpu_ns()
            begun, ended = _subscribe(clients, effort, count)
            cpu, client_cpu = server.cpu_ns() - cpu, clients.cpu_ns() - client_cpu
            watchers = ask(server, "/watchers")["item"]
            if watchers != count * effort.channels:
                raise ProtocolError(f"the server has {watchers} subscriptions and not {count * effort.channels}")
            found = Round(watchers, (ended - begun) / 1e9, cpu, client_cpu)
            if number:
                rounds.append(found)
                say(f"subscribing: {found.per_second:,.0f} per second, {found.cpu_each:.0f} µs each")
            clients.close("all")
            await_clients(server, 0)
    return Subscribing(effort, rounds)


def _subscribe(clients: ProtocolLoading, effort: Effort, connections: int) -> tuple[int, int]:
    """From when to when it took until all replies were there, in monotonic ns."""
    total = connections * effort.channels
    begun = clients.subscribe("all", "item/{number}", effort.channels, step=effort.channels)
    clients.wait(total, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    received = clients.report()
    if received.total != total or received.closed:
        raise ProtocolError(f"{received.total} of {total} were subscribed, {received.closed} connections closed")
    return begun, received.last
