"""Loading stored rows into tables, for the suite `feeds`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Target
from benchmarks.processes import serving
from benchmarks.roster import NEWER
from benchmarks.sampling import grown, micros, number, settled

ROWS = 100
"""Rows of each table."""


def loading(*, quick: bool) -> Benchmark:
    """Return the benchmark of tables that are loaded."""
    keys = 500 if quick else 10_000
    ways = (("Loaded", "loaded", "wirespeed"), ("Published", "filled", "peer"))
    sides = tuple(Side(name, partial(_opened, how, keys), kind) for name, how, kind in ways)
    target = Target("cpu", 1.0, "no dearer than publishing", is_least=True, versus="Published")
    return Benchmark(
        "loading",
        "Loading stored rows",
        f"{keys:,} tables with {ROWS} rows each are loaded, 100 at a time, and then their newest rows are read. For "
        "comparison, the same rows are published one by one. The loader has its rows in memory.",
        (
            Metric("cpu", "CPU per row (µs)", micros, has_ratio=True),
            Metric("rate", "Tables per second", number),
            Metric("size", "Memory per row (bytes)", number),
        ),
        (Case(f"{keys:,} tables", sides, 1, (target,)),),
        is_tall=False,
    )


@contextmanager
def _opened(how: str, keys: int, source: Path | None) -> Iterator[Callable[[], Sample]]:
    with serving(NEWER.command, source) as server:

        def sample() -> Sample:
            server.get("/load", how=how, keys=10)
            before, cpu = settled(server), server.cpu_ns()
            ran = server.get("/load", how=how, keys=keys)
            used = server.cpu_ns() - cpu
            resident, *_ = grown(before, settled(server), keys * ROWS)
            return {"cpu": used / 1000 / keys / ROWS, "rate": keys / ran["seconds"], "size": resident * 1024}

        yield sample
