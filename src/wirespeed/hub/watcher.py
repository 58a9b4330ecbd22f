"""Watchers: cursors into a log, each with a lane. An audience consists of the watchers of one key at one pace."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from ..definitions import SourceHealth, SourceRefusal
from ..isolation import failure, isolated, log_error
from ..lanes.lane import Sink, nothing
from ..log.base import Log, Wire
from ..log.cache import Chunk
from .ages import Ages
from .clock import SLICE, Clock, Pace
from .figures import Figures

_NOTHING = Chunk(b"", 0, 0, 0, 0)

BATCH = 32
"""Watchers that are served at once, before the next audience gets its turn."""

FIRST = 4
"""Pieces that a watcher gets out of its turn: more than a lane has room for, unless each becomes very short."""


class Listener(Protocol):
    """The owner of a watcher, which learns what becomes of it."""

    __slots__ = ()

    def completed(self) -> None:
        """End the watch: the feed has completed, and the watcher has read everything."""

    def fell_behind(self, lost: int) -> None:
        """End the watch: the watcher has lost entries, which its feed does not allow."""

    def health(self, health: SourceHealth) -> None:
        """Notify the client that the health of the source has changed."""
        return

    def refused(self, refusal: SourceRefusal) -> None:
        """End the watch: the feed's generator refuses its watchers, and the watcher has read everything."""
        self.not_served()

    def not_served(self) -> None:
        """End the watch: the watcher could not be served."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One subscriber of one key: a cursor and a lane."""

    lane: Sink
    wire: Wire
    listener: Listener
    cursor: int
    """The last entry that it has read."""
    audience: "Audience | None" = None

    @property
    def lag(self) -> int:
        """Number of entries that it has not read."""
        return 0 if self.audience is None else self.audience.lag(self.cursor)

    def wake(self) -> None:
        """Serve it soon: its lane has room again."""
        if self.audience is not None:
            self.audience.wake_one(self)

    def catch_up(self, until: float | None = None) -> None:
        """Write what it has not read, now, as far as its lane has room.

        A filter that drops what it reads leaves room for any amount: after some pieces, the clock continues.

        Args:
            until: Time until which there may be more pieces, in seconds of ``perf_counter``; None for a slice.
        """
        if self.audience is not None:
            self.audience.serve(self, least=FIRST, until=until)

    def leave(self) -> None:
        """End the watch; nothing happens if it has ended already."""
        if self.audience is not None:
            self.audience.remove(self)


