"""The plot of the table `browser`: time until a page has handled a value, by the way it comes."""

from benchmarks.browser.table import Results
from benchmarks.browser.values import Paid, paid
from benchmarks.peers.shapes import COUNT
from benchmarks.plot import Bar, chart


def draw(results: Results) -> str:
    """Horizontal bars, the fastest at the top."""
    bars = [_bar(each) for each in paid(results.comparisons)]
    return chart("Time until a page has handled a value", [(f"{COUNT:,} JSON values, for each", bars)])


def _bar(found: Paid) -> Bar:
    name = f"{found.way.name.replace('`', '')}{'' if found.is_compressed else ', uncompressed'}"
    return Bar(name, found.wall.middle * 1000 / COUNT, "ours" if found.way.is_ours else "other")
