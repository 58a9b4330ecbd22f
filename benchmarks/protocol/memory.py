"""Memory for each connection, by the handshake of a browser, with one and with more subscriptions to running feeds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.client import ProtocolError
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import ask
from benchmarks.processes import serving
from benchmarks.protocol.commands import SUBSCRIBED, target
from benchmarks.protocol.loading import ProtocolLoading, loading
from benchmarks.protocol.roster import CHANNELS

_WARM = 50
_GROUP_SUBSCRIPTIONS = 2000
_PATIENCE_SECONDS = 60.0
_QUIET_SECONDS = 5.0
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Effort:
    """How many connections, and with how many subscriptions each, a fresh server for every number."""

    connections: int
    subscriptions: tuple[int, ...]


@dataclass(frozen=True)
class Held:
    """Bytes for each connection: `process` in all, `kernel` for the server's sockets; CPU in microseconds each."""

    connections: int
    subscriptions: int
    process: float
    kernel: float
    cpu: float


@dataclass(frozen=True)
class Memory:
    """What was held, with the fewest subscriptions first."""

    held: list[Held]

    def further(self, held: Held) -> float | None:
        """Bytes for each subscription beyond those of the first row."""
        first = self.held[0]
        more = held.subscriptions - first.subscriptions
        return (held.process - first.process) / more if more else None


def measure(effort: Effort, say: Callable[[str], None]) -> Memory:
    held = []
    for subscriptions in effort.subscriptions:
        held.append(_hold(effort.connections, subscriptions))
        say(f"memory: {held[-1].process / 1024:.1f} KiB for a connection with {subscriptions} subscriptions")
    return Memory(held)


def _hold(connections: int, subscriptions: int) -> Held:
    with serving(CHANNELS) as server, loading() as clients:
        _open(clients, server.port, "warm", _WARM, subscriptions)  # what is new takes memory once
        await_clients(server, _WARM)
        before, kernel, cpu = server.resident_bytes(), server.socket_memory().server, server.cpu_ns()
        for name, count in _groups(connections, subscriptions):
            _open(clients, server.port, name, count, subscriptions)
        await_clients(server, connections + _WARM)
        watchers, hoped = ask(server, "/watchers")["feed"], (connections + _WARM) * subscriptions
        if watchers != hoped:
            raise ProtocolError(f"the server has {watchers} subscriptions and not {hoped}")
        time.sleep(_SETTLE_SECONDS)
        process = (server.resident_bytes() - before) / connections
        kernel = server.socket_memory().server - kernel
        cpu = server.cpu_ns() - cpu
        return Held(connections, subscriptions, process, kernel / connections, cpu / connections / 1000)


def _groups(connections: int, subscriptions: int) -> Iterator[tuple[str, int]]:
    """Not all at once: what is only held while many subscribe at the same time is not what is measured."""
    size = max(1, _GROUP_SUBSCRIPTIONS // subscriptions)
    for start in range(0, connections, size):
        yield f"{start}", min(size, connections - start)


def _open(clients: ProtocolLoading, port: int, group: str, count: int, subscriptions: int) -> None:
    clients.connect(group, target(port, as_browser=True), count, mode="values", mark=SUBSCRIBED)
    clients.mark()
    clients.subscribe(group, "feed/{number}", subscriptions)
    clients.wait(count * subscriptions, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    received = clients.report()
    if received.total != count * subscriptions or received.closed:
        raise ProtocolError(
            f"{received.total} of {count * subscriptions} were subscribed, {received.closed} connections closed"
        )
