"""Outputs: the way of the values that a generator yields into the log of its key."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from ..brokers.broker import Stored
from ..errors import BrokerDown, Fenced, LogFull, Stopped, WirespeedError
from ..isolation import failure
from ..log.base import Append, Encoded, Log, Piece, Removed, Spoilt, Swap
from ..log.kinds import LogKind
from ..log.position import Position
from ..log.record import Record
from ..log.table import TableLog, row_name
from .outbox import RATE, Outbox
from .replica import record_of, state_of

MOMENT = 1.0
"""Seconds to wait for the broker after a failure, so that a value from before is not taken for a sign of recovery."""

Wait = Callable[[], Awaitable[None]]


class Output:
    """Publishes the values of one generator.

    Args:
        push: Publishes a value, or the state of one.
        log: The log of the key, or this process's copy of it.
    """

    room: Callable[[], Wait | None] | None = None
    """Returns the function by which the generator waits for room, or None while there is room; None if there always
    is."""

    def __init__(self, kind: LogKind, push: Callable[[Any], object], log: Log) -> None:
        self._kind = kind
        self._push = push
        self._log = log
        self._is_first = False

    @cached_property
    def publish(self) -> Callable[[Any], object]:
        """Publish a value in the shortest way; the log is open.

        Where newer values replace older ones, a value that cannot be encoded is counted, logged and skipped.
        """
        push, values = self._push, self._kind.values
        if values.split is not None or values.grow is not None or values.whole is not None:
            return lambda value: self.publish_taken(self.taken(value))
        if self._kind.retention.kind == "last":
            return push
        failed = values.failed

        def publish(value: Any) -> None:
            try:
                push(value)
            except WirespeedError:  # of the log
                raise
            except Exception as error:  # of the encoder; to take the state first would cost half as much again
                failed(error, value)

        return publish

    def publish_taken(self, state: Any) -> None:
        if type(state) is Spoilt:
            self._kind.values.failed(*state)
        elif type(state) is Swap:
            self._swap(state)
        else:
            self._push(state)

    def _swap(self, whole: Swap) -> None:
        """Let the table consist of some rows. Those that cannot be encoded are missing.

        Raises:
            LogFull: There are too many. Nothing was changed.
        """
        retention, rows = self._kind.retention, {}
        for state in whole.rows:
            if type(state) is Encoded:
                rows[row_name(state.row)] = state
            else:
                self.publish_taken(state)
        size = sum(len(each.payload) for each in rows.values())
        if len(rows) > retention.rows or size > retention.size:
            raise LogFull(retention.rows, retention.size)
        for change in self._changes(list(rows.values())):
            self._push(change)

    def _changes(self, rows: Sequence[Encoded]) -> Sequence[Encoded | Removed]:
        """Return the changes after which the table consists of some rows."""
        assert isinstance(self._log, TableLog)
        return self._log.difference(rows, {})

    def taken(self, value: Any) -> Any:
        """Return the state of a value that the generator has yielded; in its thread."""
        values = self._kind.values
        if values.whole is not None and (rows := values.whole(value)) is not None:
            return Swap(tuple(values.state(row) for row in rows))
        if self._is_first:
            self._is_first = False
            if type(value) is Append and values.row_of is None:  # what an earlier run has yielded is not continued
                value = value.text
        return values.taken(value) if self._kind.retention.kind == "last" else values.state(value)

    at: Position | None = None
    """Position of the newest value that was stored; None if only the log knows it."""

    async def settled(self) -> None:
        """Wait until all values are stored, or for a moment: the generator has failed."""

    def begin(self) -> None:
        """Begin a run of the generator. If a text grows, the first text that it appends begins a new one."""
        self._is_first = True

    async def finish(self) -> None:
        """Finish the run: the generator has ended by itself."""


class SharedOutput(Output):
    """Publishes the values of one generator to all processes, as long as this process holds the lease.

    Args:
        record: Makes a record of a value or of its state.
        fenced: Called when the broker has refused a value, because this process does not hold the lease any more.
    """

    def __init__(
        self,
        outbox: Outbox,
        name: str,
        kind: LogKind,
        token: str,
        record: Callable[[Any], Record],
        fenced: Callable[[], None],
        log: Log,
        rate: float | None = None,
    ) -> None:
        super().__init__(kind, self._put, log)
        self._newer: dict[Hashable, Any] = {}
        """The newest states of the rows that the log does not have yet, if the generator may yield whole tables."""
        self._stored: deque[tuple[Position, Record]] = deque()
        """Records that the broker has stored, and the log does not have yet."""
        self._outbox = outbox
        self._name = name
        self._make = record
        self._fenced = fenced
        self._error: Exception | None = None
        self._spoilt: Exception | None = None
        self._queue = outbox.queue(name, kind.retention, self._record, self._done, rate or RATE, token)
        if kind.retention.kind != "latest" or kind.values.grow is not None:
            self.room = self._room

    def _put(self, value: Any) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._kind.values.whole is not None:
            value = state_of(record_of(value, has_row=True))  # rows as the copy of the log has them
            self._newer[row_name(value.row)] = value
        self._queue.put(value)

    def _swap(self, whole: Swap) -> None:
        super()._swap(whole)
        self._queue.keep_together()

    def _changes(self, rows: Sequence[Encoded]) -> Sequence[Encoded | Removed]:
        assert isinstance(self._log, TableLog)
        states: Any = [state_of(record_of(each, has_row=True)) for each in rows]
        return self._log.difference(states, self._newer)

    def _keep_newer(self, at: Position, record: Record) -> None:
        """Note that a record was stored; forget what the log has by now."""
        self._stored.append((at, record))
        log, stored = self._log, self._stored
        # The log may be of an earlier epoch than the newest record, and then lacks it, or the record of an earlier one.
        while stored and log.epoch == at.epoch and (stored[0][0].epoch != at.epoch or log.reaches(stored[0][0])):
            state: Any = state_of(stored.popleft()[1])
            if self._newer.get(name := row_name(state.row)) == state:
                del self._newer[name]

    def _forget(self, record: Any) -> None:
        """Note that it is not known what the log has for a row: the broker has refused its newest state."""
        if self._newer and record.row is not None:
            row = json.loads(record.row)
            self._newer[row_name(row)] = Piece(b"", row)  # which no row equals

    def _room(self) -> Wait | None:
        return self._outbox.room if self._outbox.is_full() else None

    def _record(self, value: Any) -> Record:
        try:
            return self._make(value)
        except BaseException as error:
            self._spoilt = failure(error)
            raise self._spoilt from self._spoilt.__cause__

    def _done(self, result: Stored, value: Any) -> None:
        if isinstance(result, Fenced):
            self._fenced()
        elif isinstance(result, Exception) and result is self._spoilt:
            self._kind.values.failed(result, value)
        elif isinstance(result, Exception) and not isinstance(result, Stopped):
            self._forget(value)
            is_known = isinstance(result, WirespeedError)
            # The generator fails at its next value, and is started again after a while.
            self._error = result if is_known else BrokerDown(f"the broker has refused a value: {result}")
        elif not isinstance(result, Exception):
            self.at = result
            if self._kind.values.whole is not None:
                self._keep_newer(result, value)

    def abandon(self) -> None:
        """Drop all values that wait: the lease is lost, and the broker would refuse them."""
        self._outbox.abandon(self._queue, Fenced(self._name))

    async def sent(self) -> None:
        """Wait until the broker has all values."""
        await self._outbox.sent(self._queue)

    async def settled(self) -> None:
        """See :meth:`Output.settled`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MOMENT):
                await self.sent()

    async def finish(self) -> None:
        """Send the last values and end the log: the generator has ended by itself."""
        await self._outbox.end(self._queue, self._fenced)
