"""Reading in slices: a parser gets a little at a time, and the event loop serves other connections in between.

One read may return 256 KiB, and these may be 40,000 frames: seconds of work. Also, a parser that reads ahead keeps
messages that the app has not asked for. If they are compressed, they may be a thousand times as large as what arrived.
"""

import asyncio
from asyncio import Transport
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..isolation import log_error

SLICE = 0.002
"""Seconds of one turn of the loop for parsing what was read, for all connections together."""

PIECE = 1024
"""Bytes to parse at once: at most 170 frames."""

COMPRESSED_PIECE = 256
"""Bytes to parse at once if messages may be compressed. They may decompress to 256 KiB."""

_LAST_WORDS = 4 * 1024


class Readings:
    """The connections of one event loop that have bytes to parse. Each of them gets a piece in turn."""

    def __init__(self) -> None:
        self._due: deque[Reading] = deque()
        self._is_due = False

    def wake(self, reading: "Reading") -> None:
        """Give a connection a turn: it has something to parse."""
        self._due.append(reading)
        self._schedule()

    def _schedule(self) -> None:
        if self._due and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        end = perf_counter() + SLICE
        while self._due:
            reading = self._due.popleft()
            if reading.step():
                self._due.append(reading)
            if perf_counter() >= end:
                break
        self._schedule()


class Reading:
    """The transport that a connection's protocol sees. It parses what was read before it reads more."""

    __slots__ = ("_at", "_held", "_is_due", "_is_paused", "_parse", "_piece", "_readings", "_transport", "write")

    def __init__(self, transport: Transport, parse: Callable[[bytes], None], readings: Readings, piece: int) -> None:
        self._transport = transport
        self._parse = parse
        self._readings = readings
        self._piece = piece
        self._held = b""
        self._at = 0
        self._is_due = False
        self._is_paused = False
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, at once if there are few. That is nearly always the case."""
        if len(data) <= self._piece and not self._held and not self._is_paused:
            self._parse(data)
            return
        self._held, self._at = self._held[self._at :] + bytes(data), 0
        self._transport.pause_reading()
        self._wake()

    def pause_reading(self) -> None:
        """Stop parsing and reading until the app has received a message."""
        self._is_paused = True
        if not self._transport.is_closing():  # uvloop's transports raise then
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Continue with the bytes that are held, and then with new ones."""
        self._is_paused = False
        if self._held:
            self._wake()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _wake(self) -> None:
        if not self._is_due and not self._is_paused:
            self._is_due = True
            self._readings.wake(self)

    def step(self) -> bool:
        """Parse one piece. Return True if there is more that may be parsed now."""
        self._is_due = False
        if self._transport.is_closing():
            self._held = b""
        elif self._held and not self._is_paused:
            self._take()
        # Parsing may have paused this reading, so this decides only now.
        self._is_due = bool(self._held) and not self._is_paused
        return self._is_due

    def _take(self) -> None:
        piece = self._held[self._at : self._at + self._piece]
        self._at += self._piece
        if self._at >= len(self._held):
            self._held, self._at = b"", 0
        try:
            self._parse(piece)
        except Exception as error:
            log_error(error, "A connection was aborted because the bytes of its client could not be parsed.")
            self._transport.abort()
        if not (self._held or self._is_paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def finish(self) -> None:
        """Parse the rest, unless it is large: the connection is lost."""
        rest, self._held = self._held[self._at :], b""
        if rest and len(rest) <= _LAST_WORDS:
            self._parse(rest)
