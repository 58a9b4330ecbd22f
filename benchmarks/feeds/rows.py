"""One row of each table of `feeds`, with its aim and whether it was met."""

from collections.abc import Sequence
from statistics import median

from benchmarks.feeds.conflation import Conflation
from benchmarks.feeds.fanout import Comparison, Highest
from benchmarks.feeds.flat import Flat
from benchmarks.feeds.idle import Idle
from benchmarks.feeds.many import Burst, Small
from benchmarks.feeds.party import Sample, latency
from benchmarks.feeds.roster import PLAIN
from benchmarks.feeds.slow import Slow
from benchmarks.report import GROWTH_AIM_KIB, kib, micros, times, unavailable, verdict
from benchmarks.sampling import Spread

RATIO_AIM = 30.0
RATIO_AIM_RATE = 1000
SHARE_AIM = 60.0
SHARE_AIM_RATE = 3000
P99_AIM_MS = 40.0
P99_AIM_RATE = 100
HIGHEST_AIM = 10_000_000
GAP_AIM_MS = 10.0
STALLED_AIM_KIB = 130.0
BOTH_ENDS_AIM_KIB = 200.0
GONE_AIM_SECONDS = 2.0
IDLE_AIM_KIB = 28.0
_KIB = 1024

Cells = Sequence[str]


def against(comparison: Comparison) -> Cells:
    rate, name = f"{comparison.rate:,}", comparison.peer.name
    if comparison.missing:
        return (rate, f"{name}: {unavailable(comparison.missing)}", *["-"] * 9)
    other, ratio = comparison.other, comparison.ratio
    middle, p99 = latency(comparison.others)
    has_aim = comparison.peer is PLAIN and comparison.rate == RATIO_AIM_RATE
    return (
        rate,
        f"{name}{': saturated' if other.is_saturated else ''}",
        micros(other.cpu_each),
        micros(comparison.ours.cpu_each),
        f"{times(ratio.middle)} ({times(ratio.low)} to {times(ratio.high)})",
        f"{other.per_second:,.0f}",
        *map(millis, (middle, p99)),
        *map(percent, (other.share, other.client_share)),
        verdict(ratio.middle >= RATIO_AIM, f"at least {RATIO_AIM:g}") if has_aim else "",
    )


def ours(comparisons: Sequence[Comparison]) -> list[Cells]:
    rates = sorted({each.rate for each in comparisons if each.pairs})
    return [
        _ours_at(rate, [sample for each in comparisons if each.rate == rate for sample, _ in each.pairs])
        for rate in rates
    ]


def _ours_at(rate: int, samples: list[Sample]) -> Cells:
    _, p99 = latencies = latency(samples)
    share = median(each.share for each in samples)
    incomplete = sum(not each.is_complete for each in samples)
    short = sum(each.is_saturated for each in samples)
    aims = []
    if rate == P99_AIM_RATE:
        aims.append(verdict(p99 < P99_AIM_MS, f"p99 under {P99_AIM_MS:g} ms"))
    if rate == SHARE_AIM_RATE:
        aims.append(verdict(share <= SHARE_AIM, f"at most {SHARE_AIM:g} %"))
    aims.append(verdict(not incomplete, "lossless"))
    if short:
        aims.append(verdict(False, f"the rate reached in all of {len(samples)} runs, not in {short}"))
    return (
        f"{rate:,}",
        f"{samples[0].connections:,}",
        f"{median(each.published / each.publishing for each in samples):,.0f}",
        f"{median(each.per_second for each in samples):,.0f}",
        micros(median(each.cpu_each for each in samples)),
        *map(millis, latencies),
        *map(percent, (share, median(each.client_share for each in samples))),
        "; ".join(aims),
    )


def floor(comparison: Comparison) -> Cells:
    if comparison.missing:
        return (f"{comparison.rate:,}", unavailable(comparison.missing), *["-"] * 3)
    above = comparison.above
    return (
        f"{comparison.rate:,}",
        "",
        *map(micros, (comparison.other.cpu_each, comparison.ours.cpu_each)),
        f"{times(above.middle)} ({times(above.low)} to {times(above.high)})",
    )


def highest(found: Highest) -> list[Cells]:
    return [_step(sample, is_best=sample is found.best) for sample in found.samples]


