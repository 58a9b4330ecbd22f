"""The heartbeat: proxies give up responses that are quiet for long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from ..lanes.lane import Lane

_COMMENT = b":\n\n"


class Heartbeat:
    """Writes a comment onto all lanes of Server-Sent Events every now and then; one timer for all.

    Args:
        loop: The event loop.
        interval: Seconds between two.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self._interval = interval
        self._lanes: set[Lane] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def of(self, lane: Lane) -> Iterator[None]:
        """A lane is kept alive for as long as this is entered."""
        self._lanes.add(lane)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._beat)
        try:
            yield
        finally:
            self._lanes.discard(lane)
            if not self._lanes and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._beat)
        for lane in self._lanes:
            if lane.writable():
                lane.write(_COMMENT, 0)
