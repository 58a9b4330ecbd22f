"""The table `feeds`: all rows, one after the other. Ours is measured again next to every peer, as for `streams`."""

from dataclasses import dataclass, field

from benchmarks.attempts import Attempts, allow_files, say
from benchmarks.feeds import conflation, fanout, flat, idle, many, slow
from benchmarks.feeds.conflation import Conflation
from benchmarks.feeds.fanout import Comparison, Highest
from benchmarks.feeds.flat import Flat
from benchmarks.feeds.idle import Idle
from benchmarks.feeds.many import Burst, Small
from benchmarks.feeds.slow import Slow
from benchmarks.streams import Selection


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    fanout: fanout.Effort
    many: many.Effort
    conflation: conflation.Effort
    slow: slow.Effort
    idle: idle.Effort
    flat: flat.Effort


_STEPS = (3_000, 5_000, 7_500, 10_000, 12_500, 15_000, 20_000, 25_000, 30_000, 40_000, 60_000)
FULL = Effort(
    fanout.Effort(1000, (100, 1000, 3000), pairs=3, seconds=5 / 3, steps=_STEPS, step_seconds=2),
    many.Effort(10_000, seconds=5, topics=2000, watchers=2, bursts=9),
    conflation.Effort(100_000, watchers=1000, seconds=5),
    slow.Effort(1000, 200, rate=1000, without=9, seconds=60, parts=6),
    idle.Effort(10_000, seconds=20),
    flat.Effort(10_000_000, 1_000_000),
)
QUICK = Effort(
    fanout.Effort(200, (100, 1000, 3000), pairs=2, seconds=0.5, steps=_STEPS[::2], step_seconds=0.5),
    many.Effort(1000, seconds=2, topics=2000, watchers=2, bursts=3),
    conflation.Effort(100_000, watchers=200, seconds=1.5),
    slow.Effort(200, 40, rate=1000, without=1.5, seconds=5, parts=3),
    idle.Effort(1000, seconds=2),
    flat.Effort(500_000, 100_000),
)


@dataclass
class Results:
    """Everything that one run has found; `missing` says why a row is not there."""

    comparisons: list[Comparison] = field(default_factory=list)
    highest: Highest | None = None
    small: Small | None = None
    burst: Burst | None = None
    conflation: Conflation | None = None
    slow: Slow | None = None
    idle: list[Idle] = field(default_factory=list)
    idle_parts: dict[str, float] = field(default_factory=dict)
    flat: list[Flat] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def measure(effort: Effort, selection: Selection) -> Results:
    """Run the whole table. What fails is reported as missing."""
    allow_files()
    attempts = Attempts(selection)
    row = attempts.row
    results = Results(missing=attempts.missing)
    results.comparisons = list(fanout.compare(effort.fanout, selection.takes, say))
    results.highest = row("highest rate", lambda: fanout.climb(effort.fanout, say))
    results.small = row("small feeds", lambda: many.small(effort.many))
    results.burst = row("burst", lambda: many.burst(effort.many, say))
    results.conflation = row("conflation", lambda: conflation.measure(effort.conflation))
    results.slow = row("slow clients", lambda: slow.measure(effort.slow, say))
    results.idle = row("idle connections", lambda: idle.measure(effort.idle, say)) or []
    results.idle_parts = row("idle connections, their parts", lambda: idle.parts(effort.idle)) or {}
    results.flat = row("memory", lambda: flat.measure(effort.flat)) or []
    return results
