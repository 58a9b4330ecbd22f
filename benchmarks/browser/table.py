"""The table `browser`: all rows, one after the other."""

from dataclasses import dataclass, field

from benchmarks.attempts import Attempts, say
from benchmarks.browser import blocked, minute, values
from benchmarks.browser.blocked import Blocked
from benchmarks.browser.minute import Minute
from benchmarks.browser.roster import SHOWS, Show
from benchmarks.browser.values import Comparison
from benchmarks.streams import Selection


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    values: values.Effort
    minute: minute.Effort
    blocked: blocked.Effort


FULL = Effort(
    values.Effort(rounds=9, gaps=5),
    minute.Effort(10_000, seconds=60),
    blocked.Effort(10_000, seconds=5, runs=3),
)
QUICK = Effort(
    values.Effort(rounds=2, gaps=1),
    minute.Effort(10_000, seconds=10),
    blocked.Effort(10_000, seconds=5, runs=1),
)


@dataclass
class Results:
    """Everything that one run has found; `missing` says why a row is not there."""

    comparisons: list[Comparison] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def measure(effort: Effort, selection: Selection) -> Results:
    """Run the whole table. What fails is reported as missing."""
    attempts = Attempts(selection)
    results = Results(missing=attempts.missing)
    results.comparisons = values.compare(effort.values, selection, say)
    for show in SHOWS:
        results.minutes += _minute(attempts, effort.minute, show)
    for show in SHOWS:
        results.blocked += _blocked(attempts, effort.blocked, show)
    return results


def _minute(attempts: Attempts, effort: minute.Effort, show: Show) -> list[Minute]:
    found = attempts.row(f"minute: {show.name}", lambda: minute.measure(effort, show))
    return [found] if found else []


def _blocked(attempts: Attempts, effort: blocked.Effort, show: Show) -> list[Blocked]:
    found = attempts.row(f"blocked tab: {show.name}", lambda: blocked.measure(effort, show))
    return [found] if found else []
