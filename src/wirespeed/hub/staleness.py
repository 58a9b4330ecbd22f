"""Staleness: readers of logs learn when their copies have been out of date for a while, and when they are not."""

import asyncio
import logging
from collections.abc import Callable, Iterator

from ..brokers.broker import Broker
from .logs import LogReader
from .slices import Slices

logger = logging.getLogger("wirespeed")

STALE_AFTER = 5.0
"""Seconds that the broker may be away before readers are notified: a restart or a failover often takes less."""

TICK = 1.0
"""Seconds between two looks at the broker and at the logs that are out of date."""

_AWAY = "The broker cannot be reached: %s. Publications wait for it, and clients keep the values that they have."
_BACK = "The broker is reachable again, after %.1f seconds."


class Staleness:
    """The logs whose copies are out of date, by name.

    Args:
        reader: Returns the reader of a log; None if it is not open.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, broker: Broker, reader: Callable[[str], LogReader | None]
    ) -> None:
        self._loop = loop
        self._broker = broker
        self._reader = reader
        self._since: dict[str, float] = {}
        self._noticed: dict[str, float] = {}
        self._slices = Slices()
        self._lost_at: float | None = None
        self._tick()

    def note(self, name: str, since: float | None) -> None:
        """Note that the copy of a log is out of date since a time of the loop's clock, or up to date if None."""
        if since is not None:
            self._since[name] = since
            return
        del self._since[name]
        if self._noticed.pop(name, None) is not None:
            self._notify(name, None)

    def remind(self, name: str) -> None:
        """Notify the reader of a log again if it is stale: the log has another reader than before."""
        if name in self._noticed:
            self._notify(name, self._noticed[name])

    def since(self, name: str) -> float | None:
        """Return the time since when a log is stale; None if it is not, or not for long enough to be noticed."""
        return self._noticed.get(name)

    def forget(self, name: str) -> None:
        """Forget a log, which is not open any more."""
        self._since.pop(name, None)
        self._noticed.pop(name, None)

    def stop(self) -> None:
        """End: nothing is notified any more."""
        self._timer.cancel()
        self._slices.clear()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        now = self._loop.time()
        self._look(now)
        for name, since in self._since.items():
            if name not in self._noticed and now - since >= STALE_AFTER:
                self._noticed[name] = since
                self._notify(name, since)

    def _look(self, now: float) -> None:
        """Log that the broker has gone, or has returned."""
        health = self._broker.health
        if health.state == "down" and self._lost_at is None:
            self._lost_at = now if health.since is None else health.since
            logger.warning(_AWAY, health.problem or "the connection was lost")
        elif health.state != "down" and self._lost_at is not None:
            logger.warning(_BACK, now - self._lost_at)
            self._lost_at = None

    # Notices

    def _notify(self, name: str, since: float | None) -> None:
        self._slices.add(self._steps(name, since))  # a hundred thousand clients may lose the broker at the same moment

    def _steps(self, name: str, since: float | None) -> Iterator[None]:
        reader = self._reader(name)
        if reader is not None:
            yield from reader.stale(since)
