"""The broker for one process: it keeps the logs itself."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

from ..errors import TooManyLogs
from ..log.base import CACHED, Log, Removed, Tally
from ..log.keep import Keep
from ..log.position import Position, Unchanged
from .base import Broker
from .deadlines import Deadlines

EMPTY_RETAIN = 60.0
"""Seconds for which a log without entries is kept at most."""


class _Kept:
    """A log and who has it open; ``plain`` if publishing to it is appending, and nothing else."""

    __slots__ = ("deadline", "log", "on_news", "plain", "retain", "timed")

    def __init__(self, log: Log, keep: Keep) -> None:
        self.log = log
        self.retain = keep.retain
        self.timed = keep.timed
        self.plain = False
        self.on_news: Callable[[], None] | None = None
        self.deadline = 0.0

    def settle(self) -> None:
        """Say whether publishing is appending, and nothing else: not before the first entry, nor where time counts."""
        self.plain = self.on_news is not None and not self.timed and self.log.head > 0


class MemoryBroker(Broker):
    """Logs in this process, and for this process only.

    When there are too many logs, or too many bytes in them, those that are not open go first, the one longest unused
    before the others. When all are open, further ones are refused, and what is appended to drops older entries. Only a
    publication makes a log go: logs without entries, which clients open by asking for keys, are counted apart.

    Args:
        logs: How many logs with entries there may be, how many open ones, and how many empty ones that are not open.
        size: How many bytes they may hold together; the newest entry of each log always may.
        cached: How many bytes they may have ready for watchers beside that.
    """

    is_local: ClassVar[bool] = True

    def __init__(self, logs: int = 100_000, size: int = 256 * 1024 * 1024, cached: int = CACHED) -> None:
        self._most = logs
        self._size = size
        self._tally = Tally(cached)
        self._logs: dict[str, _Kept] = {}
        self._idle: OrderedDict[str, _Kept] = OrderedDict()
        self._empty: OrderedDict[str, _Kept] = OrderedDict()
        self._open = 0
        self._filled = 0
        self._running: asyncio.AbstractEventLoop | None = None
        self._deadlines = Deadlines(self._deadline, self._drop)

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = None
        self._deadlines.clear()
        for name in list(self._logs):
            self._drop(name)

    def publish(self, name: str, keep: Keep, value: Any) -> Position:
        """See :meth:`Broker.publish`; the position is always known at once."""
        kept = self._logs.get(name)
        if kept is None or not kept.plain or isinstance(value, Removed):
            return self._publish(name, keep, value)
        log = kept.log
        offset = log.head + 1
        log.append(value, offset, 0.0)
        if self._tally.size > self._size:
            self._make_room(name, log)
        if kept.on_news is not None:
            kept.on_news()
        # Half the time of calling the class; most callers have no use for it.
        return tuple.__new__(Position, (log.epoch, offset))

    def publisher(self, name: str, keep: Keep) -> Callable[[Any], object]:
        """See :meth:`Broker.publisher`; costs half of what :meth:`publish` does."""
        kept, tally, most = self._logs[name], self._tally, self._size
        log = kept.log
        append = log.append

        def publish(value: Any) -> None:
            if not kept.plain or kept.on_news is None or type(value) is Removed:
                self._publish(name, keep, value)
                return
            append(value, log.head + 1, 0.0)
            if tally.size > most:
                self._make_room(name, log)
            kept.on_news()

        return publish

    async def open(self, name: str, keep: Keep, on_news: Callable[[], None]) -> Log:
        """See :meth:`Broker.open`; it never waits."""
        now = self._loop.time()
        kept = self._logs.get(name)
        if kept is not None and kept.on_news is not None:
            raise ValueError(f"{name!r} is open already")
        if self._open >= self._most:
            raise TooManyLogs(self._most)
        if kept is None:
            kept = self._logs[name] = self._new(keep)
        self._open += 1
        kept.on_news = on_news
        kept.log.expire(now)
        self._idle.pop(name, None)
        self._empty.pop(name, None)
        kept.settle()
        return kept.log

    def close(self, name: str) -> None:
        """See :meth:`Broker.close`."""
        kept = self._logs.get(name)
        if kept is not None and kept.on_news is not None:
            self._open -= 1
            kept.on_news = None
            kept.settle()
            if kept.log.head:
                self._rest(name, kept, self._loop.time())
            elif kept.log.conflates:
                self._drop(name)
            else:
                self._rest_empty(name, kept)

    async def history(self, name: str, keep: Keep) -> Log | None:
        """See :meth:`Broker.history`; it never waits."""
        kept = self._logs.get(name)
        if kept is None:
            return None
        kept.log.expire(self._loop.time())
        return kept.log

    def end(self, name: str) -> None:
        """See :meth:`Broker.end`."""
        kept = self._logs.get(name)
        if kept is None:
            return
        if kept.on_news is not None:
            raise ValueError(f"{name!r} is open")
        self._drop(name)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._running is None:
            raise RuntimeError("the broker is not running")
        return self._running

    def _publish(self, name: str, keep: Keep, value: Any) -> Position:
        now = self._loop.time()
        kept = self._logs.get(name) or self._new(keep)
        log = kept.log
        if isinstance(value, Removed) and not log.has_row(value.row):
            if name not in self._logs:
                self._logs[name] = kept
                self._rest_empty(name, kept)
            return Unchanged(log.epoch, log.head)
        if log.head == 0 and self._filled >= self._most and not self._idle:
            raise TooManyLogs(self._most)
        log.append(value, log.head + 1, now)
        if log.head == 1:
            self._fill(name, kept)
        if kept.on_news is None:
            self._rest(name, kept, now)
        if self._tally.size > self._size:
            self._make_room(name, log)
        if kept.on_news is not None:
            kept.on_news()
        return Position(log.epoch, log.head)

    def _new(self, keep: Keep) -> _Kept:
        return _Kept(keep.log(secrets.token_hex(4), self._tally), keep)

    def _fill(self, name: str, kept: _Kept) -> None:
        """Take note that a log has its first entry."""
        if self._filled >= self._most:
            self._drop(next(iter(self._idle)))
        self._filled += 1
        self._empty.pop(name, None)
        self._logs[name] = kept
        kept.settle()

    def _rest(self, name: str, kept: _Kept, now: float) -> None:
        """Keeps a log that nobody has open for its time, counted from now."""
        kept.log.passed(kept.log.head)
        kept.deadline = now + kept.retain
        self._idle[name] = kept
        self._idle.move_to_end(name)
        self._deadlines.watch(name, self._loop)

    def _rest_empty(self, name: str, kept: _Kept) -> None:
        """Keep a log without entries for clients that return to their place before the first."""
        kept.deadline = self._loop.time() + min(kept.retain, EMPTY_RETAIN)
        if len(self._empty) >= self._most:
            self._drop(next(iter(self._empty)))
        self._empty[name] = kept
        self._deadlines.watch(name, self._loop)

    def _deadline(self, name: str) -> float | None:
        kept = self._idle.get(name) or self._empty.get(name)
        return None if kept is None else kept.deadline

    def _make_room(self, name: str, log: Log) -> None:
        while self._tally.size > self._size and self._idle and (oldest := next(iter(self._idle))) != name:
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
        self._empty.pop(name, None)
