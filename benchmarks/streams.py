"""The table `streams`: 10,000 values to one client, ours and another in turn, then memory.

Ours is measured again next to every peer, so that each ratio compares two neighbours in time; what a busy
machine does to a measurement it mostly does to both of a pair.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from benchmarks import memory
from benchmarks.cases import Case, WrongValueError
from benchmarks.client import ProtocolError
from benchmarks.processes import Server, UnavailableError, serving
from benchmarks.roster import FLOOR, OURS, PEERS, PLAIN, Peer, Way
from benchmarks.sampling import Alone, Contestant, Sample, Served, Spread, standing_floor

_FAILURES = (UnavailableError, ProtocolError, WrongValueError, OSError)


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    rounds: int
    seconds: float
    memory: memory.Effort


FULL = Effort(rounds=9, seconds=0.2, memory=memory.Effort(1_000_000, 10_000_000, connections=100))
QUICK = Effort(rounds=2, seconds=0.04, memory=memory.Effort(100_000, 1_000_000, connections=40))


@dataclass(frozen=True)
class Selection:
    """What `--only` leaves: everything whose case or peer has one of these words in its name."""

    words: tuple[str, ...] = ()

    def takes(self, *names: str) -> bool:
        text = " ".join(names).lower()
        return not self.words or any(word.lower() in text for word in self.words)


@dataclass
class Comparison:
    """Ours and one other in the same case: the pairs that were measured, or why there are none."""

    peer: Peer
    way: Way
    pairs: list[tuple[Sample, Sample]] = field(default_factory=list)
    missing: str = ""

    @property
    def ours(self) -> Sample:
        return _middle([ours for ours, _ in self.pairs])

    @property
    def other(self) -> Sample:
        return _middle([other for _, other in self.pairs])

    @property
    def cpu_ratio(self) -> Spread:
        """How many times less CPU than the other we need, pair by pair."""
        return Spread.of([other.cpu / ours.cpu for ours, other in self.pairs])

    @property
    def wall_ratio(self) -> Spread:
        return Spread.of([other.wall / ours.wall for ours, other in self.pairs])


@dataclass
class Results:
    """Everything that one run has found."""

    comparisons: list[Comparison] = field(default_factory=list)
    floors: list[Comparison] = field(default_factory=list)
    findings: list[memory.Findings] = field(default_factory=list)

    def of(self, case: Case) -> list[Comparison]:
        return [comparison for comparison in self.comparisons if comparison.way.case is case]

    def floor_of(self, case: Case) -> Comparison | None:
        return next((floor for floor in self.floors if floor.way.case is case), None)


def measure(effort: Effort, selection: Selection) -> Results:
    """Run the whole table. A peer that fails is reported as missing; without ours there is no table."""
    results = Results()
    pairings = Pairings(effort, selection)
    if pairings.total:
        with serving(OURS.command) as ours:
            results.floors = list(pairings.with_floor(ours))
            for peer in PEERS:
                results.comparisons += pairings.with_peer(ours, peer)
    results.findings = list(_measure_memory(effort, selection))
    return results


class Pairings:
    """Measures pairs, and tells on standard error how far it has got."""

    def __init__(self, effort: Effort, selection: Selection) -> None:
        self._effort, self._selection = effort, selection
        self._ours: dict[Case, Served] = {}
        self._begun = 0
        self.total = sum(len(self._selected(peer)) for peer in (FLOOR, *PEERS))

    def with_floor(self, ours: Server) -> Iterator[Comparison]:
        if not (ways := self._selected(FLOOR)):
            return
        with standing_floor() as floor:
            for way in ways:
                yield self._compare(ours, FLOOR, way, partial(Alone, floor, way.case, self._effort.seconds))

    def with_peer(self, ours: Server, peer: Peer) -> Iterator[Comparison]:
        if not (ways := self._selected(peer)):
            return
        try:
            with serving(peer.command) as server:
                for way in ways:
                    yield self._compare(ours, peer, way, partial(Served, server, way, self._effort.seconds))
        except UnavailableError as error:
            self._begun += len(ways)
            _say(f"{peer.name}: not available: {error}")
            yield from (Comparison(peer, way, missing=str(error)) for way in ways)

    def _selected(self, peer: Peer) -> list[Way]:
        return [way for way in peer.ways if self._selection.takes(peer.name, way.case.name, way.case.title)]

    def _compare(self, server: Server, peer: Peer, way: Way, prepare: Callable[[], Contestant]) -> Comparison:
        self._begun += 1
        comparison = Comparison(peer, way)
        ours = self._prepared(server, way.case)
        try:
            self._play_rounds(comparison, ours, prepare())
        except _FAILURES as error:
            comparison.pairs.clear()
            comparison.missing = f"{error}" or type(error).__name__
            _say(f"{peer.name}, {way.case.title}: {comparison.missing}")
        return comparison

    def _play_rounds(self, comparison: Comparison, ours: Contestant, other: Contestant) -> None:
        title = f"[{self._begun}/{self.total}] {comparison.way.case.title}, {comparison.peer.name}"
        for number in range(1, self._effort.rounds + 1):
            pair = ours.sample(), other.sample()
            comparison.pairs.append(pair)
            _say(
                f"{title:<60} round {number}/{self._effort.rounds}"
                f"  ours {pair[0].cpu:6.2f} µs  other {pair[1].cpu:6.2f} µs  {pair[1].cpu / pair[0].cpu:6.1f}x"
            )

    def _prepared(self, server: Server, case: Case) -> Served:
        if case not in self._ours:
            (way,) = OURS.ways_for(case)
            self._ours[case] = Served(server, way, self._effort.seconds)
        return self._ours[case]


def _measure_memory(effort: Effort, selection: Selection) -> Iterator[memory.Findings]:
    for peer, enough in ((OURS, effort.memory), (PLAIN, effort.memory.for_slow_server())):
        if selection.takes("memory", peer.name):
            _say(f"memory of {peer.name}")
            yield memory.measure(peer, enough)


def _middle(samples: list[Sample]) -> Sample:
    return Sample(
        Spread.of([sample.cpu for sample in samples]).middle,
        Spread.of([sample.wall for sample in samples]).middle,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
