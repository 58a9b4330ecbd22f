"""``wirespeed watch``."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from .document import ListedDefinition
from .durations import seconds_of
from .failures import run, usage
from .session import connected, definition_at
from .target import at
from .values import View, view_of

Server = tuple[str | None, str | None, str | None]


class WatchWish(NamedTuple):
    """The options of ``watch``."""

    json: bool = False
    raw: bool = False
    table: bool = False
    plot: bool = False
    field: str | None = None
    limit: int | None = None
    time: str | None = None
    since: str | None = None
    last: int | None = None
    positions: bool = False
    rate: float | None = None
    newest: bool = False
    lossy: bool = False


class Ends(NamedTuple):
    """The ends of a watch that the user has chosen."""

    values: int | None
    seconds: float | None

    @classmethod
    def of(cls, values: int | None, time: str | None) -> Self:
        """Return the ends of the options.

        Raises:
            CommandError: The time is not a duration.
        """
        return cls(values, None if time is None else seconds_of(time, "--for"))


def watch(path: str, wish: WatchWish, server: Server) -> None:
    """Show the values of a feed, topic or stream.

    Raises:
        CommandError: The options do not fit together, or the watch failed.
    """
    check(wish)
    ends = Ends.of(wish.limit, wish.time)
    target, path = at(path, *server)
    definition = definition_at(target, path, "feed", "topic", "stream")
    _check_log(wish, definition)
    view = _view(wish, path, definition)
    if wish.rate is not None:
        path += ("&" if "?" in path else "?") + urlencode({"max_rate": wish.rate})

    async def work() -> None:
        async with connected(target) as connection:
            values = beginning_with(connection, path, wish)
            with view if isinstance(view, AbstractContextManager) else nullcontext():
                await show_all(values, view, ends)

    run(work())


def _view(wish: WatchWish, path: str, definition: ListedDefinition | None) -> View:
    encoding = definition.encoding if definition else "json"
    if wish.table:
        if definition is not None and definition.by is None:
            raise usage(f"{definition.path} is not a table.", "Leave out --table, or declare the feed with by=.")
        from .tables import LiveTable

        return LiveTable(path, definition)
    if wish.plot or wish.field is not None:
        from .plots import LivePlot

        return LivePlot(path, wish.field, is_table=definition is not None and definition.by is not None)
    return view_of(encoding, as_json=wish.json, raw=wish.raw, positions=wish.positions)


def _check_log(wish: WatchWish, definition: ListedDefinition | None) -> None:
    """Refuse a beginning in the past where nothing of the past is kept."""
    if (wish.since is None and wish.last is None) or definition is None or definition.by is not None:
        return
    if definition.kind == "stream" or definition.keep in ("latest", None):
        raise usage(f"{definition.path} keeps no values of the past.", "--since and --last need keep=N.")


def check(wish: WatchWish) -> None:
    """Refuse options that exclude each other.

    Raises:
        CommandError: They do.
    """
    plot = wish.plot or wish.field is not None
    if sum((wish.json or wish.positions, wish.raw, wish.table, plot)) > 1:
        raise usage("--json, --positions, --raw, --table and --plot exclude each other.", "Choose one of them.")
    if wish.since is not None and wish.last is not None:
        raise usage("--since and --last exclude each other.", "Choose one of them.")
    if wish.newest and (wish.since is not None or wish.last is not None):
        raise usage("--newest skips values, and --since and --last are for all of them.", "Choose one of them.")


async def beginning_with(connection: Any, path: str, wish: WatchWish) -> AsyncGenerator[Any, None]:
    """Yield publications: those of the log that the user asked for, and then the following ones, without a gap."""
    since = None if wish.since is None else position_of(wish.since)
    if wish.last is not None:
        newest = await connection.history(path, bytes, limit=wish.last, reverse=True)
        for publication in reversed(newest):
            yield publication
        since = newest.position
    options = {"since": since, "newest": wish.newest, "lossy": wish.lossy}
    async with aclosing(connection.publications(path, bytes, **options)) as publications:
        async for publication in publications:
            yield publication


def position_of(text: str) -> Any:
    """Return the position of ``--since``.

    Raises:
        CommandError: It is not a position.
    """
    from ..log.position import Position

    try:
        return Position.parse(text)
    except ValueError:
        hint = "Write one as --positions shows it, such as 9834ffd1:17, or use --last N: logs have no times."
        raise usage(f"--since {text[:60]!r} is not a position.", hint) from None


async def show_all(publications: AsyncGenerator[Any, None], view: View, ends: Ends) -> None:
    """Show values until they, or the ends that the user has chosen, are reached."""
    left = ends.values
    try:
        async with asyncio.timeout(ends.seconds) as limit, aclosing(publications):
            async for publication in publications:
                view.show(publication.value, str(publication.position))
                if left is not None and not (left := left - 1):
                    return
    except TimeoutError:
        if not limit.expired():
            raise
