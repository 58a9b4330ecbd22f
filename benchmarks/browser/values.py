"""10,000 JSON values until the page has handled the last one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.attempts import FAILURES
from benchmarks.browser.chromium import Tab, browsing
from benchmarks.browser.roster import MATCHES, Match, Way
from benchmarks.processes import Server, serving
from benchmarks.sampling import Spread
from benchmarks.streams import Selection

# What a run has left to do when its last value was handled belongs to it.
_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Effort:
    """How many pairs, and how many runs whose longest gaps are looked at."""

    rounds: int
    gaps: int


@dataclass(frozen=True)
class Sample:
    """One run, in milliseconds: until the last value was handled; what the page's main thread and the server's CPU
    have worked; the longest task that the browser has reported, which are those of 50 ms and more."""

    wall: float
    page: float
    server: float
    longest: float


@dataclass
class Comparison:
    """Two ways in turn: the pairs that were measured, or why there are none. `gaps` are milliseconds, by way."""

    match: Match
    pairs: list[tuple[Sample, Sample]] = field(default_factory=list)
    gaps: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    @property
    def ratio(self) -> Spread:
        """How many times faster the first one is, pair by pair."""
        return Spread.of([other.wall / ours.wall for ours, other in self.pairs])

    @property
    def page_ratio(self) -> Spread:
        """How many times less the page's main thread has to work, pair by pair."""
        return Spread.of([other.page / ours.page for ours, other in self.pairs])

    def of(self, way: Way) -> list[Sample]:
        """All samples of one of the two."""
        at = 0 if way is self.match.ours else 1
        return [pair[at] for pair in self.pairs]


def compare(effort: Effort, selection: Selection, say: Callable[[str], None]) -> list[Comparison]:
    """All matches that are wanted, one after the other."""
    found = []
    for match in MATCHES:
        if not selection.takes("values", match.name):
            continue
        say(f"values: {match.name}")
        comparison = Comparison(match)
        try:
            _measure(comparison, effort)
            say(f"values: {match.name}: {comparison.ratio.middle:.1f}")
        except FAILURES as error:
            comparison.missing = f"{error}" or type(error).__name__
            comparison.pairs = []
            say(f"values: {match.name}: {comparison.missing}")
        found.append(comparison)
    return found


def _measure(comparison: Comparison, effort: Effort) -> None:
    ways = (comparison.match.ours, comparison.match.other)
    with serving(comparison.match.server) as server, browsing() as browser, browser.tab(server) as tab:
        for way in ways:
            tab.call("values.prepare", way.key)
        for _ in range(effort.rounds):
            ours, other = (_sample(tab, server, way) for way in ways)
            comparison.pairs.append((ours, other))
        for way in ways:
            comparison.gaps[way.key] = [tab.call("values.gap", way.key) for _ in range(effort.gaps)]


def _sample(tab: Tab, server: Server, way: Way) -> Sample:
    tab.collect()
    busy, cpu = tab.busy_seconds(), server.cpu_ns()
    run = tab.call("values.timed", way.key)
    time.sleep(_SETTLE_SECONDS)
    busy, cpu = tab.busy_seconds() - busy, server.cpu_ns() - cpu
    longest = tab.call("values.longest", run["began"], run["ended"])
    return Sample(run["milliseconds"], busy * 1000 * run["scale"], cpu / 1e6 * run["scale"], longest)


@dataclass(frozen=True)
class Paid:
    """What one way costs, over all its samples; milliseconds. Ours is the same whether the server compresses or not."""

    way: Way
    is_compressed: bool
    wall: Spread
    page: float
    server: float
    longest: float
    gap: float


def paid(comparisons: list[Comparison]) -> list[Paid]:
    """Each way once, the fastest first."""
    found: dict[tuple[Way, bool], list[Comparison]] = {}
    for each in comparisons:
        for way in (each.match.ours, each.match.other) if each.pairs else ():
            found.setdefault((way, way.is_ours or each.match.is_compressed), []).append(each)
    return sorted((_paid(*key, each) for key, each in found.items()), key=lambda each: each.wall.middle)


def _paid(way: Way, is_compressed: bool, comparisons: list[Comparison]) -> Paid:
    samples = [sample for each in comparisons for sample in each.of(way)]
    return Paid(
        way,
        is_compressed,
        Spread.of([each.wall for each in samples]),
        median(each.page for each in samples),
        median(each.server for each in samples),
        max(each.longest for each in samples),
        median(gap for each in comparisons for gap in each.gaps[way.key]),
    )