class Audience:
    """The watchers of one key at one pace. Watchers at the same cursor with the same wire share the same bytes.

    Args:
        pace: Limits their rate; None if the clock serves them as soon as there is news.
        skips: True if a watcher that has lost entries continues after a report.
        burst: Number of entries that may wait, before they are written without waiting for the clock.
    """

    def __init__(
        self, log: Log, figures: Figures, clock: Clock, pace: Pace | None, *, skips: bool, burst: float
    ) -> None:
        self.watchers: dict[Watcher, None] = {}
        self.on_begin: Callable[[], None] = nothing
        """Called when its turn begins: it has to be notified of later news."""
        self._log = log
        self._figures = figures
        self._clock = clock
        self._wake = clock.wake if pace is None else pace.wake
        self._skips = skips
        self._burst = burst
        self._flush_at = log.head + burst
        self._ages = Ages()
        self._arriving: dict[Watcher, int] = {}
        """Watchers that have not read everything that the log had when they came, and its newest entry then."""
        self._end = math.inf
        self._refusal: SourceRefusal | None = None
        self._is_due = False
        self._all = False
        # Of the next turn: all watchers (_all), or those whose lanes have room again. Of this turn: those to serve, of
        # which the first _at have been served.
        self._some: list[Watcher] = []
        self._pending: list[Watcher] = []
        self._at = 0

    def add(self, watcher: Watcher) -> None:
        """Add a watcher; everything that it begins with is written at once, before the log can drop it.

        If that takes long, as the deltas of a returning client do, the clock continues with it.
        """
        watcher.audience = self
        self.watchers[watcher] = None
        self._figures.watchers += 1
        watcher.lane.watched_by(watcher.wake)
        self._arriving[watcher] = head = self._log.head
        self.serve(watcher, most=FIRST)
        if watcher.cursor >= head:
            self._arriving.pop(watcher, None)

    def serve(self, watcher: Watcher, *, least: int = 1, most: float = math.inf, until: float | None = None) -> None:
        """Serve one watcher, now, until a time; the clock continues with it.

        Args:
            least: Pieces that it gets however long they take.
            most: Pieces that it gets however short they are.
        """
        until = perf_counter() + SLICE if until is None else until
        pending, at, reach = self._pending, self._at, self._ages.reach
        self._pending, self._at, self._ages.reach = [watcher], 0, None
        pieces = 0
        try:
            while is_going_on := self.step():
                pieces += 1
                if pieces >= most or (pieces >= least and perf_counter() > until):
                    break
        finally:
            self._pending, self._at, self._ages.reach = pending, at, reach
        if is_going_on:
            self.wake_one(watcher)

    def lag(self, cursor: int) -> int:
        """Return the number of entries behind a cursor."""
        return self._log.behind(cursor)

    def remove(self, watcher: Watcher) -> None:
        watcher.audience = None
        if watcher in self.watchers:  # its listener may raise after it was removed
            del self.watchers[watcher]
            self._figures.watchers -= 1
        self._arriving.pop(watcher, None)
        watcher.lane.watched_by(None)

    def wake_one(self, watcher: Watcher) -> None:
        """Serve a watcher whose lane had no room before."""
        self._some.append(watcher)
        if not self._is_due:
            self._is_due = True
            self._wake(self)

    def news(self) -> None:
        """Note that there is news for all."""
        if not self._all:
            self._all = True
            self._ages.news(self._log.head, self._clock.published or perf_counter())
        if not self._is_due:
            self._is_due = True
            self._wake(self)
        if self._log.head >= self._flush_at:
            self.flush()

    def complete(self, refusal: SourceRefusal | None = None) -> None:
        """Note that no more entries follow: each watcher ends when it has read everything.

        Args:
            refusal: The refusal with which watchers end; None if they are completed.
        """
        self._end, self._refusal = self._log.head, refusal
        self._all = True
        if not self._is_due:
            self._is_due = True
            self._clock.wake(self)

    def flush(self) -> None:
        """Serve all watchers that have room, now: the log must not outrun watchers that would keep up."""
        self.begin()
        while self.step():
            pass
        self._is_due = True  # it still is in the clock's queue

    # Called by the clock

    def begin(self) -> None:
        """Begin a turn; later news belongs to the next one."""
        served = self._pending[self._at :]
        self._pending = list(self.watchers) if self._all else served + self._some
        self._ages.begin(self._log.head if self._all else None)
        self._at = 0
        self._some = []
        self._all = self._is_due = False
        self.on_begin()
        self._flush_at = self._log.head + self._burst

    def step(self) -> bool:
        """Serve some watchers that are due, for about a slice of time; return True if there are more."""
        begun = perf_counter()
        at, self._at = self._at, min(self._at + BATCH, len(self._pending))  # watchers with more to read are added
        self._serve(self._pending[at : self._at], begun + SLICE)
        self._figures.flush_time += perf_counter() - begun
        return self._at < len(self._pending) or self._finish()

    def _serve(self, watchers: list[Watcher], until: float) -> None:  # noqa: C901 - calls would cost more than the steps
        """Serve watchers. This is the hot loop: beside the lane's write, about 0.5 µs per watcher."""
        log, head = self._log, self._log.head
        cursor, wire, chunk = -1, None, _NOTHING
        flushes = delivered = skipped = size = 0
        left, groups = iter(watchers), list[tuple[float | None, int]]()
        while True:
            try:
                for watcher in left:
                    if watcher.audience is None:
                        continue
                    if watcher.cursor != cursor or watcher.wire is not wire:
                        if not watcher.lane.writable():  # each stalled one is elsewhere: it needs no read
                            self._not_served(watcher)
                            continue
                        if groups and perf_counter() > until:  # reading took long, as filters and deltas may
                            self._pending += [watcher, *left]
                            break
                        chunk = log.read(cursor := watcher.cursor, wire := watcher.wire)
                        groups.append((self._since(watcher), flushes))
                    if chunk.lost:
                        self._has_lost(watcher, chunk.lost)
                        continue
                    if cursor == head or not watcher.lane.offer(chunk.data, chunk.entries):
                        self._not_served(watcher)
                        continue
                    watcher.cursor = chunk.cursor
                    flushes += 1
                    delivered += chunk.entries
                    skipped += chunk.skipped
                    size += len(chunk.data)
                    if chunk.cursor != head:
                        self._pending.append(watcher)
                    elif head >= self._end:
                        self._perhaps_completed(watcher)
                break
            except BaseException as error:  # it ends one watcher; the loop continues with the others
                self._fails(watcher, failure(error))
                cursor, wire = -1, None
        self._clock.note(flushes, delivered + skipped)
        self._figures.wrote(groups, flushes, delivered, skipped, size)

    def _since(self, watcher: Watcher) -> float | None:
        """Return the time at which the oldest entry arrived that a watcher reads next.

        None if it had arrived before the watcher came: its age says nothing about this watcher.
        """
        if self._arriving and watcher in self._arriving:
            if watcher.cursor < self._arriving[watcher]:
                self._figures.since = None
                return None
            del self._arriving[watcher]
        self._figures.since = since = self._ages.since(watcher.cursor)
        return since

    def _fails(self, watcher: Watcher, error: Exception) -> None:
        """End a watcher whose wire, lane or listener has raised an error."""
        log_error(error, "A watcher was ended: it could not be served.")
        self._figures.failed += 1
        with isolated("A watcher that failed could not be ended."):
            self.remove(watcher)
            watcher.listener.not_served()

    def _finish(self) -> bool:
        self._pending = []
        self._at = 0
        self._ages.finish()
        return False

    def _not_served(self, watcher: Watcher) -> None:
        self._ages.is_behind |= watcher.cursor != self._log.head
        self._perhaps_completed(watcher)

    def _perhaps_completed(self, watcher: Watcher) -> None:
        if watcher.cursor >= self._end:
            self.remove(watcher)
            if self._refusal is None:
                watcher.listener.completed()
            else:
                watcher.listener.refused(self._refusal)

    def _has_lost(self, watcher: Watcher, lost: int) -> None:
        """Report a loss to a watcher and let it continue, or end it."""
        if not watcher.lane.writable():
            self._ages.is_behind = True
            return
        log, wire = self._log, watcher.wire
        self._figures.lost += lost
        if log.conflates:  # a table whose removals are not known any more: the client starts over
            watcher.lane.write(wire.reset(), 0)
            watcher.cursor = 0
            self._arriving[watcher] = log.head
            self._pending.append(watcher)
            return
        count = lost if watcher.cursor >= log.broken else None
        report = wire.lost(count)
        # A client that cannot be informed of a new epoch has to resume, since it would resume later with the old one.
        if self._skips and (report or count is not None):
            watcher.lane.write(report, 0)
            watcher.wire = wire.after(lost, log.position_at(watcher.cursor).offset)
            watcher.cursor += lost
            self._pending.append(watcher)
        else:
            self.remove(watcher)
            watcher.listener.fell_behind(lost)
