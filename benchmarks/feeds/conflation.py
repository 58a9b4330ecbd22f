"""Conflation: one producer much faster than its watchers are told, all of whom have to end with the newest value."""

from dataclasses import dataclass

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.loading import loading
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import OURS, ask
from benchmarks.feeds.values import FRAME_SIZE
from benchmarks.processes import serving


@dataclass(frozen=True)
class Effort:
    rate: int
    watchers: int
    seconds: float


@dataclass(frozen=True)
class Conflation:
    """One run; shares of a core in percent."""

    rate: int
    watchers: int
    published: int
    seconds: float
    deliveries: int
    share: float
    client_share: float
    newest: int

    @property
    def produced(self) -> float:
        """Changes per second that the producer has reached."""
        return self.published / self.seconds

    @property
    def told(self) -> float:
        """Values per second for each watcher."""
        return self.deliveries / self.watchers / self.seconds


def measure(effort: Effort) -> Conflation:
    with serving(OURS.command) as server, loading() as clients:
        clients.connect("all", Target(server.port, "/price"), effort.watchers, mode="tail")
        await_clients(server, effort.watchers)
        ask(server, "/price-run", rate=effort.rate, seconds=0.5)  # what is new is slow
        clients.wait(1 << 62, quiet=0.2, timeout=5)
        clients.mark()
        cpu, client_cpu = server.cpu_ns(), clients.cpu_ns()
        ran = ask(server, "/price-run", rate=effort.rate, seconds=effort.seconds)
        clients.wait(1 << 62, quiet=0.2, timeout=5)
        cpu, client_cpu = server.cpu_ns() - cpu, clients.cpu_ns() - client_cpu
        received, tails = clients.report(), clients.tails("all")
    if received.closed:
        raise ProtocolError(f"{received.closed} of {effort.watchers} connections were closed")
    seconds = float(ran["seconds"])
    return Conflation(
        effort.rate,
        effort.watchers,
        int(ran["published"]),
        seconds,
        received.total // FRAME_SIZE,
        share=cpu / seconds / 1e7,
        client_share=client_cpu / seconds / 1e7,
        newest=tails.get(ran["last"], 0),
    )
