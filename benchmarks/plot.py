"""The one plot, written by hand as SVG: the same results give the same bytes, and it follows the reader's colours."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.framework import Results, Suite
from benchmarks.sampling import micros

_WIDTH, _LEFT, _RIGHT = 960, 330, 80
_TOP, _BAR, _STEP, _TITLE, _FOOT = 84, 14, 22, 44, 44
_STYLE = """
  svg { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
  .wirespeed { fill: #0b7a67 } .peer { fill: #3f62a8 } .floor { fill: #868e97 }
  .heading { font-size: 18px; font-weight: 600 } .title { font-weight: 600 } .number { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #30363d }
    .wirespeed { fill: #4fd0b4 } .peer { fill: #86a8ee } .floor { fill: #6d7680 }
  }
"""


class Bar(NamedTuple):
    """One side of a case. The kind chooses the colour."""

    label: str
    value: float
    kind: str


class Axis(NamedTuple):
    """A logarithmic axis over whole decades."""

    low: int
    high: int

    def at(self, value: float) -> float:
        """Return where a value is drawn."""
        share = (math.log10(value) - self.low) / max(1, self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def draw(suite: Suite, results: Results) -> str:
    """Return horizontal bars, the shortest at the top: microseconds on one axis, with a panel for each label."""
    name, key, title = suite.plotted
    panels: dict[str, dict[str, Bar]] = {}
    for benchmark, found in results:
        for each in found if benchmark.name == name else ():
            metric = next(metric for metric in benchmark.metrics if metric.key == key)
            panel = panels.setdefault(title or each.case.label, {})
            for side in each.case.sides:
                if value := each.value(metric, side):
                    kind = "wirespeed" if side.name.startswith("Wirespeed") else side.kind
                    label = side.name.replace("`", "")
                    panel.setdefault(label, Bar(label, value.middle, kind))
    return _chart(suite.plot_title, {title: sorted(bars.values(), key=_length) for title, bars in panels.items()})


def _length(bar: Bar) -> float:
    return bar.value


def _chart(heading: str, panels: Mapping[str, Sequence[Bar]]) -> str:
    values = [bar.value for bars in panels.values() for bar in bars] or [1.0]
    axis = Axis(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))
    body: list[str] = []
    y = float(_TOP)
    for title, bars in panels.items():
        body += _panel(title, bars, axis, y)
        y += _TITLE + len(bars) * _STEP
    return "\n".join([*_frame(heading, axis, y + _FOOT), *body, "</svg>", ""])


def _frame(heading: str, axis: Axis, height: float) -> Iterator[str]:
    """The page, its heading, and the grid under everything else."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="heading"><style>{_STYLE}</style>'
    )
    yield f'<rect class="page" width="{_WIDTH}" height="{height:.0f}" rx="8"/>'
    yield _text(heading, 24, 34, "text heading", ' id="heading"')
    yield _text("Microseconds, logarithmic: each step is ten times as much. Shorter is better.", 24, 56, "soft")
    for mark in (10.0**power for power in range(axis.low, axis.high + 1)):
        x = axis.at(mark)
        line = f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _FOOT + 6:.0f}"/>'
        yield line + _text(f"{mark:g} µs", x, height - _FOOT + 24, "soft", ' text-anchor="middle"')


def _panel(title: str, bars: Sequence[Bar], axis: Axis, y: float) -> Iterator[str]:
    yield _text(title, 24, y + 26, "text title")
    for row, bar in enumerate(bars):
        top = y + _TITLE - 6 + row * _STEP
        end = axis.at(bar.value)
        yield (
            _text(bar.label, _LEFT - 10, top + 11, "text", ' text-anchor="end"')
            + f'<rect class="{bar.kind}" x="{_LEFT}" y="{top:.1f}" width="{max(1.0, end - _LEFT):.1f}" '
            f'height="{_BAR}" rx="2"/>' + _text(micros(bar.value), end + 6, top + 11, "text number")
        )


def _text(words: str, x: float, y: float, style: str, more: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'
