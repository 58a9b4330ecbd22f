"""The one sampler: CPU time and memory of a server and its clients, and the latency of what the clients receive."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.framework import Metric
from benchmarks.processes import Memory, Process, Server, Worker, serving, working
from benchmarks.roster import Peer
from benchmarks.values import MARK
from benchmarks.websocket import Endpoint, ProtocolError

SETTLE_SECONDS = 0.5


class Usage(NamedTuple):
    """Seconds, and the CPU time of the server and of the clients in nanoseconds, since a meter was started."""

    seconds: float
    cpu: int
    clients_cpu: int

    def shares(self, seconds: float = 0.0) -> dict[str, float]:
        """Return how much of a core, in percent, the server and the clients have used."""
        of = (seconds or self.seconds) * 1e7
        return {"share": self.cpu / of, "clients": self.clients_cpu / of}

    def each(self, count: float) -> float:
        """Return the CPU time of the server divided by a count, in microseconds."""
        return self.cpu / max(1, count) / 1000


class Meter:
    """Measures what a server and its clients use from now on."""

    def __init__(self, server: Process, clients: Process) -> None:
        self._server, self._clients = server, clients
        self.begun = time.monotonic_ns()
        self._cpu, self._clients_cpu = server.cpu_ns(), clients.cpu_ns()

    def read(self) -> Usage:
        """Return what has been used so far."""
        cpu, clients_cpu = self._server.cpu_ns() - self._cpu, self._clients.cpu_ns() - self._clients_cpu
        return Usage((time.monotonic_ns() - self.begun) / 1e9, cpu, clients_cpu)


def settled(server: Server) -> Memory:
    """Return a server's memory, after the kernel has released what was read."""
    time.sleep(SETTLE_SECONDS)
    return server.memory()


def grown(before: Memory, after: Memory, count: int) -> tuple[float, float, float]:
    """Return the growth of the process and of both kernels between two readings, in KiB for each connection."""
    process, kernel, client = ((late - early) / count / 1024 for early, late in zip(before, after, strict=True))
    return process, kernel, client


class Received(NamedTuple):
    """The data of all connections since the last mark, in bytes, or in values if those are counted.

    `least` belongs to the connection with the fewest, `newest` is the lowest of their last numbers, `last` the time of
    the last byte in monotonic nanoseconds. `median` and `p99` are latencies in milliseconds of the sampled connections,
    and `gaps` the number of values that those never saw.
    """

    total: int
    least: int
    newest: int
    closed: int
    last: int
    median: float
    p99: float
    gaps: int

    def latencies(self) -> dict[str, float]:
        """Return the latencies for a sample."""
        return {"median": self.median, "p99": self.p99}


class Clients:
    """Many clients of one server, in one process of their own."""

    def __init__(self, worker: Worker) -> None:
        self.process = worker
        self.ask = worker.ask

    def connect(
        self, group: str, endpoint: Endpoint, count: int, *, mode: str = "count", every: int = 0, mark: bytes = MARK
    ) -> float:
        """Open connections and return the seconds that this took. Each `every`th is sampled.

        The mode says what happens to what arrives: `count` the bytes; `values` counts each `mark`; `tail` keeps the
        last value; `answer` answers pings; `stall` never reads.
        """
        options = {"mode": mode, "every": every, "mark": mark.decode()}
        return float(self.ask("connect", group=group, endpoint=asdict(endpoint), count=count, **options)["seconds"])

    def wait(self, total: int, *, quiet: float, timeout: float) -> Received:
        """Wait for `total` bytes or values since the mark, for `quiet` seconds without any, or for the timeout."""
        self.ask("wait", total=total, quiet=quiet, timeout=timeout)
        return self.report()

    def expect(self, total: int, *, quiet: float, timeout: float) -> Received:
        """Wait as `wait` does; raise `ProtocolError` if the total differs, or if a connection was closed."""
        received = self.wait(total, quiet=quiet, timeout=timeout)
        if received.total != total or received.closed:
            raise ProtocolError(f"{received.total} came and not {total}, {received.closed} connections were closed")
        return received

    def report(self) -> Received:
        """Return what has arrived since the mark."""
        return Received(**self.ask("report"))


@contextlib.contextmanager
def meeting(peer: Peer, source: Path | None, *options: str, silent: bool = True) -> Iterator[tuple[Server, Clients]]:
    """Run a peer's server and a process for its clients until the block ends.

    The server's own pings are off if `silent`: they would be counted as values.
    """
    peer.check()
    command = (*peer.command, *(peer.silent if silent else ()), *options)
    with serving(command, source) as server, working("benchmarks.clients") as worker:
        yield server, Clients(worker)


def micros(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}"


def millis(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def kib(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def percent(value: float) -> str:
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def number(value: float) -> str:
    return f"{value:,.0f}"


def yes_or_no(value: float) -> str:
    return "yes" if value else "no"


SHARES = (
    Metric("share", "Server's share of a core", percent),
    Metric("clients", "Clients' share of a core", percent),
)
LATENCIES = (
    Metric("median", "Latency, median (ms)", millis),
    Metric("p99", "Latency, p99 (ms)", millis),
)
