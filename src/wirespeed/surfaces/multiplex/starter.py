"""The beginning of works: all connections of an event loop share it."""

import asyncio
from collections import deque
from collections.abc import Callable

from ...isolation import failure, log_error

EACH_TURN = 8
"""Commands that are begun in one turn of the loop: two milliseconds of work."""

PER_SECOND = 2000
"""Commands that are begun beyond that for each second of the last turn. Where turns are long, because thousands of
handshakes are in progress, a third of the time is for commands: clients that came first do not wait for all others."""


class Starter:
    """Begins the works of all connections of an event loop, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = EACH_TURN
        self._since = loop.time()
        self._is_due = False

    def begin(self, start: Callable[[], None]) -> None:
        """Begin something, now or in one of the next turns of the loop."""
        if not self._is_due:
            self._is_due = True
            self._since = self.loop.time()
            self.loop.call_soon(self._turn)
        if self._left:
            self._left -= 1
            _start(start)
        else:
            self._waiting.append(start)

    def _turn(self) -> None:
        now = self.loop.time()
        self._left = max(EACH_TURN, int((now - self._since) * PER_SECOND))
        self._since = now
        self._is_due = bool(self._waiting)
        while self._waiting and self._left:
            self._left -= 1
            _start(self._waiting.popleft())
        self._left = min(self._left, EACH_TURN)
        if self._is_due:
            self.loop.call_soon(self._turn)


def _start(start: Callable[[], None]) -> None:
    try:
        start()
    except BaseException as error:
        log_error(failure(error), "A command could not be begun.")
