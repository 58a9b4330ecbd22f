"""The pulse of one response: proxies cut responses that are quiet for long."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pulse:
    """Calls a function whenever nothing was written for some time.

    Args:
        interval: Seconds of quiet after which it is called, again and again while the quiet lasts.
        beat: Writes something that means nothing to the client.
    """

    __slots__ = ("_beat", "_interval", "_last", "_loop", "_timer")

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._beat = beat
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def wrote(self) -> None:
        """Note that something was written: the quiet begins now."""
        self._last = self._loop.time()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat for as long as this is entered."""
        self.wrote()
        self._wait(self._interval)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        # One timer per response, moved only when it fires: a write costs one look at the clock, not a new timer.
        left = self._last + self._interval - self._loop.time()
        if left > 0:
            self._wait(left)
            return
        self._wait(self._interval)
        self.wrote()
        self._beat()
