"""The plot of the table `protocol`: CPU of the server for each delivery, by the way in."""

from statistics import median

from benchmarks.plot import Bar, chart
from benchmarks.protocol.fanout import Against
from benchmarks.protocol.roster import CENTRIFUGO, JSON, PROTOBUF, RAW
from benchmarks.protocol.table import Results


def draw(results: Results) -> str:
    """Horizontal bars, one panel for each rate: raw at the top, then both formats, then Centrifugo."""
    measured = [each for each in results.fanout if each.comparison.pairs]
    panels = []
    for rate in sorted({each.comparison.rate for each in measured}):
        found = [each for each in measured if each.comparison.rate == rate]
        connections = found[0].comparison.ours.connections
        panels.append((f"{rate:,} values per second to {connections:,} clients", _bars(found)))
    return chart("Fan-out through the protocol: CPU time of the server for each delivery", panels)


def _bars(found: list[Against]) -> list[Bar]:
    costs: dict[str, list[float]] = {}
    for each in found:
        costs.setdefault(each.ours.name, []).extend(ours.cpu_each for ours, _ in each.comparison.pairs)
        costs.setdefault(each.comparison.peer.name, []).extend(sample.cpu_each for sample in each.comparison.others)
    kinds = ((RAW, "floor"), (JSON, "ours"), (PROTOBUF, "ours"), (CENTRIFUGO, "other"))
    return [Bar(peer.name, median(costs[peer.name]), kind) for peer, kind in kinds if peer.name in costs]
