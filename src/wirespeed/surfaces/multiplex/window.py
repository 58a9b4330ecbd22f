"""Windows: publications that are sent ahead of acknowledgements, so that a page keeps up and never shows old values.

A browser tab accepts everything that arrives, and queues it while its page is busy. Only acknowledgements by the page
itself bound the age of the values that it shows.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

from ...hub.buckets import Buckets
from ...hub.figures import Figures
from ...lanes.lane import nothing
from ...lanes.outlet import Outlet

SLACK = 0.15
"""Seconds beyond the round trip: ten acknowledgements per second, a paint, and some."""

FIRST_ROUND_TRIP = 1.0
"""Seconds that are assumed for a round trip until the first acknowledgement has arrived."""

_STEP = 0.005
"""Seconds of publications that are acknowledged together, so that few points in time are kept."""


@dataclass(slots=True)
class RoundTrip:
    """The smallest round trip that one connection has seen, the page's part included."""

    _smallest: float = inf
    patience: float = field(default_factory=lambda: FIRST_ROUND_TRIP + SLACK)
    """Seconds that the oldest publication may wait for its acknowledgement."""

    def seen(self, seconds: float) -> None:
        """Record a round trip."""
        if seconds < self._smallest:
            self._smallest = seconds
            self.patience = seconds + SLACK


@dataclass(slots=True, eq=False)
class Window:
    """The publications of one subscription that the client has not acknowledged.

    It is open while the oldest such publication is younger than the smallest round trip and some slack.
    """

    _time: Callable[[], float]
    """Returns seconds of a clock that does not go back."""
    _round_trip: RoundTrip
    _sent: int = 0
    """Number of publications in the reply, and since then."""
    on_open: Callable[[], None] = nothing
    """Called with each acknowledgement that leaves it open."""
    _waiting: asyncio.Event | None = None
    painted: Buckets | None = None
    """Receives the ages of values at their acknowledgements; None if they do not count."""
    _pending: deque[tuple[float, int, float | None]] = field(default_factory=deque)
    """Groups of publications: the time when the first was sent, the number of the last, and the time at which their
    oldest value arrived, in seconds of ``perf_counter``; None if they are older than the subscription."""

    def __post_init__(self) -> None:
        if self._sent:
            self._pending.append((self._time(), self._sent, None))

    def sent(self, since: float | None = None) -> None:
        """Count a publication that was sent.

        Args:
            since: Time at which its oldest value arrived; None if it has none that is younger than the subscription.
        """
        self._sent += 1
        now = self._time()
        if self._pending and now - self._pending[-1][0] < _STEP:
            now, _, earlier = self._pending.pop()
            since = since if earlier is None else earlier
        self._pending.append((now, self._sent, since))

    def is_open(self) -> bool:
        """Return True if more may be sent."""
        return not self._pending or self._time() - self._pending[0][0] <= self._round_trip.patience

    def age(self) -> float:
        """Return the seconds for which the oldest publication waits for its acknowledgement; 0 if none does."""
        return self._time() - self._pending[0][0] if self._pending else 0.0

    def acknowledge(self, count: int) -> None:
        """Take note of the number of this subscription's publications that the client has processed."""
        at = since = None
        while self._pending and self._pending[0][1] <= count:
            at, _, since = self._pending.popleft()
        # Only the newest: the page acknowledges ten times per second, and has painted the others before.
        if since is not None and self.painted is not None:
            self.painted.add(perf_counter() - since)
        if at is not None:
            if count <= self._sent:  # a larger number says nothing about the time of arrival
                self._round_trip.seen(self._time() - at)
            if self.is_open():
                self._opens()

    def _opens(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None
        self.on_open()

    async def opened(self) -> None:
        """Wait until the window is open. Cancelling it changes nothing."""
        while not self.is_open():
            self._waiting = self._waiting or asyncio.Event()  # one for all that wait: each of them is woken
            await self._waiting.wait()


@dataclass(slots=True, eq=False)
class WindowedOutlet:
    """An outlet as a watcher of one subscription sees it: each write is one publication, as batches are."""

    _outlet: Outlet
    _window: Window
    _figures: Figures

    def offer(self, frames: bytes, messages: int) -> bool:
        if not self._window.is_open() or not self._outlet.offer(frames, messages):
            return False
        if frames:
            self._window.sent(self._figures.since)
        return True

    def write(self, frames: bytes, messages: int) -> None:
        self._outlet.write(frames, messages)
        if frames:
            self._window.sent()

    def writable(self) -> bool:
        return self._window.is_open() and self._outlet.writable()

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Let the window wake the watcher; the outlet's lane notifies the connection, which knows its watchers."""
        self._window.on_open = wake or nothing
