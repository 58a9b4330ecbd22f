"""The suite `documents`: the AsyncAPI document of an app with many definitions, beside its OpenAPI document."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Suite, Target
from benchmarks.processes import obey, working
from benchmarks.sampling import number

ASYNCAPI, OPENAPI = "AsyncAPI", "OpenAPI of the same app"
DEFINITIONS = 500


def suite(*, quick: bool) -> Suite:
    """Return the suite."""
    return Suite(
        "documents",
        "Documents",
        "CPU time for an app's first document",
        ("documents", "cpu", ""),
        (_documents(quick=quick),),
        "- Each sample is of a process of its own, in which no document was made before. No socket is used; "
        "the app is called as a server calls it.\n"
        "- The pause is the longest time between two turns of a task that sleeps for a millisecond. A full "
        "collection of Python's garbage, which new objects cause, is part of it.",
        "- Models of a few fields are cheap; large ones cost more in both documents.",
    )


def _documents(*, quick: bool) -> Benchmark:
    sides = (
        Side(ASYNCAPI, partial(_opened, "/live/asyncapi.json"), kind="wirespeed"),
        Side(OPENAPI, partial(_opened, "/openapi.json")),
    )
    target = Target("cpu", 1.0, "no dearer than OpenAPI", is_least=True, versus=OPENAPI)
    return Benchmark(
        "documents",
        "Documents of many definitions",
        f"An app has {DEFINITIONS} definitions in equal parts: feeds with a key, tables, calls and streams, with "
        f"{DEFINITIONS // 2} models. Its document is requested for the first time, and then again.",
        (
            Metric("cpu", "CPU of the first request (ms)", number, has_ratio=True),
            Metric("pause", "Longest pause of the event loop meanwhile (ms)", number),
            Metric("again", "CPU of a later request (ms)", "{:.2f}".format, has_ratio=True),
            Metric("size", "Size (KiB)", number),
        ),
        (Case(f"{DEFINITIONS} definitions", sides, 1 if quick else 5, (target,)),),
    )


@contextmanager
def _opened(path: str, source: Path | None) -> Iterator[Callable[[], Sample]]:
    def sample() -> Sample:
        with working("benchmarks.documents", source) as worker:
            return worker.ask("request", path=path, definitions=DEFINITIONS)

    yield sample


class Requesting:
    """The one order of the worker."""

    def request(self, path: str, definitions: int) -> dict[str, float]:
        """Return what it costs to request a document for the first time, and later."""
        from benchmarks.peers.documented import request  # with the packages of the app

        return request(path, definitions)


if __name__ == "__main__":
    for line in sys.stdin:
        obey(Requesting(), line)
