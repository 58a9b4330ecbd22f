"""A benchmark and its run: named cases, the sides that take part, and the samples that they give.

Opening a side starts its server and its clients, and returns a function that takes one sample. The first side of a case
is sampled again next to every other side, so that each ratio compares two neighbours in time: whatever else a busy
machine does, it mostly does to both of a pair.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.processes import UnavailableError
from benchmarks.websocket import ProtocolError

Sample = Mapping[str, float]
"""The figures of one run, by the keys of their metrics."""
Sampler = Callable[[], Sample]
Open = Callable[[Path | None], AbstractContextManager[Sampler]]
"""Starts what a side needs. The path is a checkout whose `src` the server uses; None is this one."""

_FAILURES = (UnavailableError, ProtocolError, OSError)


class Metric(NamedTuple):
    """One figure of a sample: its heading with the unit, its format, and how the samples of all rounds are combined."""

    key: str
    heading: str
    show: Callable[[float], str]
    has_ratio: bool = False
    combine: Callable[[Sequence[float]], float] = median


class Target(NamedTuple):
    """The limit for a metric of a case's first side or, if `versus` names another side, for the ratio of that side's
    value to the first side's."""

    metric: str
    limit: float
    text: str
    is_least: bool = False
    versus: str = ""

    def is_met(self, value: float) -> bool:
        """Return True if a value keeps the limit."""
        return value >= self.limit if self.is_least else value <= self.limit


@dataclass(frozen=True)
class Side:
    """One participant of a case. `needs` says what to install where it is not available."""

    name: str
    open: Open
    kind: str = "peer"
    needs: str = ""
    source: Path | None = None

    def at(self, source: Path) -> "Side":
        """Return the same side, with the `src` of another checkout."""
        return replace(self, name=f"{self.name} in {source.name}", kind="peer", source=source)


@dataclass(frozen=True)
class Case:
    """One row of circumstances: the first side is compared with each of the others."""

    label: str
    sides: tuple[Side, ...]
    rounds: int = 1
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """One table. A tall one has a row for each metric, which suits many metrics and few sides."""

    name: str
    title: str
    explanation: str
    metrics: tuple[Metric, ...]
    cases: tuple[Case, ...]
    is_tall: bool = True


@dataclass(frozen=True)
class Suite:
    """Benchmarks that share a page and a plot.

    `plotted` names the benchmark and the metric of the plot, and the title of its only panel; without a title, each
    case has a panel.
    """

    name: str
    title: str
    plot_title: str
    plotted: tuple[str, str, str]
    benchmarks: tuple[Benchmark, ...]
    method: str
    caveats: str


class Spread(NamedTuple):
    """The median and both ends of some values."""

    low: float
    middle: float
    high: float


@dataclass
class Pairing:
    """The samples of a case's first side and of another side, taken in turn, or the reason why there are none."""

    side: Side
    pairs: list[tuple[Sample, Sample]] = field(default_factory=list)
    missing: str = ""

    def ratio(self, key: str) -> Spread | None:
        """Return the other side's value divided by the first side's, pair by pair; None if it cannot be divided."""
        ratios = [other[key] / first[key] for first, other in self.pairs if key in other and first.get(key, 0) > 0]
        return Spread(min(ratios), median(ratios), max(ratios)) if ratios else None


@dataclass
class Found:
    """Everything that was measured for one case."""

    case: Case
    samples: list[Sample] = field(default_factory=list)
    pairings: list[Pairing] = field(default_factory=list)
    missing: str = ""

    def value(self, metric: Metric, side: Side) -> Spread | None:
        """Return the combined value of a side and both ends; None if it was not measured."""
        samples = self.samples if side is self.case.sides[0] else self._others(side)
        values = [sample[metric.key] for sample in samples if metric.key in sample]
        return Spread(min(values), metric.combine(values), max(values)) if values else None

    def pairing(self, side: Side) -> Pairing | None:
        """Return the pairing with another side; None for the first side."""
        return next((pairing for pairing in self.pairings if pairing.side is side), None)

    def judged(self, metrics: Sequence[Metric]) -> Iterator[tuple[Target, bool]]:
        """Yield the targets of some metrics for which there are figures, and whether they are met."""
        by_key = {metric.key: metric for metric in metrics}
        for target in self.case.targets:
            if target.metric not in by_key:
                continue
            value = self.value(by_key[target.metric], self.case.sides[0])
            if target.versus:
                pairing = next((each for each in self.pairings if each.side.name == target.versus), None)
                value = pairing.ratio(target.metric) if pairing else None
            if value:
                yield target, target.is_met(value.middle)

    def _others(self, side: Side) -> list[Sample]:
        pairing = self.pairing(side)
        return [other for _, other in pairing.pairs] if pairing else []


