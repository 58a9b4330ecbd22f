"""The sweep: cuts off lanes whose bytes nobody takes any more.

With bytes left in its buffer a transport neither notices nor finishes a close: a client that sent FIN, or that was
sent a close frame and stopped reading, would be kept for ever.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

INTERVAL = 0.25
CLOSING_TIMEOUT = 0.5


class Sweepable(Protocol):
    """What the sweep asks of a lane."""

    def backlog(self) -> int:
        """How many bytes wait in the transport."""

    def writable(self) -> bool: ...

    def closing(self) -> bool: ...

    def abort(self) -> None:
        """Cuts the connection, and what waits for it."""


@dataclass(slots=True)
class _Watch:
    """Since when a lane has made no progress."""

    since: float
    backlog: int
    closing: bool


class Sweep:
    """Looks four times per second at the lanes that have unsent bytes, and at no others; idle lanes cost nothing.

    Args:
        loop: The loop of the lanes.
        stall_timeout: Seconds for which a lane may take none of its bytes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_timeout: float) -> None:
        self._loop = loop
        self._stall_timeout = stall_timeout
        self._watched: dict[Sweepable, _Watch] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, lane: Sweepable) -> None:
        """Keeps an eye on a lane with unsent bytes, until it has none."""
        if lane not in self._watched:
            self._watched[lane] = _Watch(self._loop.time(), lane.backlog(), closing=False)
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._round)

    def _round(self) -> None:
        now = self._loop.time()
        for lane, watch in list(self._watched.items()):
            if not lane.backlog():
                del self._watched[lane]
            elif self._is_stuck(lane, watch, now):
                del self._watched[lane]
                lane.abort()
        self._timer = self._loop.call_later(INTERVAL, self._round) if self._watched else None

    def _is_stuck(self, lane: Sweepable, watch: _Watch, now: float) -> bool:
        backlog, closing = lane.backlog(), lane.closing()
        progress = lane.writable() or backlog < watch.backlog
        # What closes has half a second, however fast it drains; what is open, its timeout since the last progress.
        if closing != watch.closing or (progress and not closing):
            watch.since = now
        watch.backlog, watch.closing = backlog, closing
        return now - watch.since >= (CLOSING_TIMEOUT if closing else self._stall_timeout)
