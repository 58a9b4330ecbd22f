"""A table (``by=``) in the terminal, live."""

import json
from collections.abc import Mapping
from typing import Any, Self

from rich.live import Live as LiveDisplay
from rich.table import Table
from rich.text import Text

from .document import ListedDefinition
from .terminal import clean, output
from .values import decoded

FRAMES = 8
"""Frames per second."""

MOST_WIDTH = 60
"""Characters of a cell."""


class LiveTable:
    """The rows of a table. In a pipe, the table is written once, at the end."""

    def __init__(self, path: str, definition: ListedDefinition | None) -> None:
        self._title = clean(path)
        self._by = definition.by if definition else None
        self._order = definition.order_by if definition else None
        self._columns = list(definition.columns) if definition else []
        self._rows: dict[str, Any] = {}
        self._changes = 0
        self._console = output()
        self._display = LiveDisplay(
            console=self._console, get_renderable=self._render, refresh_per_second=FRAMES, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.transient = not self._changes
        self._display.stop()
        if self._changes and not self._console.is_terminal:
            self._console.print()

    def show(self, data: bytes, position: str = "") -> None:
        """Apply one change."""
        change = decoded(data)
        if not isinstance(change, Mapping):
            return
        self._changes += 1
        if change.get("reset"):
            self._rows.clear()
        elif "key" in change:
            name = json.dumps(change["key"])
            if change.get("removed"):
                self._rows.pop(name, None)
            else:
                self._rows[name] = change.get("value")

    def _sorted(self) -> list[tuple[str, Any]]:
        rows = list(self._rows.items())
        if self._order is None:
            return rows
        field = self._order.removeprefix("-")
        try:
            return sorted(rows, key=lambda row: row[1][field], reverse=self._order.startswith("-"))
        except (TypeError, KeyError):
            return rows

    def _render(self) -> Table:
        rows = self._sorted()
        room = max(1, self._console.height - 5) if self._console.is_terminal else len(rows)
        columns = self._columns or _columns(rows)
        hidden = f", {len(rows) - room} more below" if len(rows) > room else ""
        caption = f"{len(rows)} rows{hidden}, {self._changes} changes"
        table = Table(
            title=Text(self._title, "bold"), caption=Text(caption, "dim"), title_justify="left", caption_justify="left"
        )
        for column in columns or ["value"]:
            values = [row[1].get(column) for row in rows[:room] if isinstance(row[1], Mapping)]
            numeric = any(isinstance(each, int | float) for each in values)
            table.add_column(Text(clean(column)), justify="right" if numeric else "left", no_wrap=True)
        for _, value in rows[:room]:
            cells = [value.get(column) for column in columns] if isinstance(value, Mapping) else [value]
            table.add_row(*map(_cell, cells))
        return table


def _columns(rows: list[tuple[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for _, value in rows if isinstance(value, Mapping) for name in value))


def _cell(value: Any) -> Text:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return Text(clean(text if len(text) <= MOST_WIDTH else text[: MOST_WIDTH - 1] + "…"))
