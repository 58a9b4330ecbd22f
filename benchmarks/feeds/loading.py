"""The process of the clients, seen from outside: starts it, tells it what to do, and reads its clock."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import IO, Any, TypeVar

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.latency import Latencies
from benchmarks.feeds.values import MARK
from benchmarks.processes import Process, last_words, launch


@dataclass(frozen=True)
class Received:
    """What all connections have received since the mark, in bytes, or in values where those are counted.

    `least` is what the one with the fewest got, `newest` the lowest of their last numbers (0 if they were not looked
    at), `last` the time of the last byte, in monotonic ns.
    """

    total: int
    least: int
    newest: int
    closed: int
    last: int
    latencies: Latencies


Kind = TypeVar("Kind", bound="Loading")


class Loading(Process):
    """Many clients in one process of their own."""

    def __init__(self, popen: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        super().__init__(popen)
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._orders, self._answers, self._log = popen.stdin, popen.stdout, log

    def connect(
        self, group: str, target: Target, count: int, *, mode: str = "count", every: int = 0, mark: bytes = MARK
    ) -> float:
        """Open connections; returns the seconds that this took. In the mode `values`, each `mark` is one."""
        options = {"mode": mode, "every": every, "mark": mark.decode()}
        return float(self._ask("connect", group=group, target=asdict(target), count=count, **options)["seconds"])

    def mark(self) -> None:
        self._ask("mark")

    def wait(self, total: int, *, quiet: float, timeout: float) -> None:
        """Until so much has come since the mark, or nothing for `quiet` seconds, or `timeout` is over."""
        self._ask("wait", total=total, quiet=quiet, timeout=timeout)

    def report(self) -> Received:
        answer = self._ask("report")
        names = [field.name for field in fields(Latencies)]
        latencies = Latencies(**{name: answer.pop(name) for name in names})
        return Received(**answer, latencies=latencies)

    def tails(self, group: str) -> dict[str, int]:
        """The different last bytes of a group, and how many connections have each."""
        tails: dict[str, int] = self._ask("tails", group=group)["tails"]
        return tails

    def vanish(self, group: str, how: str) -> int:
        """End a group without reading what waits; returns when, in monotonic ns."""
        return int(self._ask("vanish", group=group, how=how)["at"])

    def close(self, group: str) -> None:
        self._ask("close", group=group)

    def _ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            self._orders.write(json.dumps({"do": order, **arguments}).encode() + b"\n")
        line = self._answers.readline()
        if not line:
            raise ProtocolError(f"the clients ended: {last_words(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProtocolError(answer["error"])
        return answer


@contextlib.contextmanager
def loading() -> Iterator[Loading]:
    """A process for clients, until the block ends."""
    with started("benchmarks.feeds.load", Loading) as clients:
        yield clients


@contextlib.contextmanager
def started(module: str, kind: type[Kind]) -> Iterator[Kind]:
    """A process for clients of another kind, until the block ends."""
    with tempfile.TemporaryFile() as log:
        popen = launch(("python", "-m", module), log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        clients = kind(popen, log)
        try:
            yield clients
        finally:
            clients.stop()
