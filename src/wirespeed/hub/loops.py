"""Loops of the app's own code over a key: watchers without a connection, with the log and the bounds of all others."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

from ..definitions import Seen, SourceRefusal, Watched
from ..errors import WatchEnded
from ..log.base import Marks, Wire
from ..log.position import Position
from .clock import rate_class
from .engine import Engine, KeyRefused
from .watcher import Listener


class _SeenWire(Wire):
    """Entries as a loop takes them apart again: a letter, and each part behind its size."""

    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        return b"v" + _sized(payload) + _sized(b"")

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        return b"v" + _sized(payload) + _sized(row)

    def removed(self, row: bytes, position: Position) -> bytes:
        return b"d" + _sized(b"") + _sized(row)

    def reset(self) -> bytes:
        return b"r" + _sized(b"") + _sized(b"")

    def lost(self, count: int | None) -> bytes:
        return b"l" + _sized(b"") + _sized(b"")


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(4) + part


_WIRE = _SeenWire()  # one object for all loops, so that they share bytes


def _parts(data: bytes) -> Iterator[Seen]:
    at = 0
    while at < len(data):
        letter, size = data[at : at + 1], int.from_bytes(data[at + 1 : at + 5])
        payload, at = data[at + 5 : at + 5 + size], at + 5 + size
        size = int.from_bytes(data[at : at + 4])
        row, at = data[at + 4 : at + 4 + size], at + 4 + size
        if letter != b"l":  # a loss after which the loop goes on
            yield Seen(letter, payload, row)


class Loop(Listener):
    """One loop: the sink and the listener of its watcher.

    It takes one piece at a time, and only when it waits for one: a slow loop falls behind as a slow client does.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._data = b""
        self._waiting: asyncio.Future[None] | None = None
        self._is_over = False
        self._error: WatchEnded | None = None

    async def next(self, catch_up: Callable[[], None]) -> bytes:
        """Return what comes next; empty at the end.

        Raises:
            WatchEnded: The loop has lost values, the generator refuses its watchers, or the loop cannot be served.
        """
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            catch_up()
            if not (self._data or self._is_over):
                await self._waiting
        finally:
            self._waiting = None
        data, self._data = self._data, b""
        if not data and self._error is not None:
            raise self._error
        return data

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # The sink

    def write(self, frames: bytes, messages: int) -> None:
        self._data += frames
        if self._data:  # the rows of a table that is empty are no bytes, and no end
            self._wake()

    def offer(self, frames: bytes, messages: int) -> bool:
        if not self.writable():
            return False
        self.write(frames, messages)
        return True

    def writable(self) -> bool:
        return self._waiting is not None and not self._data

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Do nothing: a loop that has room asks for more itself."""

    # The listener

    def completed(self) -> None:
        """End the loop, as soon as it has taken everything."""
        self._is_over = True
        self._wake()

    def _ended(self, why: str, lost: int = 0, status: int = 0) -> None:
        self._error = WatchEnded(self._what, why, lost, status)
        self.completed()

    def fell_behind(self, lost: int) -> None:
        """End the loop with an error: it has missed values, and its log does not allow that."""
        self._ended(f"{lost} values were lost, because it was too slow, or the log was emptied or began again", lost)

    def refused(self, refusal: SourceRefusal) -> None:
        """End the loop with an error: the feed's generator refuses its watchers."""
        self._ended(f"the generator refuses its watchers: {refusal.detail or refusal.status}", status=refusal.status)

    def not_served(self) -> None:
        """End the loop with an error: it could not be served."""
        self._ended("it could not be served", status=500)


async def loop_over(
    engine: Engine, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]
) -> AsyncGenerator[Seen, None]:
    """Watch a key until it is complete or the app stops; yield what comes.

    Raises:
        WatchEnded: The loop has lost values, the generator refuses its watchers, or the loop cannot be served.
        Unavailable: The key cannot be watched now.
        TimeoutError: The generator's previous run does not end.
    """
    loop = Loop(watched.title)
    try:
        ticket = await engine.enter(watched, name, values, None)
    except KeyRefused as error:
        loop.refused(error.refusal)
        await loop.next(lambda: None)
        return
    try:
        watcher = engine.watch(ticket, loop, _WIRE, loop, rate_class(watched.options.max_rate))
    except BaseException:
        engine.leave(ticket)
        raise
    engine.loops.add(loop)
    try:
        while data := await loop.next(watcher.catch_up):
            for each in _parts(data):
                yield each
    finally:
        engine.loops.discard(loop)
        engine.unwatch(name, watcher)
