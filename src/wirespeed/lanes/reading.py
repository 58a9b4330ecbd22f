"""Reading in slices: a parser gets a little at a time, and the event loop serves others in between.

One read may bring 256 KiB, which may be 40,000 frames: seconds of work. And a parser that reads ahead keeps messages
that the app has not asked for, which may be a thousand times as large as what was received, if they are compressed.
"""

import asyncio
from asyncio import Transport
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..isolation import log_error

SLICE = 0.002
"""Seconds of one turn of the loop for parsing what was read, of all connections together."""

PIECE = 1024
"""Bytes that are parsed at once: at most 170 frames."""

COMPRESSED_PIECE = 256
"""The same where messages may be compressed: they may become 256 KiB."""

_LAST_WORDS = 4 * 1024


class Readings:
    """The connections of one event loop whose bytes wait to be parsed; each gets a piece in turn."""

    def __init__(self) -> None:
        self._due: deque[Reading] = deque()
        self._is_due = False

    def wake(self, reading: "Reading") -> None:
        """A connection has something to parse."""
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
    """The transport of one connection as its protocol sees it: what was read is parsed before more is read.

    Args:
        transport: The connection's own transport.
        parse: Parses what was received.
        readings: Those of the event loop.
        piece: Bytes that are parsed at once.
    """

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
        """Parse what was received: at once if that is little, as it nearly always is."""
        if len(data) <= self._piece and not self._held and not self._is_paused:
            self._parse(data)
            return
        self._held, self._at = self._held[self._at :] + bytes(data), 0
        self._transport.pause_reading()
        self._wake()

    def pause_reading(self) -> None:
        """Stop: the app has to take a message first."""
        self._is_paused = True
        if not self._transport.is_closing():  # uvloop's transports raise then
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on with what was received before, and then with what comes."""
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
        """Parse one piece; return whether there is more that may be parsed now."""
        self._is_due = False
        if self._transport.is_closing():
            self._held = b""
        elif self._held and not self._is_paused:
            self._take()
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
            log_error(error, "A connection was cut: what its client has sent could not be parsed.")
            self._transport.abort()
        if not (self._held or self._is_paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def finish(self) -> None:
        """The connection is lost: parse the rest, if that is not much."""
        rest, self._held = self._held[self._at :], b""
        if rest and len(rest) <= _LAST_WORDS:
            self._parse(rest)
