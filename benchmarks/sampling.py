"""Samples and pairs: what one measurement is, for a server behind a socket and for the floor alike."""

import contextlib
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import IO, Protocol, Self

from benchmarks.cases import Case
from benchmarks.client import RawClient
from benchmarks.peers.shapes import COUNT
from benchmarks.processes import Process, Server, UnavailableError, last_words, launch
from benchmarks.roster import Way

# A server may still have something to tidy up when the client has its last byte: that belongs to the run.
_SETTLE_SECONDS = 0.02


@dataclass(frozen=True)
class Sample:
    """What one value costs, in microseconds: CPU of the server, and time until the client has it."""

    cpu: float
    wall: float

    @classmethod
    def of_runs(cls, runs: int, cpu_ns: int, wall_ns: int) -> Self:
        values = runs * COUNT
        return cls(cpu_ns / values / 1000, wall_ns / values / 1000)


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of what was seen."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        return cls(min(values), median(values), max(values))


class Contestant(Protocol):
    """Something that sends the values of one case and can say what a value costs."""

    def sample(self) -> Sample: ...


class Served:
    """One way of one server. Creating it checks every value once, and learns how long a run takes.

    `seconds` is how long a sample should take at least: slow servers are measured over fewer runs than fast ones.
    """

    def __init__(self, server: Server, way: Way, seconds: float) -> None:
        self._server, self._way = server, way
        with RawClient(server.port, way.path) as client:
            self._size = way.case.check_run(client)
            self._runs = _fitting_runs(seconds, self._run(client, 1))

    def sample(self) -> Sample:
        with RawClient(self._server.port, self._way.path) as client:
            self._run(client, 1)  # TCP has found its window, the code of this connection is warm
            cpu = self._server.cpu_ns()
            wall = self._run(client, self._runs)
            time.sleep(_SETTLE_SECONDS)
            cpu = self._server.cpu_ns() - cpu
            client.expect_silence()
        return Sample.of_runs(self._runs, cpu, wall)

    def _run(self, client: RawClient, runs: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(runs):
            client.say(self._way.case.message)
            client.drain(self._size)
        return time.perf_counter_ns() - start


class Floor(Process):
    """The process that runs the generators without a socket."""

    def __init__(self, popen: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        super().__init__(popen)
        self._log = log
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._questions, self._answers = popen.stdin, popen.stdout

    def ask(self, case: Case, runs: int) -> tuple[int, int]:
        """The CPU and wall nanoseconds of some runs."""
        with contextlib.suppress(BrokenPipeError):
            self._questions.write(f"{case.name} {runs}\n".encode())
        answer = self._answers.readline().split()
        if len(answer) != 2:
            raise UnavailableError(last_words(self._log))
        return int(answer[0]), int(answer[1])


class Alone:
    """One case on the floor."""

    def __init__(self, floor: Floor, case: Case, seconds: float) -> None:
        self._floor, self._case = floor, case
        floor.ask(case, 2)
        self._runs = _fitting_runs(seconds, floor.ask(case, 2)[1] / 2)

    def sample(self) -> Sample:
        return Sample.of_runs(self._runs, *self._floor.ask(self._case, self._runs))


@contextlib.contextmanager
def standing_floor() -> Iterator[Floor]:
    """The floor's process, until the block ends."""
    with tempfile.TemporaryFile() as log:
        command = ("python", "-m", "benchmarks.floor")
        floor = Floor(launch(command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE), log)
        try:
            yield floor
        finally:
            floor.stop()


def _fitting_runs(seconds: float, nanoseconds_each: float) -> int:
    return max(1, min(100, math.ceil(seconds * 1e9 / nanoseconds_each)))
