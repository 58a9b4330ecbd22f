"""Channels: one key of a feed or topic, with its log, its audiences and, for a feed, its producer."""

import asyncio
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from ..brokers.base import Broker
from ..definitions import Watched
from ..errors import LogFull, TooManyLogs
from ..isolation import for_each, log_error
from ..log.base import Log, Spoilt
from ..log.keep import Keep, Last, Table
from ..log.latest import LatestLog
from ..log.table import TableLog
from ..settings import Settings
from .figures import Figures
from .producer import Producer
from .watcher import Audience, Watcher

logger = logging.getLogger("wirespeed")

_TOMBSTONES = 64

MakeAudience = Callable[[Log, int | None], Audience]


class Channel:
    """One key that is live: somebody watches it, or did a moment ago.

    Args:
        watched: What was declared.
        name: The key's name at the broker.
        keep: What its log holds.
        broker: Who keeps its log.
        figures: Where it is counted.
        make_audience: Makes the audience for a rate.
    """

    def __init__(
        self,
        watched: Watched[Any, Any],
        name: str,
        keep: Keep,
        broker: Broker,
        figures: Figures,
        make_audience: MakeAudience,
    ) -> None:
        self.watched = watched
        self.name = name
        self.keep = keep
        self.producer: Producer | None = None
        self.began = 0
        """The head of the log when the present run of the generator began, or the last one failed."""
        self.guests = 0
        """Those who are about to watch, or only wait for a value."""
        self._broker = broker
        self._figures = figures
        self._make_audience = make_audience
        self._log: Log | None = None
        self._table: TableLog | None = None
        self._is_open = False
        self._opening: asyncio.Lock | None = None
        self._audiences: dict[int | None, Audience] = {}
        self._heard: list[asyncio.Future[None]] = []
        self._is_alert = True
        self._tombstones = _TOMBSTONES

    async def open(self) -> Log:
        """Its log, opened for the first who asks."""
        if self._log is None:
            await self._open()
        assert self._log is not None
        return self._log

    async def _open(self) -> None:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._log is None:
                self._log = await self._broker.open(self.name, self.keep, self._news)
                self._is_open = True
                self._table = self._log if isinstance(self._log, TableLog) else None
        self._opening = None

    def begin(self) -> None:
        """What is in the log is of earlier runs of the generator; the log is open."""
        assert self._log is not None
        self.began = self._log.head

    @cached_property
    def _push(self) -> Callable[[Any], object]:
        return self._broker.publisher(self.name, self.keep)

    @cached_property
    def publish(self) -> Callable[[Any], object]:
        """Publish what a generator yields, by the broker's shortest way; once the log is open.

        Where newer values replace older ones, a value that cannot be encoded is counted, logged and passed over.
        """
        push, failed = self._push, self.keep.failed
        if self.keep.split is not None or not (self._broker.is_local or isinstance(self.keep, Last)):
            return lambda value: self.publish_taken(self.taken(value))
        if isinstance(self.keep, Last):
            return push

        def publish(value: Any) -> None:
            try:
                push(value)
            except (LogFull, TooManyLogs):
                raise
            except Exception as error:  # of the encoder; to take the state first would cost half as much again
                failed(error, value)

        return publish

    def publish_taken(self, state: Any) -> None:
        """Publish what :meth:`taken` has returned."""
        if type(state) is Spoilt:
            self.keep.failed(*state)
        else:
            self._push(state)

    def taken(self, value: Any) -> Any:
        """Return the state of a value that a generator has yielded; in its thread.

        Raises:
            Exception: What the encoder raises, for logs that keep more than the newest value.
        """
        return self.keep.taken(value) if isinstance(self.keep, Last) else self.keep.state(value)

    def close(self) -> None:
        """Nothing comes any more; what there is can still be read."""
        if self._is_open:
            self._is_open = False
            self._broker.close(self.name)

    def _news(self) -> None:
        self._figures.published += 1
        if self._is_alert:
            self._tell()

    def _alert(self) -> None:
        """Somebody wants to be told of the next entry."""
        self._is_alert = True

    def _tell(self) -> None:
        # Who is due reads the newest entry when its turn begins: until then there is nothing to tell of one log's kind.
        self._is_alert = not isinstance(self._log, LatestLog)
        for_each(self._audiences.values(), Audience.news, _not_told)
        if self._heard:
            self._tell_heard()
        if self._table is not None and self._table.tombstones > self._tombstones:
            self._drop_tombstones(self._table)

    # Who watches

    def watchers(self) -> Iterator[Watcher]:
        """All of its watchers."""
        for audience in self._audiences.values():
            yield from audience.watchers

    def is_watched(self) -> bool:
        """Whether anybody watches it, or is about to."""
        return self.guests > 0 or any(audience.watchers for audience in self._audiences.values())

    def add(self, watcher: Watcher, rate: int | None) -> None:
        """A watcher comes, after the log was opened."""
        assert self._log is not None
        if rate not in self._audiences:
            self._audiences[rate] = self._make_audience(self._log, rate)
            self._audiences[rate].on_begin = self._alert
            self._alert()  # the others may be due already, and want to be told of nothing more
        self._audiences[rate].add(watcher)

    def complete(self) -> None:
        """The feed is complete: those who wait are told, watchers when they have read everything."""
        for audience in self._audiences.values():
            audience.complete()
        self._tell_heard()

    def count(self) -> int:
        """How many watch."""
        return sum(len(audience.watchers) for audience in self._audiences.values())

    async def heard(self) -> None:
        """Waits for the next entry."""
        future = asyncio.get_running_loop().create_future()
        self._heard.append(future)
        self._alert()
        try:
            await future
        finally:
            if future in self._heard:
                self._heard.remove(future)

    def _tell_heard(self) -> None:
        for future in self._heard:
            if not future.done():
                future.set_result(None)

    def _drop_tombstones(self, log: TableLog) -> None:
        """Forgets removals that all have seen."""
        log.passed(min((each.cursor for each in self.watchers() if each.cursor), default=log.head))
        self._tombstones = max(2 * log.tombstones, _TOMBSTONES)


def _not_told(_: Audience, error: Exception) -> None:
    log_error(error, "Watchers could not be notified of news.")


def burst_of(keep: object) -> float:
    """How many entries may wait before they are written inline: half of what the log holds."""
    return max(keep.entries // 2, 1) if isinstance(keep, Last) else math.inf


def bounded(keep: Keep, settings: Settings, failed: Callable[[Exception, Any], None]) -> Keep:
    """What the logs of one app hold: bounded as its settings say."""
    if isinstance(keep, Table):
        return dataclasses.replace(keep, size=settings.max_log_bytes, rows=settings.max_table_rows, failed=failed)
    if isinstance(keep, Last):
        return dataclasses.replace(keep, size=settings.max_log_bytes, failed=failed)
    return dataclasses.replace(keep, failed=failed)
