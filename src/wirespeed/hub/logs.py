"""The logs of an app by the names of their keys, and those of them that only one process publishes to."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import TooManyLogs, TopicComplete
from ..log.base import Entry, Log, Removed, State
from ..log.cache import CACHED, Tally
from ..log.kinds import LogKind
from ..log.position import Position, Unchanged
from .deadlines import Deadlines

EMPTY_RETAIN = 60.0
"""Seconds for which a log without entries is kept at most."""


FIRST_RETAIN = 1.0
"""Seconds for which a log is kept at least after it was loaded: those who wait for it open it in a moment."""


class LogReader(ABC):
    """The reader of an open log; all methods are called in the loop."""

    @abstractmethod
    def news(self) -> None:
        """Note that an entry was appended."""

    def restarted(self) -> None:
        """Note that the log begins again: cursors may have lost entries."""

    def completed(self) -> None:
        """Note that the run that published to the log has ended by itself."""

    def stale(self, since: float | None) -> Iterator[None]:
        """Notify those who read the log that it is out of date since a time of the loop's clock; None if it is up to
        date again. The iterator notifies one of them in each step, so that its caller may pause."""
        return iter(())

    def notice(self, message: bytes) -> None:
        """Take a notice of another process, or of this one."""


class Logs(ABC):
    """The logs of an app, by name. All calls with one name have the same kind."""

    @abstractmethod
    async def open(self, name: str, kind: LogKind, reader: LogReader) -> Log:
        """Return a log, with everything that is retained; make it if it does not exist.

        Raises:
            ValueError: The log is open already.
            TooManyLogs: It needs a further log, and there is no room for one.
        """

    @abstractmethod
    def close(self, name: str) -> None:
        """Close a log: its reader is not notified any more. Nothing happens if it is not open."""

    @abstractmethod
    async def held(self, name: str, kind: LogKind) -> tuple[list[Entry], Position | None]:
        """Return the entries of a log, which need not be open, and its position; None if there is no such log."""

    @abstractmethod
    async def empty(self, name: str, kind: LogKind) -> None:
        """Drop the entries of a log, which need not be open, and its end; its reader has to be notified."""

    async def newest(self, name: str, kind: LogKind) -> Position | None:
        """Return the position of the newest entry that an open log has in any process; None if there is no other."""
        return None


class _Kept:
    """A log, and its reader if it is open; ``plain`` if publishing to it is appending, and nothing else.

    A log is open while a live key reads it. One that is not open is retained for a while, for clients that return.
    """

    __slots__ = ("deadline", "is_loaded", "log", "on_news", "plain", "reader", "retain", "timed")

    def __init__(self, log: Log, kind: LogKind) -> None:
        self.log = log
        self.retain = kind.retention.retain
        self.timed = kind.retention.seconds is not None
        self.plain = self.is_loaded = False
        self.on_news: Callable[[], None] | None = None
        self.reader: LogReader | None = None
        self.deadline = 0.0

    def settle(self) -> None:
        """Decide whether publishing is only appending: not before the first entry, nor where entries age."""
        self.plain = self.on_news is not None and not (self.timed or self.log.is_complete) and self.log.head > 0


class LocalLogs(Logs):
    """Logs that only this process publishes to. It numbers their entries itself.

    When there are too many logs, or too many bytes in them, logs that are not open are dropped first, the one longest
    unused before the others. When all are open, further ones are refused, and what is appended drops older entries.
    Only a publication drops a log: logs without entries, which clients open by asking for keys, are counted apart, and
    a load drops only logs that can be loaded again.

    Args:
        logs: Number of logs with entries, of open logs, and of empty logs that are not open; at most, each.
        size: Bytes that the logs may hold together; the newest entry of each log is always kept.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, logs: int = 100_000, size: int = 256 * 1024 * 1024, cached: int = CACHED
    ) -> None:
        self._loop = loop
        self._most = logs
        self._size = size
        self._tally = Tally(cached)
        self._logs: dict[str, _Kept] = {}
        self._idle: OrderedDict[str, _Kept] = OrderedDict()
        self._empty: OrderedDict[str, _Kept] = OrderedDict()
        self._spare: OrderedDict[str, _Kept] = OrderedDict()  # those of the idle ones that can be loaded again
        self._open = 0
        self._filled = 0
        self._deadlines = Deadlines(self._deadline, self._drop)

    def clear(self) -> None:
        """Drop all logs; those that are open can still be read."""
        self._deadlines.clear()
        for name in list(self._logs):
            self._drop(name)

    def publish(self, name: str, kind: LogKind, value: Any) -> Position:
        """Append a value to a log, which is made if it does not exist; return its position.

        The removal of a row that a table does not have changes nothing, and returns the head as ``Unchanged``.

        Raises:
            LogFull: It is a further row, and the table takes no more.
            TopicComplete: The log is complete.
            TooManyLogs: It needs a further log, and there is no room for one.
            Exception: Errors of the encoder. Nothing was appended, as with the other errors.
        """
        kept = self._logs.get(name)
        if kept is None or not kept.plain or isinstance(value, Removed):
            return self._publish(name, kind, value)
        log = kept.log
        offset = log.head + 1
        log.append(value, offset, 0.0)
        if self._tally.size > self._size:
            self._make_room(name, log, self._idle)
        if kept.on_news is not None:
            kept.on_news()
        # Half the time of calling the class; most callers have no use for it.
        return tuple.__new__(Position, (log.epoch, offset))

    def publisher(self, name: str, kind: LogKind) -> Callable[[Any], object]:
        """Return a function that publishes to an open log at half the cost of :meth:`publish`, without positions."""
        kept, tally, most = self._logs[name], self._tally, self._size
        log = kept.log
        append = log.append

        def publish(value: Any) -> None:
            if not kept.plain or kept.on_news is None or type(value) is Removed:
                self._publish(name, kind, value)
                return
            append(value, log.head + 1, 0.0)
            if tally.size > most:
                self._make_room(name, log, self._idle)
            kept.on_news()

        return publish

    async def open(self, name: str, kind: LogKind, reader: LogReader) -> Log:
        """See :meth:`Logs.open`; it never waits."""
        now = self._loop.time()
        kept = self._logs.get(name)
        if kept is not None and kept.on_news is not None:
            raise ValueError(f"{name!r} is open already")
        if self._open >= self._most:
            raise TooManyLogs(self._most)
        if kept is None:
            kept = self._logs[name] = self._new(kind)
        self._open += 1
        kept.on_news, kept.reader = reader.news, reader
        kept.log.expire(now)
        self._idle.pop(name, None)
        self._spare.pop(name, None)
        self._empty.pop(name, None)
        kept.settle()
        return kept.log

    def close(self, name: str) -> None:
        """See :meth:`Logs.close`.

        The log is retained for its time after the last close and the last publication, or less where room is needed.
        A log of the newest value or of rows that is empty goes at once, unless it was loaded.
        """
        kept = self._logs.get(name)
        if kept is not None and kept.on_news is not None:
            self._open -= 1
            kept.on_news = kept.reader = None
            kept.settle()
            if kept.log.head:
                self._rest(name, kept, self._loop.time())
            elif kept.log.conflates and not (kept.is_loaded or kept.log.is_complete):
                self._drop(name)
            else:
                self._rest_empty(name, kept)

    def is_open(self, name: str) -> bool:
        """Return True if a log is open: its reader learns of each entry."""
        kept = self._logs.get(name)
        return kept is not None and kept.on_news is not None

    def is_loaded(self, name: str) -> bool:
        """Return True if a log began with the values of a loader."""
        kept = self._logs.get(name)
        return kept is not None and kept.is_loaded

    def load(self, name: str, kind: LogKind, states: Iterable[State]) -> None:
        """Begin a log that is not open again, with its first values; it stays complete if it was.

        Raises:
            LogFull: The table has no room for them. Nothing was changed, as with the other error.
            TooManyLogs: There is no room for a further log.
        """
        now, kept = self._loop.time(), self._new(kind)
        log, old = kept.log, self._logs.get(name)
        filled = self._filled - (old is not None and old.log.head > 0)
        try:
            for number, state in enumerate(states, 1):
                log.append(state, number, now)
            if log.head and filled >= self._most and not self._spare:
                raise TooManyLogs(self._most)
        except BaseException:
            log.leave()
            raise
        self.end(name)
        kept.is_loaded = True
        if old is not None and old.log.is_complete:
            log.is_complete, kept.deadline = True, max(old.deadline, now + FIRST_RETAIN)
        self._logs[name] = kept
        if log.head:
            self._fill(name, kept, self._spare)
            self._rest(name, kept, now + max(FIRST_RETAIN - kept.retain, 0))
            if self._tally.size > self._size:
                self._make_room(name, log, self._spare)
        else:
            self._rest_empty(name, kept, FIRST_RETAIN)

    def find(self, name: str) -> Log | None:
        """Return a log as it is, without entries that are too old; None if there is none. It is not opened."""
        kept = self._logs.get(name)
        if kept is None:
            return None
        kept.log.expire(self._loop.time())
        return kept.log

    async def held(self, name: str, kind: LogKind) -> tuple[list[Entry], Position | None]:
        """See :meth:`Logs.held`; it never waits."""
        log = self.find(name)
        return ([], None) if log is None else (log.entries(), log.position)

    async def empty(self, name: str, kind: LogKind) -> None:
        """See :meth:`Logs.empty`; it never waits."""
        kept = self._logs.get(name)
        if kept is not None:
            kept.log.is_complete = False
            if kept.log.head:
                kept.log.empty()
            kept.settle()

    def end(self, name: str) -> None:
        """End the life of a log: its entries are dropped, and the next publication or open begins a new epoch.

        Raises:
            ValueError: The log is open.
        """
        kept = self._logs.get(name)
        if kept is None:
            return
        if kept.on_news is not None:
            raise ValueError(f"{name!r} is open")
        self._drop(name)

    def complete(self, name: str, kind: LogKind) -> Position:
        """Complete a log, which is made if it does not exist: it takes no more entries, and is retained from now on."""
        kept = self._logs.get(name) or self._new(kind)
        log, reader = kept.log, kept.reader
        if not log.is_complete:
            log.is_complete = True
            kept.deadline = max(kept.deadline, self._loop.time() + kept.retain)  # perhaps it was loaded a moment ago
            kept.settle()
            if name in self._idle:
                self._rest(name, kept, 0.0)
            elif reader is None:
                self._logs[name] = kept
                self._rest_empty(name, kept)
            else:
                reader.completed()
        return log.position

    def _publish(self, name: str, kind: LogKind, value: Any) -> Position:
        now = self._loop.time()
        kept = self._logs.get(name) or self._new(kind)
        log = kept.log
        if log.is_complete:
            raise TopicComplete(name)
        if isinstance(value, Removed) and not log.has_row(value.row):
            if name not in self._logs:
                self._logs[name] = kept
                self._rest_empty(name, kept)
            return Unchanged(log.epoch, log.head)
        if log.head == 0 and self._filled >= self._most and not self._idle:
            raise TooManyLogs(self._most)
        log.append(value, log.head + 1, now)
        if log.head == 1:
            self._fill(name, kept, self._idle)
        if kept.on_news is None:
            self._rest(name, kept, now)
        if self._tally.size > self._size:
            self._make_room(name, log, self._idle)
        if kept.on_news is not None:
            kept.on_news()
        return Position(log.epoch, log.head)

    def _new(self, kind: LogKind) -> _Kept:
        return _Kept(kind.log(secrets.token_hex(4), self._tally), kind)

    def _fill(self, name: str, kept: _Kept, others: Mapping[str, _Kept]) -> None:
        """Note that a log has its first entry; the first one of some others makes way for it."""
        if self._filled >= self._most:
            self._drop(next(iter(others)))
        self._filled += 1
        self._empty.pop(name, None)
        self._logs[name] = kept
        kept.settle()

    def _rest(self, name: str, kept: _Kept, now: float) -> None:
        """Keep a log that is not open for its time, counted from now; if it is complete, from its end."""
        kept.log.passed(kept.log.head)
        if not kept.log.is_complete:
            kept.deadline = now + kept.retain
        self._idle[name] = kept
        self._idle.move_to_end(name)
        self._spare.pop(name, None)
        if kept.is_loaded and not kept.log.is_complete:  # a loader does not know that a log is complete
            self._spare[name] = kept
        self._deadlines.watch(name, self._loop)

    def _rest_empty(self, name: str, kept: _Kept, least: float = 0.0) -> None:
        """Keep a log without entries for clients that resume from before the first entry, some seconds at least."""
        if not kept.log.is_complete:
            kept.deadline = self._loop.time() + max(min(kept.retain, EMPTY_RETAIN), least)
        if len(self._empty) >= self._most:
            self._drop(next(iter(self._empty)))
        self._empty[name] = kept
        self._deadlines.watch(name, self._loop)

    def _deadline(self, name: str) -> float | None:
        kept = self._idle.get(name) or self._empty.get(name)
        return None if kept is None else kept.deadline

    def _make_room(self, name: str, log: Log, others: Mapping[str, _Kept]) -> None:
        while self._tally.size > self._size and others and (oldest := next(iter(others))) != name:
            self._drop(oldest)
        excess = self._tally.size - self._size
        if excess > 0:
            log.shrink(log.size - excess)

    def _drop(self, name: str) -> None:
        kept = self._logs.pop(name)
        self._open -= kept.on_news is not None
        self._filled -= kept.log.head > 0
        kept.log.leave()
        self._idle.pop(name, None)
        self._spare.pop(name, None)
        self._empty.pop(name, None)