Results = Sequence[tuple[Benchmark, list[Found]]]


class Selection(NamedTuple):
    """The cases and sides that the command line leaves: every one with one of the words in a name.

    With `against`, the first side of each case is compared with itself in another checkout, and with nothing else.
    """

    words: tuple[str, ...] = ()
    against: Path | None = None

    def takes(self, *names: str) -> bool:
        """Return True if one of the words is in one of the names."""
        text = " ".join(names).lower()
        return not self.words or any(word.lower() in text for word in self.words)

    def narrow(self, benchmark: Benchmark) -> Benchmark:
        """Return a benchmark with what is left of it, perhaps without any case."""
        cases = tuple(left for case in benchmark.cases if (left := self._narrow(benchmark.name, case)))
        return replace(benchmark, cases=cases, is_tall=benchmark.is_tall or self.against is not None)

    def _narrow(self, name: str, case: Case) -> Case | None:
        first, *others = case.sides
        if self.against and first.kind == "wirespeed":
            targets = tuple(target for target in case.targets if not target.versus)
            left = replace(case, sides=(first, first.at(self.against)), rounds=max(3, case.rounds), targets=targets)
            return left if self.takes(name, case.label, first.name) else None
        others = [side for side in others if self.takes(name, case.label, side.name)]
        is_wanted = others or self.takes(name, case.label, *([] if case.sides[1:] else [first.name]))
        return replace(case, sides=(first, *others)) if is_wanted and not self.against else None


def alone(open_: Open, *targets: Target, label: str = "", rounds: int = 1) -> Case:
    """Return a case of Wirespeed without a peer."""
    return Case(label, (Side("Wirespeed", open_, "wirespeed"),), rounds, targets)


def run(benchmark: Benchmark) -> list[Found]:
    """Measure every case. A side that fails is reported as missing."""
    return [_run(case, f"{benchmark.name}{case.label and f', {case.label}'}", benchmark) for case in benchmark.cases]


def _run(case: Case, title: str, benchmark: Benchmark) -> Found:
    found = Found(case)
    first, *others = case.sides
    try:
        with first.open(first.source) as sample:
            if not others:
                found.samples = [_told(title, benchmark, sample()) for _ in range(case.rounds)]
            for side in others:
                found.pairings.append(_pair(sample, side, case.rounds, title, benchmark))
    except _FAILURES as error:
        found.missing = f"{error}" or type(error).__name__
        say(f"{title}, {first.name}: {found.missing}")
    found.samples += [ours for pairing in found.pairings for ours, _ in pairing.pairs]
    return found


def _pair(first: Sampler, side: Side, rounds: int, title: str, benchmark: Benchmark) -> Pairing:
    pairing = Pairing(side)
    with contextlib.ExitStack() as stack:
        try:
            other = stack.enter_context(side.open(side.source))
        except _FAILURES as error:
            pairing.missing = f"{error}" or type(error).__name__
        for _ in range(0 if pairing.missing else rounds):
            ours = first()  # a failure of the first side ends the case
            try:
                pairing.pairs.append((ours, other()))
            except _FAILURES as error:
                pairing.pairs, pairing.missing = [], f"{error}" or type(error).__name__
                break
            _told(f"{title}, {side.name}", benchmark, *pairing.pairs[-1])
    if pairing.missing:
        say(f"{title}, {side.name}: {pairing.missing}")
    return pairing


def _told(title: str, benchmark: Benchmark, *samples: Sample) -> Sample:
    """Print the first metrics of some samples to standard error; return the first sample."""
    figures = (
        f"{metric.heading}: {' and '.join(metric.show(each[metric.key]) for each in samples)}"
        for metric in benchmark.metrics[:3]
        if all(metric.key in each for each in samples)
    )
    say(f"{title}: {'; '.join(figures)}")
    return samples[0]


def fresh(measure: Callable[[Path | None], Sample]) -> Open:
    """Return how to open a side that starts everything again for each sample, so that only one side runs at a time."""

    @contextlib.contextmanager
    def opened(source: Path | None) -> Iterator[Sampler]:
        yield partial(measure, source)

    return opened


def say(line: str) -> None:
    """Print progress to standard error."""
    print(line, file=sys.stderr, flush=True)
