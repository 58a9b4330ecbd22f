"""The engine: the keys of an app that are live, in one event loop, with their watchers."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from anyio import CapacityLimiter

from ..definitions import FeedDefinition, SourceHealth, SourceRefusal, Watched, WatchStatistics
from ..errors import BrokerDown, SourceError, Stopped, TooManyLogs
from ..lanes.lane import Sink
from ..log.base import Entry, Log, Wire
from ..log.position import Position
from ..runs.outcome import Refusal, Refused, no_refusal
from ..settings import Settings
from .clock import FRAME_RATE, RATES, Clock, Pace
from .live_key import LiveKey, Ticket, burst_of
from .logs import LocalLogs
from .outlets import Outlets
from .output import Output
from .producers import Producers
from .publishing import Publishing
from .shared import SharedLogs
from .slices import Slices
from .tenures import Tenures
from .traces import Traces
from .watcher import Audience, Listener, Watcher

REFUSED_FOR = 5.0
"""Seconds for which the refusal of a generator stands, unless its ``Retry-After`` says otherwise."""
LONGEST_REFUSAL = 3600.0


class KeyRefused(Exception):
    """The generator of a feed has refused the watchers of a key.

    Args:
        left: Seconds for which the refusal stands.
    """

    def __init__(self, refusal: SourceRefusal, left: float) -> None:
        super().__init__(refusal, left)
        self.refusal = refusal
        self.left = left


class NoValue(TimeoutError):
    """No value of a key came in time.

    Args:
        health: Health of the source; None if it is live.
    """

    def __init__(self, health: SourceHealth | None) -> None:
        super().__init__()
        self.health = health


def refusal_of(refused: Refused) -> tuple[SourceRefusal, float]:
    """Return the refusal by a generator, and the seconds for which it stands."""
    headers = dict(getattr(refused.error, "headers", None) or {})
    refusal = SourceRefusal.plain(refused.status, refused.detail, refused.close, headers)
    given = next((value for name, value in refusal.headers.items() if name.lower() == "retry-after"), "")
    seconds = min(max(float(given), 1.0), LONGEST_REFUSAL) if given.isdecimal() else REFUSED_FOR
    return refusal, seconds


class Newest(NamedTuple):
    """The newest value of a key, or the rows of a table, for a client that does not watch."""

    entries: list[Entry]
    health: SourceHealth | None
    """Health of the source; None if it is live."""
    log: Log
    """The log, which may change when the client next waits."""


class Engine:
    """The live keys of one app in one event loop.

    Attributes:
        loops: The loops of the app's own code over keys.
        on_notice: Functions that take the notices of all processes to a key, by their first word.
    """

    def __init__(
        self,
        local: LocalLogs,
        threads: CapacityLimiter,
        settings: Settings,
        shared: SharedLogs | None = None,
        refusal: Refusal = no_refusal,
        traces: Traces | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = Clock(self.loop, settings.min_pause, settings.max_pause)
        self.outlets = Outlets(self.loop, self.clock)
        self._settings = settings
        self._thread = threading.get_ident()
        self._local = local
        self._shared = shared
        self._is_over = False
        self.loops: set[Listener] = set()
        self.on_notice: dict[bytes, Callable[[LiveKey, bytes], None]] = {}
        self._paces = {rate: Pace(self.loop, self.clock, rate) for rate in (*RATES, FRAME_RATE)}
        self._keys: dict[str, LiveKey] = {}
        self._keys_of: defaultdict[Watched[Any, Any], set[LiveKey]] = defaultdict(set)
        self.publishing = Publishing(local, shared, self._keys, settings, threads)
        self._loads = self.publishing.loads
        self._slices = Slices()
        self._refused: dict[str, tuple[SourceRefusal, float]] = {}
        """Refusals by generators, with the times of the loop's clock until which they stand."""
        self._producers = Producers(threads, self._failed, self._completed, self._ended, self._refuses, refusal)
        self._producers.traces = traces or self._producers.traces
        self._tenures: Tenures | None = None
        if shared is not None and shared.leases is not None:
            seconds = settings.lease_timeout
            self._tenures = tenures = Tenures(shared.leases, shared, self._producers, self._drop, self._refuse, seconds)
            self.on_notice[b"vacant"] = lambda key, _: tenures.vacant(key)

    def is_here(self) -> bool:
        """Return True in the thread of the event loop."""
        return threading.get_ident() == self._thread

    # Watching

    def check_room(self, name: str) -> None:
        """Make sure that a key may be watched.

        Raises:
            TooManyLogs: Too many other keys are watched.
        """
        if name not in self._keys and len(self._keys) >= self._settings.max_keys:
            raise TooManyLogs(self._settings.max_keys)

    async def enter(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], since: Position | None
    ) -> Ticket:
        """Reserve the place of a watcher: every value published from now on is for it.

        Returns:
            A ticket, for :meth:`watch` or :meth:`leave`.

        Raises:
            TooManyLogs: Too many other keys are live.
            KeyRefused: The generator has refused its watchers, a moment ago.
            TimeoutError: The generator's previous run does not end.
            BrokerDown: The broker cannot be reached, or this process has not caught up with it.
            NotLoaded: The topic's loader failed.
            Exception: The loader has refused the client.
        """
        key = await self._entered(watched, name)
        key.values = values
        try:
            log = await self._opened(key, values)
            if since is not None and since.epoch and not log.reaches(since):
                await key.catch_up(log)
            log.expire(self.loop.time())
            return key.ticket(log, values, since)
        except BaseException:
            self._leave(key)
            raise

    async def _entered(self, watched: Watched[Any, Any], name: str) -> LiveKey:
        """Return a key, kept alive until :meth:`_leave`. If its previous run is stopping, wait for its end.

        A key whose generator runs once for all processes needs no wait: its lease is claimed again after the end.
        """
        while True:
            if self._is_over:
                raise Stopped(watched.title)
            self.check_room(name)
            self._check_refusal(name)
            key = self._keys.get(name) or self._make_key(watched, name)
            if key.is_shared or key.producer is None or key.producer.state != "stopping":
                break
            done, _ = await asyncio.wait([key.producer.task], timeout=self._settings.first_value_timeout)
            if not done:
                raise TimeoutError(f"{watched.title}: its previous run does not end")
        key.guests += 1
        if key.linger is not None:
            key.linger.cancel()
            key.linger = None
        return key

    def _check_refusal(self, name: str) -> None:
        refusal, until = self._refused.get(name, (None, 0.0))
        if refusal is None:
            return
        if (left := until - self.loop.time()) > 0:
            raise KeyRefused(refusal, left)
        del self._refused[name]

    async def _opened(self, key: LiveKey, values: Mapping[str, Any]) -> Log:
        """Return the log of a key, with its first values."""
        watched = key.watched
        if watched.loader is not None:
            key.on_restart = partial(self._loads.restarted, watched, key.name, values)
            await self._loads.ensure(watched, key.name, values)
        return await key.open()

    async def _held(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]
    ) -> tuple[list[Entry], Position | None]:
        """Return the entries of a log, which need not be open, and its position; None if there is no such log."""
        await self._loads.ensure(watched, name, values)
        return await self.publishing.held(watched, name)

    def _make_key(self, watched: Watched[Any, Any], name: str) -> LiveKey:
        figures, kind = self.publishing.figures[watched], self.publishing.kind(watched)
        logs = self.publishing.logs(watched)
        audience = partial(self._make_audience, watched)
        key = LiveKey(watched, name, kind, logs, figures, audience, self._run_over, self._notice, self._slices.add)
        key.is_shared = self.publishing.is_run_once(watched)
        self._keys[name] = key
        self._keys_of[watched].add(key)
        return key

    def _make_audience(self, watched: Watched[Any, Any], log: Log, rate: int | None) -> Audience:
        pace = None if rate is None else self._paces[rate]
        burst = burst_of(self.publishing.kind(watched))
        figures = self.publishing.figures[watched]
        return Audience(log, figures, self.clock, pace, skips=watched.options.on_lag == "skip", burst=burst)

    def watch(self, ticket: Ticket, lane: Sink, wire: Wire, listener: Listener, rate: int | None) -> Watcher:
        """Begin to watch; everything that the watcher begins with is written at once."""
        key = ticket.key
        watcher = Watcher(lane, wire, listener, ticket.cursor)
        try:
            key.watch(ticket, watcher, rate)
            self._run(key, ticket.values)
            if key.is_over or key.is_complete():  # perhaps the generator has ended since the client entered
                key.complete()
        except BaseException:
            watcher.leave()
            raise
        self._leave(key)
        return watcher

    def _run(self, key: LiveKey, values: Mapping[str, Any]) -> None:
        """Make sure that the generator of a feed runs, here or in another process, unless it has ended for good."""
        if key.is_complete():
            return
        if key.is_shared and self._tenures is not None:
            self._tenures.add(key, values)
        else:
            self._producers.start(key, values)

    def leave(self, ticket: Ticket) -> None:
        """Give a place back: its client does not watch."""
        self._leave(ticket.key)

    def unwatch(self, name: str, watcher: Watcher) -> None:
        """End a watch; nothing happens if it has ended already."""
        watcher.leave()
        if name in self._keys:
            self._perhaps_over(self._keys[name])

    def live(self) -> list[LiveKey]:
        """Return all keys that are live."""
        return list(self._keys.values())

    def watchers(self, name: str) -> list[Watcher]:
        key = self._keys.get(name)
        return [] if key is None else list(key.watchers())

    async def first(
        self,
        watched: Watched[Any, Any],
        name: str,
        values: Mapping[str, Any],
        timeout: float,
        most: int | None = None,
    ) -> "Newest":
        """Return the newest value of a key, or the rows of a table, at most ``most`` of them.

        It counts as a watcher. For a feed it waits for a value of the current run: an earlier one may be old.

        Raises:
            TooManyLogs: Too many other keys are live.
            KeyRefused: The generator has refused its watchers.
            NoValue: No value came in time.
            TimeoutError: The generator's previous run does not end.
            BrokerDown: The broker cannot be reached.
            Stopped: The app has ended.
        """
        key = await self._entered(watched, name)
        key.values = values
        try:
            log = await self._opened(key, values)
            self._run(key, values)
            try:
                async with asyncio.timeout(timeout):
                    held = await key.newest(self.loop.time, most)
            except TimeoutError:
                raise NoValue(self._health(key)) from None
            if key.refusal is not None:
                raise KeyRefused(key.refusal, self._refused.get(name, (None, 0.0))[1] - self.loop.time())
            return Newest(held, self._health(key), log)
        finally:
            self._leave(key)

    async def entries(self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]) -> list[Entry]:
        """Return the entries that the log of a key holds, if there is one; raise as :meth:`enter` does."""
        return (await self._held(watched, name, values))[0]

    async def held(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]
    ) -> tuple[list[Entry], Position]:
        """Return the entries that the log of a key holds, and its position; a log that does not exist begins.

        Raises as :meth:`enter` does.
        """
        held, position = await self._held(watched, name, values)
        if position is not None:
            return held, position
        key = await self._entered(watched, name)
        try:
            log = await self._opened(key, values)
            return log.entries(), log.position
        finally:
            self._leave(key)

    async def empty(self, watched: Watched[Any, Any], name: str) -> None:
        """Drop the entries of a key's log; its watchers learn it.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        await self.publishing.logs(watched).empty(name, self.publishing.kind(watched))
        key = self._keys.get(name)
        if key is not None and not key.is_over:
            with suppress(BrokerDown):  # the log is empty, and this process learns it later
                await key.emptied()

    def keys(self, watched: Watched[Any, Any]) -> list[Mapping[str, Any]]:
        """Return the values of the keys that are live."""
        return [key.values for key in list(self._keys_of[watched]) if key.values is not None]

    def keys_of(self, watched: Watched[Any, Any]) -> list[LiveKey]:
        """Return the keys that are live."""
        return list(self._keys_of[watched]) if watched in self._keys_of else []

    def key(self, name: str) -> LiveKey | None:
        """Return a key by its name, if it is live."""
        return self._keys.get(name)

    def lease(self, key: LiveKey) -> float | None:
        """Return the seconds for which this process holds the lease of a key; None if it does not."""
        return None if self._tenures is None else self._tenures.left(key)

    def _notice(self, key: LiveKey, message: bytes) -> None:
        word, _, rest = message.partition(b" ")
        if word in self.on_notice:
            self.on_notice[word](key, rest)

    def _health(self, key: LiveKey) -> SourceHealth | None:
        since = None if self._shared is None else self._shared.stale_since(key.name)  # which the key may not know yet
        return key.health if since is None else SourceHealth.ago("stale", self.loop.time() - since)

    # The end of a key

    def _leave(self, key: LiveKey) -> None:
        key.guests -= 1
        self._perhaps_over(key)

    def _perhaps_over(self, key: LiveKey) -> None:
        """End a key without watchers: a feed lingers for a while, a topic does not."""
        if key.is_over or key.is_watched():
            return
        if key.is_shared and self._tenures is not None:
            self._tenures.unwatched(key)
        elif key.producer is None:
            self._drop(key)
        elif key.linger is None:
            linger = key.watched.linger if isinstance(key.watched, FeedDefinition) else 0.0
            key.linger = self.loop.call_later(linger, self._stop, key)

    def _stop(self, key: LiveKey) -> None:
        key.linger = None
        if key.producer is not None and not key.is_watched():
            key.producer.stop()

    def _drop(self, key: LiveKey) -> None:
        """End a key: its log is closed, and the newest values of a feed end with the run."""
        if key.is_over:
            return
        key.is_over = True
        del self._keys[key.name]
        self._keys_of[key.watched].discard(key)
        if key.linger is not None:
            key.linger.cancel()
        self._loads.over(key.name)
        key.close()
        if key.is_shared and self._tenures is not None:
            self._tenures.remove(key)
        elif isinstance(key.watched, FeedDefinition) and key.kind.retention.kind != "last" and not key.is_complete():
            self._local.end(key.name)

    def _failed(self, key: LiveKey, output: Output, error: BaseException, failures: int) -> None:
        """Note that a generator has raised: a GET waits for a value of its next run, and watchers may have to know."""
        self.publishing.mishaps.note(key.name, error)
        self.publishing.figures[key.watched].restarts += 1
        key.begin()
        is_known = isinstance(error, SourceError)
        key.failed(error.reason if isinstance(error, SourceError) else "", output.at, is_sure=is_known or failures > 1)
        if key.is_shared and self._tenures is not None:
            self._tenures.failed(key)

    def _refuses(self, key: LiveKey, refused: Refused) -> None:
        """Refuse the watchers of a key, as its generator does."""
        refusal, seconds = refusal_of(refused)
        self.publishing.mishaps.note(key.name, refused.error)
        if key.is_shared and self._tenures is not None:
            self._tenures.refused(key, refusal, seconds)
        self._refuse(key, refusal, seconds)

    def _refuse(self, key: LiveKey, refusal: SourceRefusal, seconds: float) -> None:
        """Refuse the watchers of a key, and those that come within some seconds."""
        refused, now = self._refused, self.loop.time()
        while refused and (len(refused) >= self._settings.max_keys or next(iter(refused.values()))[1] <= now):
            del refused[next(iter(refused))]
        refused[key.name] = refusal, now + seconds
        key.refusal = refusal
        self._drop(key)
        key.complete()

    def _run_over(self, key: LiveKey) -> None:
        """End a key whose run has ended, and whose watchers are about to be completed."""
        self._drop(key)
        ends = key.kind.retention.kind != "last" and not key.is_complete()
        if key.is_shared and self._shared is not None and ends:
            self._shared.end(key.name)

    def _completed(self, key: LiveKey) -> None:
        """Note that a generator has ended by itself; the broker notifies all processes of it, this one included."""
        if key.is_shared and self._tenures is not None:
            self._tenures.completed(key)
        elif key.kind.retention.keeps_end:
            self._local.complete(key.name, key.kind)
        else:
            key.completed()

    def _ended(self, key: LiveKey) -> None:
        """Note that a generator does not run any more."""
        if key.is_shared and self._tenures is not None:
            self._tenures.over(key)
        else:
            self._drop(key)

    # Figures, and the end of the app

    def statistics(self, watched: Watched[Any, Any]) -> WatchStatistics:
        """Return the figures of a feed or topic."""
        return self.publishing.figures[watched].statistics(keys=len(self._keys_of[watched]))

    def flush(self) -> None:
        """Write everything that was published to the watchers that have room, now."""
        for pace in self._paces.values():
            pace.flush()
        self.clock.flush()
        self.outlets.flush()

    def refuse(self) -> None:
        """Refuse new watchers, including those that wait for a previous run to end, and end the app's own loops."""
        self._is_over = True
        for each in list(self.loops):
            each.completed()

    async def hand_over(self, timeout: float) -> None:
        """Stop the generators that run for all processes, so that others start them; wait for a while."""
        if self._tenures is not None:
            await self._tenures.close(timeout)

    async def complete_last(self, timeout: float) -> int:
        """Wait until the broker has completed the logs that were completed last, or for a while.

        Returns:
            The bytes of the completions that it has not confirmed.
        """
        return 0 if self._shared is None else await self._shared.completions.finish(timeout)

    async def stop(self) -> None:
        """Stop the loads and the generators, and wait for the ``finally`` blocks of these for a while."""
        self._loads.stop()
        if self._tenures is not None:
            self._tenures.stop()
        for key in self._keys.values():
            if key.linger is not None:
                key.linger.cancel()
        await self._producers.stop()
