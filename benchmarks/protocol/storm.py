"""A storm: very many clients lose their connections at once, all come back, and nobody has lost anything."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import ProtocolError
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import ask
from benchmarks.processes import serving
from benchmarks.protocol.loading import Came, crowding
from benchmarks.protocol.roster import CHANNELS

_JOINING_AT_ONCE = 256
_PATIENCE_SECONDS = 40.0
_BEFORE_SECONDS = 2.0
_AFTER_SECONDS = 1.0
_SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Effort:
    """How many clients, how many publications per second go on meanwhile, and how often, on a fresh server each."""

    connections: int
    rate: int
    runs: int


@dataclass(frozen=True)
class Storm:
    """From the cut until the last one has recovered; CPU in nanoseconds. `exact` got each value once, in the end."""

    effort: Effort
    came: Came
    cpu: int
    client_cpu: int
    published: int
    exact: int

    @property
    def share(self) -> float:
        return self.cpu / self.came.seconds / 1e7

    @property
    def client_share(self) -> float:
        return self.client_cpu / self.came.seconds / 1e7

    @property
    def cpu_each(self) -> float:
        """Microseconds of the server for each client, what it is told meanwhile included."""
        return self.cpu / self.effort.connections / 1000


def measure(effort: Effort, say: Callable[[str], None]) -> list[Storm]:
    return [_run(effort, say) for _ in range(effort.runs)]


def _run(effort: Effort, say: Callable[[str], None]) -> Storm:
    count = effort.connections
    with serving(CHANNELS) as server, crowding() as crowd:
        joined = crowd.join(server.port, "storm", count, at_once=_JOINING_AT_ONCE, timeout=_PATIENCE_SECONDS)
        if joined.here != count:
            raise ProtocolError(f"{joined.here} of {count} came")
        say(f"storm: {count:,} have come in {joined.seconds:.1f} s")
        ask(server, "/storm-begin", rate=effort.rate)
        crowd.listen(_BEFORE_SECONDS)
        cpu, client_cpu = server.cpu_ns(), crowd.cpu_ns()
        crowd.cut()
        came = crowd.come(at_once=count, timeout=_PATIENCE_SECONDS)
        cpu, client_cpu = server.cpu_ns() - cpu, crowd.cpu_ns() - client_cpu
        crowd.listen(_AFTER_SECONDS)
        published = int(ask(server, "/storm-end"))
        crowd.listen(_SETTLE_SECONDS, until=published)
        exact = crowd.tally(published)
        await_clients(server, came.here)
    say(f"storm: {came.recovered:,} have recovered in {came.seconds:.1f} s, {exact:,} have got everything")
    return Storm(effort, came, cpu, client_cpu, published, exact)