def _step(sample: Sample, *, is_best: bool) -> Cells:
    is_met = sample.per_second >= HIGHEST_AIM
    return (
        f"{sample.rate:,.0f}",
        "too much" if sample.is_saturated else "",
        f"{sample.per_second:,.0f}",
        micros(sample.cpu_each),
        *map(percent, (sample.share, sample.client_share)),
        *map(millis, (sample.latencies.median, sample.latencies.p99)),
        verdict(is_met, f"at least {HIGHEST_AIM:,} deliveries/s") if is_best else "",
    )


def small(found: Small) -> Cells:
    return (
        f"{found.feeds:,}",
        "",
        f"{found.deliveries / found.seconds:,.0f}",
        micros(found.cpu_each),
        *map(percent, (found.share, found.client_share)),
        *map(millis, (found.latencies.median, found.latencies.p99)),
    )


def burst(found: Burst) -> Cells:
    return (
        f"{found.topics:,}",
        f"{found.connections:,}",
        f"{len(found.gaps)}",
        millis(found.turn),
        f"{millis(found.gap)} ({millis(min(found.gaps))} to {millis(max(found.gaps))})",
        millis(found.p99),
        verdict(found.gap < GAP_AIM_MS, f"a gap under {GAP_AIM_MS:g} ms"),
    )


def conflation(found: Conflation) -> Cells:
    return (
        f"{found.rate:,}",
        f"{found.watchers:,}",
        f"{found.produced:,.0f}/s",
        f"{found.told:.1f}",
        *map(percent, (found.share, found.client_share)),
        verdict(found.share < SHARE_AIM, f"under {SHARE_AIM:g} %"),
        verdict(found.newest == found.watchers, f"{found.newest:,} of {found.watchers:,}"),
    )


def slow(found: Slow) -> Cells:
    numbers = (found.idle, found.process, found.kernel, found.ours, found.client, found.total)
    is_light, is_light_in_all = found.ours < STALLED_AIM_KIB * _KIB, found.total < BOTH_ENDS_AIM_KIB * _KIB
    aims = (
        verdict(is_light, f"ours under {STALLED_AIM_KIB:g} KiB"),
        verdict(is_light_in_all, f"all under {BOTH_ENDS_AIM_KIB:g} KiB"),
    )
    return (
        str(found.effort.stalled),
        *map(kib, numbers),
        "; ".join(aims),
        *(f"{seconds:.2f} s" for seconds in (found.reset, found.half)),
        verdict(found.gone < GONE_AIM_SECONDS, f"under {GONE_AIM_SECONDS:g} s"),
    )


def neighbours(found: Slow) -> list[Cells]:
    effort = found.effort
    sides = (("nobody", effort.without, found.without), (f"{effort.stalled} stalled", effort.seconds, found.beside))
    rows: list[Cells] = []
    for beside, seconds, parts in sides:
        p99 = Spread.of([each.p99 for each in parts])
        aims = [verdict(found.is_undisturbed, "within noise"), verdict(found.complete, "lossless")]
        rows.append(
            (
                f"{effort.healthy:,}",
                beside,
                f"{seconds:g}",
                millis(median(each.median for each in parts)),
                f"{millis(p99.middle)} ({millis(p99.low)} to {millis(p99.high)})",
                "; ".join(aims) if parts is found.beside else "",
            )
        )
    return rows


def idle(found: Idle) -> Cells:
    each = found.process + found.kernel
    return (
        found.name,
        f"{found.connections:,}",
        *(f"{value / _KIB:.1f}" for value in (found.process, found.kernel)),
        f"{found.per_second:,.0f}",
        f"{found.opening_cpu:,.0f}",
        percent(found.resting),
        str(found.closed),
        verdict(each < IDLE_AIM_KIB * _KIB, f"under {IDLE_AIM_KIB:g} KiB") if found.is_ours else "",
    )


def flat(found: Flat) -> Cells:
    return (
        found.name,
        f"{found.values:,}",
        *map(kib, (found.after_tenth, found.after_all, found.grown)),
        "-" if found.lost is None else f"{found.lost:,}",
        verdict(found.grown < GROWTH_AIM_KIB * _KIB, "does not grow"),
    )


def millis(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def percent(value: float) -> str:
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
