"""Beginning what commands ask for: a few at a time, so that the event loop serves others in between.

One frame may have a hundred subscribes, and a thousand clients may come back in the same moment.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from ...isolation import isolated

EACH_TURN = 8
"""How many are begun in one turn of the loop: two milliseconds of work."""

PER_SECOND = 2000
"""And for each second that the last turn has taken: where that is long, since thousands of handshakes go on, a third of
the time is for this, so that those who have come first are not kept waiting until all have."""


class Starter:
    """Begins things in the order in which they came.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = EACH_TURN
        self._since = loop.time()
        self._is_due = False

    def begin(self, start: Callable[[], None]) -> None:
        """Begins something, now or in one of the next turns of the loop."""
        if self._left:
            self._left -= 1
            _start(start)
        else:
            self._waiting.append(start)
        if not self._is_due:
            self._is_due = True
            self._since = self._loop.time()
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = self._loop.time()
        self._left = max(EACH_TURN, int((now - self._since) * PER_SECOND))
        self._since = now
        self._is_due = bool(self._waiting)
        while self._waiting and self._left:
            self._left -= 1
            _start(self._waiting.popleft())
        self._left = min(self._left, EACH_TURN)
        if self._is_due:
            self._loop.call_soon(self._turn)


def _start(start: Callable[[], None]) -> None:
    with isolated("A command could not be begun."):
        start()
