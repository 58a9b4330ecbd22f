"""The sweep aborts connections whose clients accept no bytes any more.

While a transport has bytes in its buffer, it neither notices nor completes a close. Without the sweep, a client that
sent FIN, or that stopped reading after the server's close frame, would be kept forever.
"""

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from ..isolation import for_each, log_error
from .reading import SLICE

INTERVAL = 0.25
"""Seconds between two rounds."""

_BATCH = 32

LEFT_TIMEOUT = 0.5
"""Seconds that the end of a connection may take after its client has left."""

CLOSING_TIMEOUT = 2.0
"""Seconds that the end of a connection may take if the server closes it. A client that is still there may need time to
read what is waiting."""


class Sweepable(Protocol):
    """A connection that the sweep watches."""

    def backlog(self) -> int:
        """Return the number of bytes that wait in the transport, as far as it is known."""

    def writable(self) -> bool:
        """Return True if there is room for more."""

    def ending(self) -> bool:
        """Return True if the connection is ending: its client has left, or its transport is closing."""

    def ending_timeout(self) -> float:
        """Return the number of seconds that the end may take."""

    def settled(self) -> bool:
        """Return True if there is nothing to watch: the connection is gone, or is open and nothing waits for it."""

    def abort(self) -> None:
        """Abort the connection, and drop what waits for it."""


@dataclass(slots=True)
class _Progress:
    """The state of a connection at its last progress: since then, it is stuck."""

    since: float
    backlog: int
    ending: bool


class Sweep:
    """Looks four times per second at the connections that have unsent bytes or are ending. The others cost nothing."""

    def __init__(self, stall_timeout: float) -> None:
        self._stall_timeout = stall_timeout
        self._watched: dict[Sweepable, _Progress] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._left: list[Sweepable] = []
        """Those to look at in this round."""

    def watch(self, connection: Sweepable) -> None:
        """Watch a connection until it is settled."""
        loop = asyncio.get_running_loop()
        if connection not in self._watched:
            self._watched[connection] = _Progress(loop.time(), connection.backlog(), connection.ending())
        if self._timer is None and not self._left:
            self._timer = loop.call_later(INTERVAL, self._round)

    def _round(self) -> None:
        self._timer = None
        self._left = list(self._watched)
        self._continue()

    def _continue(self) -> None:
        """Look at some connections, for a slice of time; thousands of clients may stall at the same moment."""
        loop, until = asyncio.get_running_loop(), perf_counter() + SLICE
        now = loop.time()
        try:
            while self._left:
                some = self._left[-_BATCH:]
                del self._left[-_BATCH:]
                for_each(some, lambda each: self._look(each, now), self._failed)
                if perf_counter() > until:
                    break
        finally:
            if self._left:
                loop.call_soon(self._continue)
            elif self._watched:
                self._timer = loop.call_later(INTERVAL, self._round)

    def _failed(self, connection: Sweepable, error: Exception) -> None:
        log_error(error, "A connection was aborted because the check whether it is stuck failed.")
        self._abort(connection)

    def _look(self, connection: Sweepable, now: float) -> None:
        progress = self._watched[connection]
        if connection.settled():
            del self._watched[connection]
        elif self._is_stuck(connection, progress, now):
            self._abort(connection)

    def _abort(self, connection: Sweepable) -> None:
        self._watched.pop(connection, None)
        connection.abort()

    def _is_stuck(self, connection: Sweepable, progress: _Progress, now: float) -> bool:
        backlog, ending = connection.backlog(), connection.ending()
        has_progressed = connection.writable() or backlog < progress.backlog
        # An ending connection has a fixed time, however fast it drains: a client that reads a byte per second must
        # not keep it. An open one has its timeout since the last progress.
        if ending != progress.ending or (has_progressed and not ending):
            progress.since = now
        progress.backlog, progress.ending = backlog, ending
        return now - progress.since >= (connection.ending_timeout() if ending else self._stall_timeout)
