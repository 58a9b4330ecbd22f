"""The plot of the table `feeds`: CPU of the server for each delivery."""

from statistics import median

from benchmarks.feeds.fanout import Comparison
from benchmarks.feeds.roster import FLOOR, OURS
from benchmarks.feeds.table import Results
from benchmarks.plot import Bar, chart


def draw(results: Results) -> str:
    """Horizontal bars, one panel for each rate: the floor and ours at the top, then the others."""
    rates = sorted({comparison.rate for comparison in results.comparisons})
    panels = []
    for rate in rates:
        found = [each for each in results.comparisons if each.rate == rate and each.pairs]
        if found:
            connections = found[0].ours.connections
            panels.append((f"{rate:,} values per second to {connections:,} clients", _bars(found)))
    return chart("Fan-out: CPU time of the server for each delivery", panels)


def _bars(found: list[Comparison]) -> list[Bar]:
    floors = [Bar("the floor: bare send()", each.other.cpu_each, "floor") for each in found if each.peer is FLOOR]
    ours = Bar(OURS.name, median(each.ours.cpu_each for each in found), "ours")
    others = [_bar(each) for each in found if each.peer is not FLOOR]
    return [*floors, ours, *sorted(others, key=lambda bar: bar.value)]


def _bar(comparison: Comparison) -> Bar:
    short = " (saturated)" if comparison.other.is_saturated else ""
    return Bar(f"{comparison.peer.name}{short}", comparison.other.cpu_each, "other")
