"""Shared logs: those that the processes of an app share through a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from sys import maxsize
from typing import Any

from ..brokers.broker import Broker, Post, Range, Stored
from ..definitions import Receipt
from ..errors import BrokerDown, Stopped, TooManyLogs, TopicComplete
from ..log.base import Encoded, Entry, Log, Piece
from ..log.cache import CACHED, Tally
from ..log.kinds import LogKind
from ..log.position import Position
from ..log.record import Record
from .completions import Completions
from .logs import LogReader, Logs
from .outbox import Outbox
from .output import SharedOutput
from .replica import LogReplica, record_of
from .staleness import Staleness

LINGER = 1.0
"""Seconds that a log stays attached after it was closed: a page that reloads must not detach and attach it."""


PATIENCE = 4.0
"""Seconds that the broker has for an answer. SDKs give up a subscription, and their connection, after five."""


FLUSH = 1.0
"""Seconds for which a log is not emptied while values for it wait for the broker."""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Limit the time in which the broker has to answer.

    Raises:
        BrokerDown: It has not answered in time.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise BrokerDown("the broker does not answer") from None


class SharedLogs(Logs):
    """Logs of a broker: values go through the outbox, and come back as records to the replicas of open logs.

    Attributes:
        leases: The leases of the logs; None if the broker has none.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        broker: Broker,
        outbox: Outbox,
        logs: int = 100_000,
        size: int = 256 * 1024 * 1024,
        cached: int = CACHED,
    ) -> None:
        self.leases = broker.leases
        self._loop = loop
        self._broker = broker
        self._outbox = outbox
        self._most = logs
        self._size = size
        self._tally = Tally(cached)
        self._replicas: dict[str, LogReplica] = {}
        self._detach: dict[str, Callable[[], None]] = {}
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._staleness = Staleness(loop, broker, self._reader)
        self.completions = Completions(loop, broker, outbox)

    def publish(
        self,
        name: str,
        kind: LogKind,
        value: Any,
        receipt: Receipt,
        done: Callable[[Stored, Any], None],
    ) -> None:
        """Send a value to the broker.

        Raises:
            BacklogFull: Too many bytes wait for the broker.
            TopicComplete: The log is about to be completed.
            Exception: Errors of the encoder.
        """
        if name in self.completions.names:
            raise TopicComplete(name)
        self._outbox.queue(name, kind.retention, partial(_record, kind), done).publish(value, receipt)

    def complete(self, name: str, kind: LogKind, receipt: Receipt) -> None:
        """Complete a log behind what this process has published to it; the receipt waits for the broker.

        Raises:
            BacklogFull: Too many bytes wait for the broker.
        """
        queue = self._outbox.queue(name, kind.retention, partial(_record, kind), _ignored)
        self.completions.start(queue, receipt)

    def output(
        self, name: str, kind: LogKind, token: str, fenced: Callable[[], None], rate: float | None
    ) -> SharedOutput:
        """Return the way of a generator's values to all processes.

        Args:
            token: Token by which this process holds the lease.
            fenced: Called when the broker has refused a value, because the lease is lost.
            rate: Publications per second at most, where newer values replace older ones; None for 60.
        """
        log = self._replicas[name].log
        return SharedOutput(self._outbox, name, kind, token, partial(_record, kind), fenced, log, rate)

    async def open(self, name: str, kind: LogKind, reader: LogReader) -> Log:
        """See :meth:`Logs.open`.

        Raises:
            BrokerDown: The broker cannot be reached.
            Stopped: The app has ended meanwhile.
        """
        replica = self._replicas.get(name)
        if replica is not None:
            if replica.reader is not None:
                raise ValueError(f"{name!r} is open already")
            if name in self._lingering:
                self._lingering.pop(name).cancel()
            replica.reader = reader
            self._staleness.remind(name)
            return replica.log
        if len(self._replicas) >= self._most:
            raise TooManyLogs(self._most)
        replica = self._replicas[name] = self._replica(kind, reader)
        replica.on_stale = partial(self._staleness.note, name)
        try:
            async with answering():
                detach = await self._broker.attach(name, kind.retention, replica)
        except BaseException:
            if name in self._replicas:
                self._forget(name)
            raise
        if name not in self._replicas:  # the app has ended meanwhile
            detach()
            raise Stopped(name)
        self._detach[name] = detach
        return replica.log

    def close(self, name: str) -> None:
        """See :meth:`Logs.close`; the log stays attached for a moment."""
        replica = self._replicas.get(name)
        if replica is not None and replica.reader is not None:
            replica.reader = None
            replica.log.passed(replica.log.head)
            self._lingering[name] = self._loop.call_later(LINGER, self._forget, name)

    async def held(self, name: str, kind: LogKind) -> tuple[list[Entry], Position | None]:
        """See :meth:`Logs.held`.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        if name in self._detach and self._broker.health.state == "ok":
            log = self._replicas[name].log
            log.expire(self._loop.time())
            return log.entries(), log.position
        async with answering():
            held = await self._broker.read(name, kind.retention)
        if held is None:
            return [], None
        copy = self._replica(kind, None)
        copy.begin(held.at, held.entries)
        copy.log.leave()
        return copy.log.entries(), held.at

    async def empty(self, name: str, kind: LogKind) -> None:
        """See :meth:`Logs.empty`; what this process has published and completed is sent before, in at most ``FLUSH`` s.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        queue = self._outbox.queue(name, kind.retention, partial(_record, kind), _ignored)
        with suppress(TimeoutError):  # of a key with a publication after the other
            async with asyncio.timeout(FLUSH):
                await self._outbox.sent(queue)
                await self.completions.over(name)
        async with answering():
            await self._broker.empty(name, kind.retention)
        self.end(name)

    def epoch(self, name: str) -> str | None:
        """Return the epoch of the copy of a log; None if this process has no copy."""
        return self._replicas[name].log.epoch if name in self._replicas else None

    async def loaded(self, name: str, kind: LogKind) -> str | None:
        """Return the epoch of a log that has been loaded, at the broker; None if it has not.

        Raises:
            BrokerDown: The broker cannot be reached, or has not answered in time.
        """
        async with answering():
            state = await self._broker.read(name, kind.retention, limit=0)
        return state.at.epoch if state is not None and state.is_loaded else None

    async def load(self, post: Post) -> str | None:
        """Let a log begin again with its first values; return its epoch, or None if there are no values.

        Raises:
            BrokerDown: It is unknown whether it was loaded.
            Fenced: The lease is lost.
            Exception: The broker does not take a value.
        """
        async with answering():
            (results,) = await self._broker.publish([post])
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results[-1].epoch if results and isinstance(results[-1], Position) else None

    async def newest(self, name: str, kind: LogKind) -> Position | None:
        """See :meth:`Logs.newest`.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        held = await self.read(name, kind, 1)
        return None if held is None else held.at

    async def read(self, name: str, kind: LogKind, limit: int | None = None) -> Range | None:
        """Return what the broker has that the copy of an open log has not; see :meth:`Broker.read`.

        Raises:
            BrokerDown: The broker cannot be reached, or has not answered in time.
        """
        async with answering():
            return await self._broker.read(name, kind.retention, self._replicas[name].log.position, limit)

    def end(self, name: str) -> None:
        """Detach a log at once, unless it is open again: the broker has dropped it."""
        if name in self._lingering:
            self._forget(name)

    def clear(self) -> None:
        """Detach all logs; those that are open can still be read."""
        for name in list(self._replicas):
            self._forget(name)
        self._staleness.stop()

    def stale_since(self, name: str) -> float | None:
        """Return the time of the loop's clock since when a log is out of date, if that is long ago; None otherwise."""
        return self._staleness.since(name)

    def _reader(self, name: str) -> LogReader | None:
        return self._replicas[name].reader if name in self._replicas else None

    def _replica(self, kind: LogKind, reader: LogReader | None) -> LogReplica:
        retention = kind.retention
        if retention.kind != "last":  # the broker has admitted each row, and each piece of a text
            retention = retention._replace(rows=maxsize, size=maxsize)
        return LogReplica(
            LogKind(retention, kind.values).log("", self._tally),
            reader,
            self._loop.time,
            self._make_room,
            retention.keeps_end,
        )

    def _make_room(self, log: Log) -> None:
        excess = self._tally.size - self._size
        if excess > 0:
            log.shrink(log.size - excess)

    def _forget(self, name: str) -> None:
        if name in self._lingering:
            self._lingering.pop(name).cancel()
        if name in self._detach:
            self._detach.pop(name)()
        self._replicas.pop(name).log.leave()
        self._staleness.forget(name)


def _ignored(result: Stored, value: Any) -> None:
    """Do nothing: a queue that does not exist has no values."""


def _record(kind: LogKind, value: Any) -> Record:
    state = value if type(value) in (Encoded, Piece) else kind.values.taken(value)
    return record_of(state, has_row=kind.retention.kind == "table")
