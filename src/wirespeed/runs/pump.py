"""The pump moves the values that an async generator yields to a lane.

Values that a generator yields without awaiting are framed together and written as one piece. When it awaits, everything
collected so far is written at once.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, ClassVar

from ..codec import Encoder, name_value
from ..lanes.lane import RunSink
from .drive import Consumer, closing, drive, let_others_run, paused

PIECE = 16 * 1024
"""Bytes to write at once while a generator continues. A piece is never twice as large, unless one value is."""


class LaneClosed(Exception):
    """The lane accepts no more, so the run is over."""


def not_counted(messages: int) -> None:
    """Do nothing: the values of a run are not counted."""


async def pump(
    values: AsyncIterator[Any], encoder: Encoder[Any], lane: RunSink, wrote: Callable[[int], None] = not_counted
) -> None:
    """Write everything that an async iterator yields to a lane, and close the iterator.

    Return when the iterator ends or the lane is closing. While the lane is not writable, the iterator waits.
    Cancelling this cancels the iterator where it stands; its ``finally`` blocks have run when this ends.

    Args:
        wrote: Called after each write with the number of its values.

    Raises:
        Exception: The iterator raised it, or the encoder raised it for a value that does not fit its type. All values
            before it were written.
    """
    collector = _Collector(encoder, lane, wrote)
    async with closing(values):
        with suppress(LaneClosed):
            await drive(collector.take(values), collector)


class _Collector(Consumer):
    """Collects the frames of a run until they are written."""

    __slots__ = ("_buffer", "_count", "_encoder", "_lane", "_parts", "_wrote")

    UNIT: ClassVar[int] = 2  # the header and the payload of a value are two parts

    def __init__(self, encoder: Encoder[Any], lane: RunSink, wrote: Callable[[int], None]) -> None:
        super().__init__()
        self._wrote = wrote
        self._encoder = encoder
        self._lane = lane
        self._parts: list[bytes] = []
        self._buffer = bytearray()
        self._count = 0

    async def take(self, values: AsyncIterator[Any]) -> None:
        """Collect all values. This loop costs about 0.1 µs per value beside generator and encoder."""
        encode, parts = self._encoder.encode, self._parts
        short, long = self._lane.headers(self._encoder.opcode)
        append = parts.append
        async for value in values:
            while True:  # runs once, unless the generator answers a cancellation with another value
                try:
                    payload = encode(value)
                except Exception as error:
                    name_value(error, value)
                    raise
                # Most payloads are short: looking their header up and failing for the others is cheaper than asking.
                try:
                    append(short[len(payload)])
                except IndexError:
                    append(long(len(payload)))
                    if len(payload) >= PIECE // 64:
                        self._limit = 0  # a piece may be full before the next regular check
                append(payload)
                if len(parts) < self._limit or not self._is_due() or not (more := await paused(values, self._pause)):
                    break
                (value,) = more

    def _is_due(self) -> bool:
        """Return True if the generator has to pause, for the lane or for others on the event loop.

        Raises:
            LaneClosed: Nothing more can be written.
            CancelledError: The run was cancelled, but the generator continued.
        """
        is_over = self._check()
        if self._lane.closing():
            raise LaneClosed
        self._collect()
        if len(self._buffer) >= PIECE:
            self.flush()
        return is_over or not self._lane.writable()

    async def _pause(self) -> None:
        # Waiting flushes what was collected, so the lane may fill up only now: wait for it after the turn.
        await let_others_run()
        await self._lane.drained()

    def _collect(self) -> None:
        self._count += len(self._parts) >> 1
        self._buffer += b"".join(self._parts)
        self._parts.clear()

    def flush(self) -> None:
        if self._parts:
            self._collect()
        if self._count:
            self._lane.write(bytes(self._buffer), self._count)
            self._wrote(self._count)
            self._buffer.clear()
            self._count = 0
