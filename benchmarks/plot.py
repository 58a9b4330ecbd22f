"""The plot, written by hand as SVG: the same results give the same bytes, and it follows the reader's colours."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from benchmarks.cases import CASES, Case
from benchmarks.report import micros
from benchmarks.roster import OURS
from benchmarks.streams import Comparison, Results

_WIDTH, _LEFT, _RIGHT = 960, 330, 80
_TOP, _BAR, _STEP, _TITLE, _FOOT = 84, 14, 22, 44, 44
_STYLE = """
  svg { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
  .ours { fill: #0969da } .other { fill: #a3acb5 } .floor { fill: #1a7f37 }
  .heading { font-size: 18px; font-weight: 600 } .title { font-weight: 600 } .number { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #30363d }
    .ours { fill: #4493f8 } .other { fill: #656c76 } .floor { fill: #3fb950 }
  }
"""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    kind: str


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over whole decades."""

    low: int
    high: int

    @classmethod
    def around(cls, values: list[float]) -> "Axis":
        return cls(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / max(1, self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def marks(self) -> Iterator[float]:
        return (10.0**power for power in range(self.low, self.high + 1))


def draw(results: Results) -> str:
    """Horizontal bars, one panel for each case: CPU of the server for each value."""
    panels = [(case.title, bars) for case in CASES if (bars := _bars(results, case))]
    return chart("CPU time of the server for each value", panels)


def chart(heading: str, panels: Sequence[tuple[str, list[Bar]]]) -> str:
    """Panels of horizontal bars of microseconds, each with a title, on one axis."""
    axis = Axis.around([bar.value for _, bars in panels for bar in bars] or [1.0])
    body: list[str] = []
    y = float(_TOP)
    for title, bars in panels:
        body += _panel(title, bars, axis, y)
        y += _TITLE + len(bars) * _STEP
    height = y + _FOOT
    return "\n".join([*_frame(heading, axis, height), *body, "</svg>", ""])


def _bars(results: Results, case: Case) -> list[Bar]:
    """The floor and ours at the top, then the others from the cheapest on."""
    floor = results.floor_of(case)
    floors = [floor] if floor and floor.pairs else []
    others = [comparison for comparison in results.of(case) if comparison.pairs]
    bars = [Bar("the floor: no socket", each.other.cpu, "floor") for each in floors]
    if neighbours := floors + others:
        bars.append(Bar(OURS.name, median(each.ours.cpu for each in neighbours), "ours"))
    return bars + sorted(map(_bar, others), key=lambda bar: bar.value)


def _bar(comparison: Comparison) -> Bar:
    name, how = comparison.peer.name, comparison.way.how.replace("`", "")
    if comparison.peer.is_ours:
        return Bar(name, comparison.other.cpu, "ours")
    return Bar(f"{name}, {how}", comparison.other.cpu, "other")


def _frame(heading: str, axis: Axis, height: float) -> Iterator[str]:
    """The page, its heading, and the grid under everything else."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="heading">'
    )
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" width="{_WIDTH}" height="{height:.0f}" rx="8"/>'
    yield _text(heading, 24, 34, "text heading", ' id="heading"')
    yield _text("Microseconds, logarithmic: each step is ten times as much. Shorter is better.", 24, 56, "soft")
    for mark in axis.marks():
        x = axis.at(mark)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _FOOT + 6:.0f}"/>'
        yield _text(f"{mark:g} µs", x, height - _FOOT + 24, "soft", ' text-anchor="middle"')


def _panel(title: str, bars: list[Bar], axis: Axis, y: float) -> Iterator[str]:
    yield _text(title, 24, y + 26, "text title")
    for row, bar in enumerate(bars):
        top = y + _TITLE - 6 + row * _STEP
        end = axis.at(bar.value)
        yield _text(bar.label, _LEFT - 10, top + 11, "text", ' text-anchor="end"')
        yield (
            f'<rect class="{bar.kind}" x="{_LEFT}" y="{top:.1f}" width="{max(1.0, end - _LEFT):.1f}" '
            f'height="{_BAR}" rx="2"/>'
        )
        yield _text(micros(bar.value), end + 6, top + 11, "text number")


def _text(words: str, x: float, y: float, style: str, more: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'
