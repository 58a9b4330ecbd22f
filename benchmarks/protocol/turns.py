"""Many feeds on one connection: topics that have news in the same turn of the loop, and in how many frames it comes."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import ask
from benchmarks.processes import Server, serving
from benchmarks.protocol.commands import SILENT, SUBSCRIBED, target
from benchmarks.protocol.loading import ProtocolLoading, loading
from benchmarks.protocol.roster import CHANNELS

_PAUSE_SECONDS = 0.02
_WARM_TURNS = 5
_QUIET_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Effort:
    """How many topics, how often they have news, and how many connections, each of which watches all of them."""

    topics: int
    turns: int
    connections: tuple[int, ...]


@dataclass(frozen=True)
class Turns:
    """Each connection has `watched` of the topics. CPU in nanoseconds.

    `frames` are those of one turn, to one connection, or to all where each has one topic.
    """

    topics: int
    watched: int
    connections: int
    turns: int
    frames: float
    deliveries: int
    cpu: int
    latencies: Latencies

    @property
    def cpu_publication(self) -> float:
        """Microseconds of the server for each publication, whoever gets it."""
        return self.cpu / self.topics / self.turns / 1000

    @property
    def cpu_delivery(self) -> float:
        return self.cpu / self.deliveries / 1000


def measure(effort: Effort, say: Callable[[str], None]) -> list[Turns]:
    """All numbers of connections, and the same topics with a raw connection each."""
    found = []
    with serving(CHANNELS) as server:
        for count in effort.connections:
            with loading() as clients:
                _watch(clients, server, count, effort.topics)
                found.append(_run(clients, server, count, effort.topics, effort))
            await_clients(server, 0)
        with loading() as clients:
            clients.connect("all", Target(server.port, "/many/{number}"), effort.topics, mode="values", every=1)
            await_clients(server, effort.topics)
            found.append(_run(clients, server, effort.topics, 1, effort))
    for turns in found:
        say(
            f"turns: {turns.connections} connections with {turns.watched} topics each: {turns.frames:.2f} frames, "
            f"{turns.cpu_publication:.1f} µs for each publication"
        )
    return found


def _watch(clients: ProtocolLoading, server: Server, count: int, topics: int) -> None:
    """Each connection subscribes to all topics; the first one is looked at."""
    clients.connect("all", target(server.port, SILENT), count, mode="values", every=count, mark=SUBSCRIBED)
    clients.subscribe("all", "many/{number}", topics)
    clients.wait(count * topics, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    if (found := clients.report().total) != count * topics:
        raise ProtocolError(f"{found} of {count * topics} were subscribed")
    clients.look_for_values()


def _run(clients: ProtocolLoading, server: Server, connections: int, watched: int, effort: Effort) -> Turns:
    deliveries = connections * watched * effort.turns
    clients.mark()
    ask(server, "/turns", topics=effort.topics, count=_WARM_TURNS, pause=_PAUSE_SECONDS)  # what is new is slow
    clients.wait(connections * watched * _WARM_TURNS, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    clients.mark()
    cpu = server.cpu_ns()
    ask(server, "/turns", topics=effort.topics, count=effort.turns, pause=_PAUSE_SECONDS)
    clients.wait(deliveries, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    cpu = server.cpu_ns() - cpu
    received = clients.report()
    if received.total != deliveries or received.closed:
        raise ProtocolError(f"{received.total} of {deliveries} values came, {received.closed} connections were closed")
    frames = clients.frames("all") / effort.turns
    return Turns(effort.topics, watched, connections, effort.turns, frames, deliveries, cpu, received.latencies)
