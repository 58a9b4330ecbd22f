"""A number over time, drawn in the terminal."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from rich.live import Live as LiveDisplay
from rich.text import Text

from .failures import usage
from .terminal import clean, output
from .values import decoded

FRAMES = 12
"""Frames per second."""

MOST_VALUES = 2000
"""Values that are kept: more than the columns of any terminal."""

HEIGHT = 12
"""Lines of a plot."""

BLOCKS = " ▁▂▃▄▅▆▇█"


class LivePlot:
    """The newest values as columns, as many as fit. In a pipe, the plot is written once, at the end."""

    def __init__(self, path: str, field: str | None, *, is_table: bool) -> None:
        if is_table:
            raise usage(f"{path} is a table, whose rows have no common plot.", "Use --table.")
        self._path = clean(path)
        self._field = field
        self._values: deque[float] = deque(maxlen=MOST_VALUES)
        self._count = 0
        self._console = output()
        self._display = LiveDisplay(console=self._console, get_renderable=self._render, refresh_per_second=FRAMES)

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.transient = not self._values
        self._display.stop()
        if self._values and not self._console.is_terminal:
            self._console.print()

    def show(self, data: bytes, position: str = "") -> None:
        """Add one value.

        Raises:
            CommandError: It has no number to plot.
        """
        value = decoded(data)
        if isinstance(value, Mapping) and self._field is None:
            self._field = _only_number(self._path, value)
        number = _at(value, self._field)
        if number is None:
            named = f"its field {self._field!r}" if self._field else "it"
            raise usage(f"A value of {self._path} cannot be plotted: {named} is not a number.", _hint(value))
        self._values.append(number)
        self._count += 1

    def _render(self) -> Text:
        if not self._values:
            return Text(f"{self._path}: no value yet", "dim")
        newest = self._values[-1]
        shown = list(self._values)[-max(10, self._console.width - 14) :]
        low, high = min(shown), max(shown)
        label = self._path + (f"  {clean(self._field)}" if self._field else "")
        text = Text()
        text.append(label, "bold")
        text.append(f"  {newest:g}  ", "bold cyan")
        text.append(f"{self._count} values, from {low:g} to {high:g}\n", "dim")
        for number, line in enumerate(columns(shown, low, high, HEIGHT)):
            mark = f"{high:.6g}" if number == 0 else f"{low:.6g}" if number == HEIGHT - 1 else ""
            text.append(f"{mark:>12} ", "dim")
            text.append(line + "\n" * (number < HEIGHT - 1), "cyan")
        return text


def columns(values: list[float], low: float, high: float, height: int) -> list[str]:
    """Return the lines of a plot, the highest first: one column per value, in eighths of a line."""
    span = high / 2 - low / 2  # half of it, because all of it may be infinite
    steps = height * 8
    heights = [max(1, round((value / 2 - low / 2) / span * steps)) if span else steps // 2 for value in values]
    return ["".join(BLOCKS[min(8, max(0, each - row * 8))] for each in heights) for row in reversed(range(height))]


def _at(value: Any, field: str | None) -> float | None:
    for name in field.split(".") if field else ():
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _numbers(value: Mapping[str, Any]) -> list[str]:
    return [name for name, each in value.items() if isinstance(each, int | float) and not isinstance(each, bool)]


def _only_number(path: str, value: Mapping[str, Any]) -> str:
    names = _numbers(value)
    if len(names) != 1:
        raise usage(f"The values of {path} have {len(names) or 'no'} numbers.", _hint(value))
    return names[0]


def _hint(value: Any) -> str:
    names = _numbers(value) if isinstance(value, Mapping) else []
    return f"Name one with --field: {', '.join(names)}." if names else "Watch it without --plot."
