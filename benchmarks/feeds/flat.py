"""Flat memory: the server's resident memory after a tenth of very many values, and after all of them."""

from dataclasses import dataclass

from benchmarks.feeds.handshake import Target
from benchmarks.feeds.loading import loading
from benchmarks.feeds.party import await_clients
from benchmarks.feeds.roster import OURS, ask
from benchmarks.processes import serving


@dataclass(frozen=True)
class Effort:
    """How many values to a feed that keeps the latest, and to a topic that keeps 1,000."""

    latest: int
    kept: int


@dataclass(frozen=True)
class Flat:
    """Bytes, and how many values the watcher did not get."""

    name: str
    values: int
    after_tenth: int
    after_all: int
    lost: int | None

    @property
    def grown(self) -> int:
        return self.after_all - self.after_tenth


def measure(effort: Effort) -> list[Flat]:
    return [
        _flood('a feed, `keep="latest"`', "/flood", "/flood-run", effort.latest),
        _flood("a topic, `keep=1000`", "/history", "/history-run", effort.kept),
    ]


def _flood(name: str, path: str, run: str, values: int) -> Flat:
    with serving(OURS.command) as server, loading() as clients:
        clients.connect("all", Target(server.port, path), 1)
        await_clients(server, 1)
        ask(server, run, count=values // 10)
        after_tenth = server.resident_bytes()
        answer = ask(server, run, count=values - values // 10)
        return Flat(name, values, after_tenth, server.resident_bytes(), answer.get("lost"))
