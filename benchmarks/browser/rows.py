"""One row of each table of `browser`, with its aim and whether it was met."""

from statistics import median

from benchmarks.browser.blocked import Blocked
from benchmarks.browser.minute import Minute
from benchmarks.browser.roster import BATCHES, ITERATE, OURS_SHOWN
from benchmarks.browser.values import Comparison, Paid
from benchmarks.feeds.rows import Cells, percent
from benchmarks.report import times, unavailable, verdict
from benchmarks.sampling import Spread

TASK_AIM_MS = 50.0
# The promise is 100 ms and one round trip, which on one machine is less than 10 ms.
FRESH_AIM_MS = 110.0
_KIB, _MIB = 1024, 1024**2


def comparison(found: Comparison) -> Cells:
    """Two ways."""
    match = found.match
    other = f"{match.other.name}{'' if match.is_compressed else ', uncompressed'}"
    if found.missing:
        return (match.ours.name, f"{other}: {unavailable(found.missing)}", *["-"] * 6)
    ratio = found.ratio
    return (
        match.ours.name,
        other,
        f"{len(found.pairs)}",
        *(_milliseconds(Spread.of([each.wall for each in found.of(way)])) for way in (match.ours, match.other)),
        f"{_times(ratio.middle)} ({_times(ratio.low)} to {_times(ratio.high)})",
        _times(found.page_ratio.middle),
        "" if match.aim is None else verdict(ratio.middle >= match.aim, f"at least {match.aim:g}"),
    )


def _times(value: float) -> str:
    return times(value) if value < 100 else f"{value:,.0f}x"


def _milliseconds(spread: Spread) -> str:
    return f"{_millis(spread.middle)} ({_millis(spread.low)} to {_millis(spread.high)})"


def paid(found: Paid) -> Cells:
    """One way."""
    is_task_short = found.longest < TASK_AIM_MS
    return (
        found.way.name,
        "" if found.is_compressed else "uncompressed",
        *map(_millis, (found.wall.middle, found.page, found.server)),
        f"under {TASK_AIM_MS:g}" if is_task_short else _millis(found.longest),
        _millis(found.gap),
        verdict(is_task_short, f"no task of {TASK_AIM_MS:g}") if found.way in (ITERATE, BATCHES) else "",
    )


def minute(found: Minute) -> Cells:
    """One way to show feeds."""
    return (
        found.show.name,
        "",
        f"{found.published:,.0f}",
        f"{found.paints:.1f}",
        *map(percent, (found.page * 100, found.browser * 100, found.server * 100)),
        f"{found.grown / _KIB:,.0f}",
        *map(_millis, (found.median, found.p99)),
    )


def blocked(found: Blocked) -> Cells:
    """One way to show feeds, in a tab that was blocked."""
    late = len(found.samples) - len(found.fresh)
    fresh = _millis(median(found.fresh)) if found.fresh else "-"
    is_met = not late and median(found.fresh) <= FRESH_AIM_MS
    return (
        found.show.name,
        f"{found.seconds:g} s, {len(found.samples)} times",
        f"{found.middle(lambda each: each.before):,.0f}",
        f"{fresh}{f'; {late} not within 30 s' if late else ''}",
        f"{found.middle(lambda each: each.messages):,.0f}",
        f"{found.middle(lambda each: each.values):,.0f}",
        f"{found.middle(lambda each: each.browser) / _MIB:.1f}",
        f"{found.middle(lambda each: each.heap) / _KIB:,.0f}",
        verdict(is_met, f"at most {FRESH_AIM_MS:g}") if found.show is OURS_SHOWN else "",
    )


def _millis(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
