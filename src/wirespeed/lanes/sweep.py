"""The sweep: cuts off lanes whose bytes nobody takes any more.

With bytes left in its buffer a transport neither notices nor finishes a close: a client that sent FIN, or that was
sent a close frame and stopped reading, would be kept for ever.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from ..isolation import for_each, log_error

INTERVAL = 0.25
ENDING_TIMEOUT = 0.5
CLOSING_TIMEOUT = 2.0
"""Seconds for a lane that the server closes, while its client is still there and may have much to take in."""


class Sweepable(Protocol):
    """What the sweep asks of a lane."""

    def backlog(self) -> int:
        """How many bytes wait in the transport, as far as it tells."""

    def writable(self) -> bool:
        """Whether there is room for more."""

    def ending(self) -> bool:
        """Whether the connection is on its way out: its client has left, or its transport is closing."""

    def settled(self) -> bool:
        """Whether there is nothing to look after: the connection is gone, or goes on and nothing waits for it."""

    def abort(self) -> None:
        """Cuts the connection, and what waits for it."""


@dataclass(slots=True)
class _Progress:
    """Since when a lane has made no progress."""

    since: float
    backlog: int
    ending: bool


class Sweep:
    """Looks four times per second at the lanes that have unsent bytes or are ending; others cost nothing.

    Args:
        stall_timeout: Seconds for which a lane may take none of its bytes.
    """

    def __init__(self, stall_timeout: float) -> None:
        self._stall_timeout = stall_timeout
        self._watched: dict[Sweepable, _Progress] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, lane: Sweepable) -> None:
        """Keeps an eye on a lane until it is settled."""
        loop = asyncio.get_running_loop()
        if lane not in self._watched:
            self._watched[lane] = _Progress(loop.time(), lane.backlog(), lane.ending())
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._round)

    def _round(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            for_each(list(self._watched), lambda lane: self._look(lane, self._watched[lane], now), self._cut)
        finally:
            if self._watched:
                self._timer = loop.call_later(INTERVAL, self._round)

    def _cut(self, lane: Sweepable, error: Exception) -> None:
        log_error(error, "A connection was cut: it could not be looked after.")
        self._watched.pop(lane, None)
        lane.abort()

    def _look(self, lane: Sweepable, watch: _Progress, now: float) -> None:
        if lane.settled():
            del self._watched[lane]
        elif self._is_stuck(lane, watch, now):
            del self._watched[lane]
            lane.abort()

    def _is_stuck(self, lane: Sweepable, watch: _Progress, now: float) -> bool:
        backlog, ending = lane.backlog(), lane.ending()
        progress = lane.writable() or backlog < watch.backlog
        # What is ending has its time, however fast it drains; what goes on, its timeout since the last progress.
        if ending != watch.ending or (progress and not ending):
            watch.since = now
        watch.backlog, watch.ending = backlog, ending
        closing = ENDING_TIMEOUT if getattr(lane, "left", True) else CLOSING_TIMEOUT
        return now - watch.since >= (closing if ending else self._stall_timeout)
