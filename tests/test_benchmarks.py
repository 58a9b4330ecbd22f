"""The framework of the benchmarks: pairs, targets, sides that are missing, and the comparison of two checkouts."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from benchmarks import browser, cluster, console, documents, feeds, metrics, protocol, report, streams
from benchmarks.framework import Benchmark, Case, Metric, Open, Sampler, Selection, Side, Suite, Target, run
from benchmarks.processes import UnavailableError


class MakeSuite(Protocol):
    """The function of a module that returns its suite."""

    def __call__(self, *, quick: bool) -> Suite: ...


OTHER = Path("/elsewhere/before")


def side(name: str, *costs: float, kind: str = "peer") -> Side:
    """Return a side whose samples have these costs, one after the other; without costs, it is missing."""

    @contextlib.contextmanager
    def opened(source: Path | None) -> Iterator[Sampler]:
        if not costs:
            raise UnavailableError("its program was not found")
        values = iter(costs)
        yield lambda: {"cost": next(values) * (2 if source else 1)}

    open_: Open = opened
    return Side(name, open_, kind, needs="a program" if not costs else "")


def benchmark(*others: Side, rounds: int = 3, targets: tuple[Target, ...] = ()) -> Benchmark:
    """Return a benchmark of Wirespeed, with costs of 1, 2, 3 and so on, and of others."""
    first = side("Wirespeed", *range(1, 20), kind="wirespeed")
    metrics = (Metric("cost", "Cost (µs)", "{:.1f}".format, has_ratio=True),)
    return Benchmark("costs", "Costs", "Made up.", metrics, (Case("one", (first, *others), rounds, targets),), False)


def test_ratios_come_from_pairs() -> None:
    """Each ratio divides two samples of the same round; the table has their median and both ends."""
    measured = benchmark(side("Peer", 2, 8, 18))
    text = report.tables([(measured, run(measured))])
    assert "4.0x (2.00x to 6.0x)" in text
    assert "2.0" in text  # the median of 1, 2 and 3
    assert "8.0" in text


def test_missing_side() -> None:
    """A side that cannot run is named in its row, with the reason, and does not stop the others."""
    measured = benchmark(side("Absent"), side("Peer", 2, 2, 2))
    found = run(measured)
    text = report.page(suite_of(measured), [(measured, found)], [], [])
    assert "Absent: not available: its program was not found" in text
    assert "Absent was not available: its program was not found; it needs a program." in text
    assert [len(pairing.pairs) for pairing in found[0].pairings] == [0, 3]


def test_targets() -> None:
    """Each target stands in the row of its side, and a missed one among the limits of the figures, too."""
    targets = (Target("cost", 2, "at most 2"), Target("cost", 5, "at least 5 times", is_least=True, versus="Peer"))
    measured = benchmark(side("Peer", 2, 4, 6), targets=targets)
    text = report.page(suite_of(measured), [(measured, run(measured))], [], [])
    assert "at most 2: met" in text
    assert "at least 5 times: missed" in text
    assert "- Missed: Costs, one, Peer: at least 5 times." in text


def test_two_checkouts() -> None:
    """With another checkout, the first side is compared with itself there, and with no peer."""
    narrowed = Selection(against=OTHER).narrow(benchmark(side("Peer", 1, 1, 1)))
    (found,) = run(narrowed)
    (pairing,) = found.pairings
    assert (pairing.side.name, pairing.side.source) == ("Wirespeed in before", OTHER)
    assert [(first["cost"], other["cost"]) for first, other in pairing.pairs] == [(1, 2), (2, 4), (3, 6)]
    assert "Ratio to Wirespeed (min to max)" in report.tables([(narrowed, [found])])


@pytest.mark.parametrize(
    ("words", "sides"), [((), ["Wirespeed", "A", "B"]), (("b",), ["Wirespeed", "B"]), (("none",), [])]
)
def test_selection(words: tuple[str, ...], sides: list[str]) -> None:
    """`--only` leaves the sides with one of the words in a name, each with the first side."""
    cases = Selection(words).narrow(benchmark(side("A", 1), side("B", 1))).cases
    assert [each.name for case in cases for each in case.sides] == sides


def suite_of(measured: Benchmark) -> Suite:
    """Return a suite with one benchmark."""
    return Suite("costs", "Costs", "Plot", ("costs", "cost", ""), (measured,), "- Made up.", "- None.")


@pytest.mark.parametrize(
    "suite",
    [
        streams.suite,
        feeds.suite,
        protocol.suite,
        cluster.suite,
        browser.suite,
        console.suite,
        documents.suite,
        metrics.suite,
    ],
)
@pytest.mark.parametrize("quick", [True, False])
def test_suites_are_consistent(suite: MakeSuite, quick: bool) -> None:
    """Every target of every suite names a metric and a side of its case, and the plot names a benchmark."""
    made = suite(quick=quick)
    assert made.plotted[0] in [each.name for each in made.benchmarks]
    for each in made.benchmarks:
        keys = {metric.key for metric in each.metrics}
        for case in each.cases:
            assert {target.metric for target in case.targets} <= keys
            assert {target.versus for target in case.targets} - {""} <= {side.name for side in case.sides}
