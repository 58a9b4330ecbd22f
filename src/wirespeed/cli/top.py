"""``wirespeed top``."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .failures import run, usage
from .listing import Server
from .overview import overviews, understood
from .target import Target, target_of
from .terminal import clean, is_terminal, output

SORTS = ("watchers", "rate", "bytes", "lost", "path")
HEADER_LINES = 5
WIDE = 110
"""Columns of a terminal that has room for all numbers."""

NUMBERS = ("Watchers", "Values/s", "Sent/s", "Skipped", "Lost", "Failed")
MORE_NUMBERS = ("Keys", "Bytes/s", "Runs")


class Row(NamedTuple):
    """A definition, with what happened to it since the overview before."""

    path: str
    kind: str
    keys: int
    watchers: int
    published: float
    delivered: float
    bytes: float
    skipped: int
    lost: int
    failed: int
    failing: int
    runs: int


def top(server: Server, *, sort: str, limit: int | None, once: bool, as_json: bool) -> None:
    """Show the definitions of an app by their watchers and rates, about once per second.

    Raises:
        CommandError: The server cannot be reached, or its console is off.
    """
    if sort not in SORTS:
        raise usage(f"--sort {sort[:40]!r} is not a column.", f"The columns are {', '.join(SORTS)}.")
    run(_show(target_of(*server), sort, limit, once=once, as_json=as_json or not is_terminal()))


async def _show(target: Target, sort: str, limit: int | None, *, once: bool, as_json: bool) -> None:
    before: dict[str, Any] | None = None
    screen = _TopLines() if as_json else _TopOnce() if once else _TopScreen()
    async with overviews(target) as values:
        try:
            async for now in values:
                if before is not None:
                    with understood(target):
                        screen.show(now, ordered(rows_of(before, now), sort)[:limit])
                    if once:
                        return
                before = now
        finally:
            screen.end()


class _TopLines:
    """One line of JSON for each second."""

    def show(self, now: Mapping[str, Any], rows: Sequence[Row]) -> None:
        print(json.dumps({"at": now["at"], "definitions": [each._asdict() for each in rows]}), flush=True)

    def end(self) -> None:
        pass


class _TopOnce(_TopLines):
    """One table."""

    def show(self, now: Mapping[str, Any], rows: Sequence[Row]) -> None:
        console = output()
        console.print(_table(now, rows, console))


class _TopScreen(_TopLines):
    """A table that is drawn again each second, on a screen of its own."""

    def __init__(self) -> None:
        from rich.live import Live as LiveDisplay

        self._console = output()
        self._display = LiveDisplay(console=self._console, screen=True, auto_refresh=False)

    def show(self, now: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._display.start()
        room = max(1, self._console.height - HEADER_LINES)
        self._display.update(_table(now, rows[:room], self._console), refresh=True)

    def end(self) -> None:
        self._display.stop()


def rows_of(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Row]:
    """Return what happened between two overviews, per second."""
    seconds = max(now["at"] - before["at"], 0.001)
    earlier = {each["path"]: each for each in before["definitions"]}

    def rate(each: Mapping[str, Any], name: str) -> float:
        # BenchFigures of a process end with it, so a sum may fall.
        since = float(each[name] - earlier.get(each["path"], each)[name])
        return float(round(max(0.0, since) / seconds, 1))

    return [
        Row(
            each["path"],
            each["kind"],
            each["keys"],
            each["watchers"],
            rate(each, "published"),
            rate(each, "delivered"),
            rate(each, "bytes"),
            each["skipped"],
            each["lost"],
            each["failed"],
            each["failing"],
            each["runs"]["active"],
        )
        for each in now["definitions"]
    ]


def ordered(rows: Sequence[Row], sort: str) -> list[Row]:
    """Return rows in the order of a column: the largest first, then by rate."""
    if sort == "path":
        return sorted(rows, key=lambda row: row.path)
    name = {"rate": "published"}.get(sort, sort)
    return sorted(rows, key=lambda row: (getattr(row, name), row.watchers, row.published, row.runs), reverse=True)


def _table(now: Mapping[str, Any], rows: Sequence[Row], console: Any) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    wide = console.width >= WIDE or not console.is_terminal
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("Path", ratio=1, no_wrap=True, min_width=16)
    table.add_column("Kind", no_wrap=True)
    for name in (*NUMBERS, *MORE_NUMBERS * wide):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = [row.watchers, row.published, row.delivered, row.skipped, row.lost, row.failed]
        more = [row.keys, row.bytes, row.runs] if wide else []
        style = "red" if row.failing else "dim" if not (row.watchers or row.runs) else ""
        table.add_row(clean(row.path), clean(row.kind), *map(short, numbers + more), style=style)
    return Group(*(Text(line, "dim") for line in _header(now)), Text(), table)


def _header(now: Mapping[str, Any]) -> list[str]:
    processes = now["processes"]
    clients = sum(each["connections"] for each in processes)
    broker = {each["broker"]["state"] for each in processes if each["answered"]} - {"none"}
    silent = sum(not each["answered"] for each in processes)
    lags = [each["loop_lag"]["worst"] for each in processes if each.get("loop_lag")]
    parts = [
        f"{now['app']['title']} {now['app']['version']}",
        f"{len(processes)} process{'es' * (len(processes) != 1)}" + f" ({silent} silent)" * bool(silent),
        f"{short(clients)} connections",
        f"broker: {', '.join(sorted(broker)) or 'none'}",
        f"CPU {100 * sum(each['cpu'] or 0 for each in processes):.0f} %",
    ]
    if lags:
        parts.append(f"loop lag up to {1000 * max(lags):.0f} ms")
    return [clean(" · ".join(parts))]


def short(number: float) -> str:
    """Return a number in a few characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1000 if unit == 'k' else size):.1f}{unit}"
    return f"{number:g}" if number < 100 else f"{number:.0f}"
