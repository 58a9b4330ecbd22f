"""Live keys: one key of a feed or topic, with its log, its audiences and, for a feed, its producer."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ..definitions import MOST_REASON, FeedDefinition, SourceHealth, SourceRefusal, Watched
from ..errors import BrokerDown
from ..isolation import for_each, isolated, log_error
from ..lanes.lane import nothing
from ..log.base import Entry, Log
from ..log.kinds import LogKind
from ..log.latest import LatestLog
from ..log.position import Position
from ..log.table import TableLog
from .figures import Figures
from .logs import LocalLogs, LogReader, Logs
from .output import Output
from .producer import Producer
from .watcher import Audience, Watcher

LATE = 2.0
"""Seconds that the announcement of an entry may be late, before its process is taken to be cut off from the broker."""

_TOMBSTONES = 64
"""Tombstones of a table below which it is not worth asking all watchers for their cursors."""

_START = Position("", 0)

_TURNS = 5
"""Turns of the loop without a further row, after which the generator of a table is taken to wait for something."""
_PAUSE = 0.02
"""Seconds without a further row, after which a generator that runs in a thread is taken to wait."""

MakeAudience = Callable[[Log, int | None], Audience]


class Ticket(NamedTuple):
    """The place where a watcher begins."""

    key: "LiveKey"
    log: Log
    values: Mapping[str, Any]
    cursor: int
    is_lost: bool = False
    """True if the watcher cannot resume from its position."""
    lost: int | None = None
    """Number of entries that it has lost then; None if unknown."""


@dataclass(eq=False)
class LiveKey(LogReader):
    """A key that is live: it is watched, or was until a moment ago.

    Attributes:
        is_shared: True if the key belongs to a feed whose generator runs in one process for all.
        producer: The run of the feed's generator; None if there is none, or it runs in another process.
        figures: The figures of its feed or topic.
        token: Token by which this process claims to run the generator for all processes; empty if it does not.
        arguments: The arguments of the generator that this process would run.
        values: The values of the key; None until a client watches it.
        opened: Newest entry of the log when it was opened.
        began: Newest entry of the log when the current run of the generator began, or the last one failed; None if it
            is not known where it began.
        guests: Number of clients that are about to watch, or only wait for a value. They keep the key alive.
        is_over: True once the key is not live any more.
        linger: The timer that ends it, after its last watcher has left.
        refusal: The refusal by the generator that has ended the key; None if it has not refused its watchers.
        on_restart: Called when the log has begun again, perhaps without its values.
    """

    watched: Watched[Any, Any]
    name: str
    kind: LogKind
    _logs: Logs
    figures: Figures
    _make_audience: MakeAudience
    """Makes the audience for a rate."""
    _on_completed: "Callable[[LiveKey], None]"
    _on_notice: "Callable[[LiveKey, bytes], None]"
    _spread: Callable[[Iterator[None]], None]
    """Runs an iterator in slices of time."""
    is_shared: bool = False
    producer: Producer | None = None
    token: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] | None = None
    opened: Position = _START
    began: Position | None = _START
    guests: int = 0
    is_over: bool = False
    linger: asyncio.TimerHandle | None = None
    refusal: SourceRefusal | None = None
    on_restart: Callable[[], None] = nothing
    _log: Log | None = None
    _is_open: bool = False
    _opening: asyncio.Lock | None = None
    _audiences: dict[int | None, Audience] = field(default_factory=dict)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _is_alert: bool = True
    _tombstones: int = _TOMBSTONES
    _stale: SourceHealth | None = None
    _failing: SourceHealth | None = None
    _failed_at: Position | None = None
    """Position of the newest entry when the generator failed first; None if an entry has followed."""
    _failed_since: float = 0.0
    _counts_as_failing: bool = False

    # The log

    async def open(self) -> Log:
        """Return its log, which the first caller opens."""
        if self._log is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._log is None:
                    log = await self._logs.open(self.name, self.kind, self)
                    self._log, self.opened = log, log.position
                    self._is_open = True
            self._opening = None
        return self._log

    @property
    def log(self) -> Log | None:
        """The log, if it has been opened."""
        return self._log

    def close(self) -> None:
        """Close the log: nothing is added any more, but it can still be read."""
        self._count_failing()
        if self._is_open:  # once: the name may belong to another key after that
            self._is_open = False
            self._logs.close(self.name)

    def begin(self) -> None:
        """Note that the entries of the log, which is open, are of earlier runs of the generator."""
        assert self._log is not None
        self.began = self._log.position

    def began_at(self, position: Position) -> None:
        """Note where the run of another process began."""
        if position != self.began:
            self.began = position
            self._wake_waiting()

    @cached_property
    def output(self) -> Output:
        """The way of a generator's values into the log, if only this process publishes to it; the log is open."""
        assert isinstance(self._logs, LocalLogs)
        assert self._log is not None
        return Output(self.kind, self._logs.publisher(self.name, self.kind), self._log)

    # Called by the logs

    def news(self) -> None:
        self.figures.published += 1
        if self._is_alert:
            self._notify()

    def restarted(self) -> None:
        self._notify()
        self.on_restart()

    def completed(self) -> None:
        if self._log is not None:  # otherwise it is being opened, and shows then that it is complete
            self._on_completed(self)
            self.complete()

    def is_complete(self) -> bool:
        """Return True if the log, which is open, takes no more entries."""
        return self._log is not None and self._log.is_complete

    def stale(self, since: float | None) -> Iterator[None]:
        now = asyncio.get_running_loop().time()
        self._stale = None if since is None else SourceHealth.ago("stale", now - since)
        yield from self._notify_health(self.health or SourceHealth.ago("live"))

    # The health of the source

    @property
    def health(self) -> SourceHealth | None:
        """Health of the source; None if it is live."""
        return self._stale or self._failing

    def is_failing(self) -> bool:
        """Return True if the generator keeps failing."""
        return self._failing is not None

    def runs(self, producer: Producer | None) -> None:
        """Take note of the run of the feed's generator, or of its end."""
        self.producer = producer
        self._count_failing()

    def _count_failing(self) -> None:
        """Count the key among those whose generator runs here and keeps failing, or no longer."""
        counts = self.is_failing() and self.producer is not None and not self.is_over
        self.figures.failing += counts - self._counts_as_failing
        self._counts_as_failing = counts

    def note(self) -> bytes:
        """Return the note by which other processes learn that the generator keeps failing; empty if it does not."""
        if self._failing is None or self._failed_at is None:
            return b""
        return self._failing.as_note(self._failed_at)

    def failed(self, reason: str, at: Position | None, *, is_sure: bool) -> None:
        """Note that the generator has raised.

        Args:
            at: Position of its newest entry; None if that is the newest of the log.
            is_sure: True if watchers have to know; False if the next run may be in order before they would notice.
        """
        assert self._log is not None
        at = at or self._log.position
        if at != self._failed_at:
            self._failed_at, self._failed_since = at, time.time()
        if is_sure:
            self.fails(SourceHealth("failing", round(self._failed_since, 3), reason[:MOST_REASON]), at)

    def fails(self, health: SourceHealth, at: Position) -> None:
        """Note that the generator keeps failing, here or in another process, since the entry at a position."""
        if health == self._failing or self._is_after(at):
            return
        was_live, self._failing, self._failed_at = self._failing is None, health, at
        self._count_failing()
        self._change_health()
        self._wake_waiting()  # a GET returns the last value
        if was_live:
            self._await_recovery()

    def _is_after(self, at: Position) -> bool:
        """Return True if the log has an entry after a position."""
        assert self._log is not None
        here = self._log.position
        return here.epoch != at.epoch or here.offset > at.offset

    def _await_recovery(self) -> None:
        # The next entry ends this wait, so that entries of a source that is live cost nothing for it.
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._perhaps_recovered)
        self._waiting.append(future)
        self._alert()

    def _perhaps_recovered(self, future: asyncio.Future[None]) -> None:
        self._waiting.remove(future)
        if self.is_over or self._failed_at is None:
            return
        if self._is_after(self._failed_at):
            self._failing = self._failed_at = None
            self._count_failing()
            self._change_health()
        else:
            self._await_recovery()

    def _change_health(self) -> None:
        if self._stale is None:
            self._spread(self._notify_health(self._failing or SourceHealth.ago("live")))

    def _notify_health(self, health: SourceHealth) -> Iterator[None]:
        for watcher in list(self.watchers()):
            with isolated("A client could not be notified of the health of its source."):
                watcher.listener.health(health)
            yield

    def notice(self, message: bytes) -> None:
        self._on_notice(self, message)

    def _alert(self) -> None:
        """Ask to be notified of the next entry."""
        self._is_alert = True

    def _notify(self) -> None:
        # A watcher that is due reads the newest entry when its turn begins, so a log of the newest value has nothing
        # more to say until then. At 100,000 values per second, this saves most of the calls below.
        self._is_alert = not isinstance(self._log, LatestLog)
        for_each(self._audiences.values(), Audience.news, _not_notified)
        if self._waiting:
            self._wake_waiting()
        if isinstance(self._log, TableLog) and self._log.tombstones > self._tombstones:
            self._drop_tombstones(self._log)

    def _drop_tombstones(self, log: TableLog) -> None:
        """Drop the removals that all watchers have seen."""
        # A watcher at 0 reads the whole table, which has no tombstones.
        log.passed(min((each.cursor for each in self.watchers() if each.cursor), default=log.head))
        self._tombstones = max(2 * log.tombstones, _TOMBSTONES)

    # Watchers

    def ticket(self, log: Log, values: Mapping[str, Any], since: Position | None) -> Ticket:
        """Return the place of a new watcher, or of one that returns with its position.

        A new watcher of a complete log gets all entries that clients may have: there is nothing else to wait for.
        """
        options = self.watched.options
        if since is None:
            gets_all = log.is_complete and options.history is True
            return Ticket(self, log, values, log.beginning(log.head if gets_all else options.replay))
        if not since.epoch:  # the client has seen no entry yet
            since = Position(log.epoch, since.offset)
        cursor, is_withheld = log.resume(since), self.watched.options.history is False
        if cursor is not None and not (is_withheld and cursor < log.head):
            return Ticket(self, log, values, cursor)
        # The entry at its position is gone: the client gets everything that is held, with a report of the loss.
        cursor, known = log.beginning(0 if is_withheld else log.head), log.cursor_at(since.offset)
        lost = cursor - known if since.epoch == log.epoch and known <= log.head else None
        return Ticket(self, log, values, cursor, is_lost=not isinstance(log, LatestLog), lost=lost)

    def watch(self, ticket: Ticket, watcher: Watcher, rate: int | None) -> None:
        """Add a watcher; everything that it begins with is written at once."""
        if ticket.is_lost and isinstance(ticket.log, TableLog):
            watcher.lane.write(watcher.wire.reset(), 0)
        elif ticket.is_lost:
            self.figures.lost += ticket.lost or 0
            watcher.lane.write(watcher.wire.lost(ticket.lost), 0)
        if rate not in self._audiences:
            self._audiences[rate] = self._make_audience(ticket.log, rate)
            self._audiences[rate].on_begin = self._alert
            self._alert()  # the other audiences may be due already, and need no further notice
        self._audiences[rate].add(watcher)
        if self.health is not None:
            watcher.listener.health(self.health)

    def complete(self) -> None:
        """End the watchers, each when it has read everything, and those that wait for a value."""
        for audience in self._audiences.values():
            audience.complete(self.refusal)
        self._wake_waiting()

    def watchers(self) -> Iterator[Watcher]:
        for audience in self._audiences.values():
            yield from audience.watchers

    def is_watched(self) -> bool:
        """Return True if it is watched, or about to be."""
        return self.guests > 0 or any(audience.watchers for audience in self._audiences.values())

    def count(self) -> int:
        """Return the number of watchers."""
        count = 0
        for audience in self._audiences.values():  # in half the time of sum(), since most keys have one
            count += len(audience.watchers)
        return count

    # Clients that wait for a value

    async def catch_up(self, log: Log) -> None:
        """Wait until this process's copy of a log has everything that the broker has now.

        A client that comes from another process may have more entries than this copy: announcements are late, or this
        process is cut off. It would otherwise be taken for a client that has lost entries, and get some twice.

        Raises:
            BrokerDown: The broker cannot be reached, or the copy is still behind after a moment.
        """
        newest = await self._logs.newest(self.name, self.kind)
        try:
            async with asyncio.timeout(LATE):
                while newest is not None and not log.reaches(newest):
                    await self.entry()
        except TimeoutError:
            raise BrokerDown("this process has not caught up with the broker") from None

    async def emptied(self) -> None:
        """Notify the watchers that the log was emptied; raise as :meth:`catch_up`."""
        if self._log is not None:
            await self.catch_up(self._log)
            self._notify()

    async def newest(self, now: Callable[[], float], most: int | None = None) -> list[Entry]:
        """Return the newest value, or at most ``most`` of the rows of a table, which are all by default.

        For a feed, wait for a value of the current run.
        """
        assert self._log is not None
        in_thread = isinstance(self.watched, FeedDefinition) and self.watched.synchronous
        while not (held := self._current(self._log, now(), most)) and self._is_running() and not self.is_over:
            await self.entry()
            if isinstance(self._log, TableLog):
                await _filled(self._log, in_thread=in_thread)
        return held

    def _current(self, log: Log, now: float, most: int | None) -> list[Entry]:
        """Return the newest entries, unless they have expired, or an earlier run of the generator yielded them.

        If the generator keeps failing, those of an earlier run count, too.
        """
        began = _START if self.is_failing() else self.began
        if began is None or (log.epoch == began.epoch and log.position.offset <= began.offset):
            return []
        log.expire(now)
        return log.newest(most)

    def _is_running(self) -> bool:
        """Return True if a generator runs, here or in another process."""
        return not self.is_complete() and (self.is_shared or self.producer is not None)

    async def entry(self) -> None:
        """Wait for the next entry, or for another reason to look again."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._alert()
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _wake_waiting(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _not_notified(_: object, error: Exception) -> None:
    log_error(error, "Watchers could not be notified of news.")


async def _filled(log: TableLog, *, in_thread: bool) -> None:
    """Wait while a generator yields further rows without waiting for anything itself."""
    quiet = rows = 0
    while quiet < (1 if in_thread else _TURNS):
        await asyncio.sleep(_PAUSE if in_thread else 0)
        quiet = quiet + 1 if log.rows == rows else 0
        rows = log.rows


def burst_of(kind: LogKind) -> float:
    """Return how many entries may wait before they are written inline: half of what the log holds."""
    return max(kind.retention.entries // 2, 1) if kind.retention.kind == "last" else math.inf
