"""The suite `metrics`: what a scrape by Prometheus costs, and what spans of OpenTelemetry cost."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Suite, Target
from benchmarks.processes import obey, working
from benchmarks.sampling import micros, number

DEFINITIONS = 500
OBSERVED, NEW = "All histograms filled", "An app that has just started"
UNTRACED, TRACED, OUTSIDE = "Without a provider", "Inside a span that is recorded", "With a provider, outside of a span"


def suite(*, quick: bool) -> Suite:
    """Return the suite."""
    return Suite(
        "metrics",
        "Metrics and spans",
        "CPU time for a scrape of 500 definitions",
        ("scrape", "cpu", ""),
        (_scrape(quick=quick), _spans(quick=quick)),
        "- Each sample is of a process of its own. No socket is used.\n"
        "- What the histograms cost for each delivery is the difference between two checkouts: "
        "`python -m benchmarks feeds --against FOLDER`.",
        "- Spans go to a processor that drops them: exporters cost more.",
    )


def _scrape(*, quick: bool) -> Benchmark:
    sides = tuple(
        Side(name, partial(_opened, "scrape", {"definitions": DEFINITIONS, "observed": name == OBSERVED}), kind)
        for name, kind in ((OBSERVED, "wirespeed"), (NEW, "peer"))
    )
    target = Target("cpu", 150, "at most 1 % of a core at a scrape every 15 s")
    return Benchmark(
        "scrape",
        "Scrapes of many definitions",
        f"Prometheus asks an app with {DEFINITIONS} definitions, four fifths of them topics and the others calls.",
        (Metric("cpu", "CPU per scrape (ms)", number, has_ratio=True), Metric("size", "Size (KiB)", number)),
        (Case(f"{DEFINITIONS} definitions", sides, 1 if quick else 5, (target,)),),
    )


def _spans(*, quick: bool) -> Benchmark:
    sides = tuple(
        Side(name, partial(_opened, "publish", {"traced": name != UNTRACED, "inside": name == TRACED}), kind)
        for name, kind in ((UNTRACED, "wirespeed"), (TRACED, "peer"), (OUTSIDE, "peer"))
    )
    return Benchmark(
        "spans",
        "Spans of publications",
        "One task publishes to a topic without watchers, and calls a function over a WebSocket in process.",
        (
            Metric("publication", "CPU per publication (µs)", micros, has_ratio=True),
            Metric("call", "CPU per call (µs)", micros, has_ratio=True),
        ),
        (Case("publications and calls", sides, 1 if quick else 5, ()),),
    )


@contextmanager
def _opened(order: str, arguments: dict[str, Any], source: Path | None) -> Iterator[Callable[[], Sample]]:
    def sample() -> Sample:
        with working("benchmarks.metrics", source) as worker:
            return worker.ask(order, **arguments)

    yield sample


class Measuring:
    """The orders of the worker."""

    def scrape(self, definitions: int, observed: bool) -> dict[str, float]:
        """Return what a scrape costs."""
        from benchmarks.peers.measured import scrape  # with the packages of the app

        return scrape(definitions, observed=observed)

    def publish(self, traced: bool, inside: bool) -> dict[str, float]:
        """Return what a publication and a call cost."""
        from benchmarks.peers.measured import publish

        return publish(traced=traced, inside=inside)


if __name__ == "__main__":
    for line in sys.stdin:
        obey(Measuring(), line)
