"""One row of each table of `protocol`, with its aim and whether it was met."""

from statistics import median

from benchmarks.feeds.party import latency
from benchmarks.feeds.rows import Cells, millis, percent
from benchmarks.protocol.fanout import Against
from benchmarks.protocol.memory import Held, Memory
from benchmarks.protocol.roster import RAW
from benchmarks.protocol.storm import Storm
from benchmarks.protocol.subscribing import Subscribing
from benchmarks.protocol.turns import Turns
from benchmarks.report import micros, times, unavailable, verdict
from benchmarks.sampling import Spread

RAW_AIM = 1.3
CENTRIFUGO_AIM, CENTRIFUGO_AIM_RATE = 3.0, 1000
FRAMES_AIM = 1.0
SUBSCRIBING_AIM = 5000.0
STORM_AIM_SECONDS = 10.0
FIRST_AIM_KIB, FURTHER_AIM_KIB = 34.0, 1.0
_KIB = 1024


def against(found: Against) -> Cells:
    comparison = found.comparison
    rate, name = f"{comparison.rate:,}", f"{found.ours.name}; {comparison.peer.name}"
    if comparison.missing:
        return (rate, f"{name}: {unavailable(comparison.missing)}", *["-"] * 11)
    samples = [ours for ours, _ in comparison.pairs]
    is_raw = comparison.peer is RAW
    ratio = comparison.above if is_raw else comparison.ratio
    return (
        rate,
        f"{name}{': saturated' if comparison.other.is_saturated else ''}",
        micros(median(each.cpu_each for each in samples)),
        micros(median(each.cpu_each for each in comparison.others)),
        _spread(ratio),
        *map(millis, latency(samples)),
        *map(millis, latency(comparison.others)),
        *map(percent, (median(each.share for each in samples), median(each.client_share for each in samples))),
        _aims(found, ratio),
        verdict(all(each.is_complete for each in samples), "lossless"),
    )


def _aims(found: Against, ratio: Spread) -> str:
    if found.comparison.peer is RAW:
        return verdict(ratio.middle <= RAW_AIM, f"at most {RAW_AIM:g}")
    if found.comparison.rate == CENTRIFUGO_AIM_RATE:
        return verdict(ratio.middle >= CENTRIFUGO_AIM, f"at least {CENTRIFUGO_AIM:g}")
    return ""


def _spread(ratio: Spread) -> str:
    return f"{times(ratio.middle)} ({times(ratio.low)} to {times(ratio.high)})"


def turns(found: Turns) -> Cells:
    return (
        f"{found.topics}",
        "multiplexed" if found.watched > 1 else "raw, a topic each",
        f"{found.connections:,}",
        f"{found.frames:.2f}",
        *map(micros, (found.cpu_publication, found.cpu_delivery)),
        *map(millis, (found.latencies.median, found.latencies.p99)),
        verdict(found.frames <= FRAMES_AIM, f"at most {FRAMES_AIM:g} frame") if found.watched > 1 else "",
    )


def subscribing(found: Subscribing) -> Cells:
    rounds, effort = found.rounds, found.effort
    rates = Spread.of([each.per_second for each in rounds])
    return (
        f"{effort.connections * effort.channels:,}",
        f"{effort.connections:,} connections with {effort.channels} each",
        f"{len(rounds)}",
        f"{rates.middle:,.0f} ({rates.low:,.0f} to {rates.high:,.0f})",
        f"{median(each.cpu_each for each in rounds):,.0f}",
        percent(median(each.client_share for each in rounds)),
        verdict(rates.middle >= SUBSCRIBING_AIM, f"at least {SUBSCRIBING_AIM:,.0f} per second"),
    )


def storm(found: Storm) -> Cells:
    came, count = found.came, found.effort.connections
    is_quick = came.here == count and came.seconds < STORM_AIM_SECONDS
    return (
        f"{count:,}",
        f"{found.effort.rate}",
        f"{came.seconds:.1f}",
        f"{came.median:.1f}",
        f"{came.recovered:,}",
        f"{found.cpu / 1e9:.1f}",
        f"{found.cpu_each:,.0f}",
        percent(found.client_share),
        str(came.failures),
        "; ".join(
            (
                verdict(is_quick, f"under {STORM_AIM_SECONDS:g} s"),
                verdict(came.recovered == count, "all recovered"),
                verdict(found.exact == came.recovered, "none of those lost anything"),
            )
        ),
    )


def memory(found: Memory) -> list[Cells]:
    return [_held(found, each) for each in found.held]


def _held(found: Memory, held: Held) -> Cells:
    further = found.further(held)
    if further is None:
        aim = verdict(held.process + held.kernel < FIRST_AIM_KIB * _KIB, f"under {FIRST_AIM_KIB:g} KiB")
    else:
        aim = verdict(further < FURTHER_AIM_KIB * _KIB, f"each further one under {FURTHER_AIM_KIB:g} KiB")
    return (
        f"{held.subscriptions}",
        "",
        f"{held.connections:,}",
        *(f"{value / _KIB:.1f}" for value in (held.process, held.kernel)),
        "" if further is None else f"{further:,.0f}",
        f"{held.cpu:,.0f}",
        aim,
    )
