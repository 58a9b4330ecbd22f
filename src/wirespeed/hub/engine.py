"""The engine: what makes the feeds and topics of an app run, in one event loop."""

import asyncio
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from anyio import CapacityLimiter

from ..brokers.base import Broker
from ..codec import name_value
from ..definitions import FeedDefinition, Receipt, Watched, WatchStatistics, settle
from ..errors import BacklogFull, Stopped, TooManyLogs
from ..lanes.lane import Sink
from ..log.base import Entry, Log, Marks, Spoilt, State, Wire, size_of
from ..log.keep import Keep, Latest, Table
from ..log.latest import LatestLog
from ..log.position import Position, Unchanged
from ..log.table import TableLog
from ..runs.produce import produce, produce_from_thread
from ..settings import Settings
from .channel import Channel, bounded, burst_of
from .clock import FRAME_RATE, RATES, Clock, Pace
from .figures import Figures
from .heartbeat import Heartbeat
from .outlets import Outlets
from .producer import Failures, Producer
from .watcher import Audience, Listener, Watcher

logger = logging.getLogger("wirespeed")

_TURNS = 5
"""Turns of the loop without a further row, after which the generator of a table waits for something."""
_PAUSE = 0.02
"""Seconds without a further row, after which one that runs in a thread does."""

STOP_TIMEOUT = 5.0
"""Seconds that generators have to end, when the app stops."""


class Ticket(NamedTuple):
    """Where a watcher begins."""

    channel: Channel
    log: Log
    values: Mapping[str, Any]
    cursor: int
    is_lost: bool = False
    """Whether it cannot go on from where it was."""
    lost: int | None = None
    """How many entries it has lost then; None for nobody knows."""


class _Holding:
    """See :meth:`Engine.holding`; a class, since a generator takes three times as long, for each subscribe."""

    __slots__ = ("_engine", "_ticket")

    def __init__(self, engine: "Engine", ticket: Ticket) -> None:
        self._engine = engine
        self._ticket = ticket

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._engine.leave(self._ticket)


class Engine:
    """The feeds and topics of one app in one event loop.

    Args:
        broker: Carries publications; entered already.
        threads: Bounds the sync generators.
        settings: The app's limits.
    """

    def __init__(self, broker: Broker, threads: CapacityLimiter, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = Clock(self.loop, settings.min_pause, settings.max_pause)
        self.outlets = Outlets(self.loop, self.clock)
        self.heartbeat = Heartbeat(self.loop, settings.heartbeat_interval)
        self._settings = settings
        self._thread = threading.get_ident()
        self._broker = broker
        self._threads = threads
        self._waiting = 0
        self._is_over = False
        self._paces = {rate: Pace(self.loop, self.clock, rate) for rate in (*RATES, FRAME_RATE)}
        self._channels: dict[str, Channel] = {}
        self._live: defaultdict[Watched[Any, Any], set[Channel]] = defaultdict(set)
        self._lingering: dict[Channel, asyncio.TimerHandle] = {}
        self._producers: set[asyncio.Task[None]] = set()
        self._figures: defaultdict[Watched[Any, Any], Figures] = defaultdict(Figures)
        self._failures: dict[Watched[Any, Any], Failures] = {}
        self._keeps: dict[Watched[Any, Any], Keep] = {}

    def is_here(self) -> bool:
        """Whether this is the thread of the event loop."""
        return threading.get_ident() == self._thread

    # Watching

    def check_room(self, name: str) -> None:
        """Makes sure that a key may be watched.

        Raises:
            TooManyLogs: Too many others are.
        """
        if name not in self._channels and len(self._channels) >= self._settings.max_keys:
            raise TooManyLogs(self._settings.max_keys)

    async def enter(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], since: Position | None
    ) -> Ticket:
        """Takes note of where a watcher begins; what comes from now on is for it.

        Args:
            watched: The feed or topic.
            name: The key's name.
            values: The key's values, for the generator.
            since: Where the client was, when it returns.

        Returns:
            A ticket, for :meth:`watch` or :meth:`leave`.

        Raises:
            TooManyLogs: Too many other keys are live.
            TimeoutError: The generator's last run does not end.
        """
        channel = await self._entered(watched, name)
        try:
            log = await channel.open()
            log.expire(self.loop.time())
            if since is not None and not since.epoch:  # of a client that has seen no entry yet
                since = Position(log.epoch, since.offset)
            cursor = None if since is None else log.resume(since)
        except BaseException:
            self._leave(channel)
            raise
        if cursor is not None:
            return Ticket(channel, log, values, cursor)
        if since is None:
            return Ticket(channel, log, values, log.beginning(watched.options.replay))
        # Where the client was is gone: it gets all that there is, and is told.
        cursor = log.beginning(log.head)
        lost = cursor - since.offset if since.epoch == log.epoch and since.offset <= log.head else None
        return Ticket(channel, log, values, cursor, is_lost=not isinstance(log, LatestLog), lost=lost)

    def watch(self, ticket: Ticket, lane: Sink, wire: Wire, listener: Listener, rate: int | None) -> Watcher:
        """Begins to watch; what there is to begin with is written at once.

        Args:
            ticket: What :meth:`enter` gave.
            lane: The way to the client.
            wire: In which format.
            listener: Who is told of the end.
            rate: At most so many times per second; a class of :data:`~.clock.RATES`, or :data:`~.clock.FRAME_RATE`.
        """
        channel = ticket.channel
        watcher = Watcher(lane, wire, listener, ticket.cursor)
        try:
            self._begin(ticket, watcher, rate)
        except BaseException:
            watcher.leave()
            raise
        self._leave(channel)
        return watcher

    def _begin(self, ticket: Ticket, watcher: Watcher, rate: int | None) -> None:
        channel, lane, wire = ticket.channel, watcher.lane, watcher.wire
        if ticket.is_lost and isinstance(channel.keep, Table):
            lane.write(wire.reset(), 0)
        elif ticket.is_lost:
            self._figures[channel.watched].lost += ticket.lost or 0
            lane.write(wire.lost(ticket.lost), 0)
        channel.add(watcher, rate)
        self._run(channel, ticket.values)
        if self._channels.get(channel.name) is not channel:  # the generator has ended since the client entered
            channel.complete()

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket back: its client does not watch after all."""
        self._leave(ticket.channel)

    def holding(self, ticket: Ticket) -> "_Holding":
        """Take a ticket back if what is done with it raises; otherwise, it was given to :meth:`watch` or is kept."""
        return _Holding(self, ticket)

    def unwatch(self, name: str, watcher: Watcher) -> None:
        """Ends a watch; nothing happens if it has ended already."""
        watcher.leave()
        if name in self._channels:
            self._perhaps_over(self._channels[name])

    def watchers(self, name: str) -> list[Watcher]:
        """Who watches a key."""
        channel = self._channels.get(name)
        return [] if channel is None else list(channel.watchers())

    async def first(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], timeout: float
    ) -> tuple[list[Entry], Position]:
        """Return the newest value of a key, or the rows of a table, and the head.

        It counts as a watcher. For a feed it waits for a value of the present run: an earlier one may be old.

        Args:
            watched: The feed or topic.
            name: The key's name.
            values: The key's values, for the generator.
            timeout: Seconds to wait at most.

        Raises:
            TooManyLogs: Too many other keys are live.
            TimeoutError: No value came in time.
        """
        channel = await self._entered(watched, name)
        try:
            log = await channel.open()
            self._run(channel, values)
            async with asyncio.timeout(timeout):
                while not (held := self._current(channel, log)) and self._may_tell(channel):
                    await channel.heard()
                    if isinstance(log, TableLog):
                        await _filled(log, in_thread=isinstance(watched, FeedDefinition) and watched.synchronous)
            return held, Position(log.epoch, log.head)
        finally:
            self._leave(channel)

    def _current(self, channel: Channel, log: Log) -> list[Entry]:
        """Return the newest entries, unless they have expired, or an earlier run of the generator yielded them."""
        if log.head <= channel.began:
            return []
        log.expire(self.loop.time())
        return log.newest()

    def _may_tell(self, channel: Channel) -> bool:
        """Whether a generator runs that may yield yet."""
        return channel.producer is not None and self._channels.get(channel.name) is channel

    async def entries(self, watched: Watched[Any, Any], name: str) -> list[Entry]:
        """What the log of a key holds, without watching it."""
        log = await self._broker.history(name, self._keep(watched))
        return [] if log is None else log.entries()

    def _keep(self, watched: Watched[Any, Any]) -> Keep:
        """What the logs of a feed or topic hold in this app."""
        if watched not in self._keeps:
            self._keeps[watched] = bounded(watched.keep, self._settings, partial(self._not_encoded, watched))
        return self._keeps[watched]

    def _not_encoded(self, watched: Watched[Any, Any], error: Exception, value: Any) -> None:
        self._figures[watched].failed += 1
        name_value(error, value)
        logger.error("%s: a value cannot be encoded", watched.title, exc_info=error)

    async def _entered(self, watched: Watched[Any, Any], name: str) -> Channel:
        """The channel of a key, kept alive until :meth:`_leave`; one that is being closed is waited for."""
        while True:
            if self._is_over:
                raise Stopped(watched.title)
            self.check_room(name)
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = self._make_channel(watched, name)
            if channel.producer is None or channel.producer.state != "stopping":
                break
            done, _ = await asyncio.wait([channel.producer.task], timeout=self._settings.first_value_timeout)
            if not done:
                raise TimeoutError(f"{watched.title}: its last run does not end")
        channel.guests += 1
        if (timer := self._lingering.pop(channel, None)) is not None:
            timer.cancel()
        return channel

    def _leave(self, channel: Channel) -> None:
        channel.guests -= 1
        self._perhaps_over(channel)

    def _make_channel(self, watched: Watched[Any, Any], name: str) -> Channel:
        make_audience = partial(self._make_audience, watched)
        channel = Channel(watched, name, self._keep(watched), self._broker, self._figures[watched], make_audience)
        self._live[watched].add(channel)
        return channel

    def _make_audience(self, watched: Watched[Any, Any], log: Log, rate: int | None) -> Audience:
        pace = None if rate is None else self._paces[rate]
        burst = burst_of(watched.keep)
        skips = watched.options.on_lag == "skip"
        return Audience(log, self._figures[watched], self.clock, pace, skips=skips, burst=burst)

    # Producing

    def _run(self, channel: Channel, values: Mapping[str, Any]) -> None:
        """Runs the generator of a feed, unless it runs already."""
        feed = channel.watched
        if not isinstance(feed, FeedDefinition) or channel.producer is not None:
            return
        channel.begin()
        arguments = dict(values)

        async def run() -> None:
            if feed.synchronous:
                await produce_from_thread(
                    lambda: feed.function(**arguments),
                    channel.publish_taken,
                    self._threads,
                    taken=channel.taken,
                    size=size_of,
                )
            else:
                await produce(feed.function(**arguments), channel.publish)

        failures = self._failures.setdefault(feed, Failures(feed.title))
        producer = Producer(failures, run, lambda: self._failed(channel), lambda: self._completed(channel))
        channel.producer = producer
        self._producers.add(producer.task)
        producer.task.add_done_callback(self._producers.discard)
        producer.task.add_done_callback(lambda _: self._drop(channel))

    def _failed(self, channel: Channel) -> None:
        """A generator has raised: a GET waits for what its next run yields."""
        self._figures[channel.watched].restarts += 1
        channel.begin()

    def _completed(self, channel: Channel) -> None:
        """A generator has ended by itself: whoever comes now begins a new run."""
        self._drop(channel)
        channel.complete()

    def _perhaps_over(self, channel: Channel) -> None:
        """After a watcher has left: a feed lingers for a while, a topic does not."""
        if channel.is_watched() or self._channels.get(channel.name) is not channel:
            return
        if channel.producer is None:
            self._drop(channel)
        elif channel not in self._lingering:
            linger = channel.watched.linger if isinstance(channel.watched, FeedDefinition) else 0.0
            self._lingering[channel] = self.loop.call_later(linger, self._over, channel)

    def _over(self, channel: Channel) -> None:
        self._lingering.pop(channel, None)
        if channel.producer is not None and not channel.is_watched():
            channel.producer.stop()

    def _drop(self, channel: Channel) -> None:
        """A channel is over: its log is closed, and that of a feed's newest value ends with the run."""
        if self._channels.get(channel.name) is not channel:
            return
        del self._channels[channel.name]
        self._live[channel.watched].discard(channel)
        if (timer := self._lingering.pop(channel, None)) is not None:
            timer.cancel()
        channel.close()
        if isinstance(channel.watched, FeedDefinition) and isinstance(channel.watched.keep, (Latest, Table)):
            self._broker.end(channel.name)

    # Publishing

    def publish(
        self,
        watched: Watched[Any, Any],
        name: str,
        value: Any,
        marks: Marks | None = None,
        receipt: Receipt | None = None,
    ) -> Receipt:
        """Publish, in the loop.

        Args:
            watched: The topic.
            name: The key's name.
            value: The value, or its state.
            marks: The marks of the value.
            receipt: What its publisher has in hand, where that was made before.

        Raises:
            BacklogFull: Too many publications wait for the broker.
        """
        keep = self._keep(watched)
        if marks is not None or not self._broker.is_local:
            value = keep.state(value, marks)
        if not self._broker.is_local:
            self._check_backlog(watched, value)
        position: Position | asyncio.Future[Position] | None = None
        error: Exception | None = None
        try:
            if type(value) is Spoilt:
                raise value.error
            position = self._broker.publish(name, keep, value)
        except Exception as raised:
            error = raised
            self._figures[watched].failed += 1
        if isinstance(position, asyncio.Future):
            return self._waits(watched, name, receipt or Receipt(watched.title), position, size_of(value))
        if error is None:
            self._count(watched, name, position)
        if receipt is None:
            return Receipt(watched.title, position, error=error)
        settle(receipt, position, error)
        return receipt

    def _check_backlog(self, watched: Watched[Any, Any], state: State) -> None:
        if self._waiting and self._waiting + size_of(state) > self._settings.max_publish_backlog_bytes:
            raise BacklogFull(watched.title, self._waiting)

    def _waits(
        self,
        watched: Watched[Any, Any],
        name: str,
        receipt: Receipt,
        position: "asyncio.Future[Position]",
        size: int,
    ) -> Receipt:
        self._waiting += size
        position.add_done_callback(lambda done: self._settle(watched, name, receipt, done, size))
        return receipt

    def _settle(
        self,
        watched: Watched[Any, Any],
        name: str,
        receipt: Receipt,
        done: "asyncio.Future[Position]",
        size: int,
    ) -> None:
        self._waiting -= size
        try:
            position = done.result()
            settle(receipt, position)
        except (Exception, asyncio.CancelledError) as error:
            self._figures[watched].failed += 1
            settle(receipt, None, error if isinstance(error, Exception) else Stopped(watched.title))
        else:
            self._count(watched, name, position)

    def _count(self, watched: Watched[Any, Any], name: str, position: Position | None) -> None:
        """Count a publication, unless the channel of those who watch it does."""
        if name not in self._channels and type(position) is not Unchanged:
            self._figures[watched].published += 1

    # Figures, and the end

    def statistics(self, watched: Watched[Any, Any]) -> WatchStatistics:
        """What the watchers of a feed or topic were given."""
        figures = self._figures[watched]
        channels = list(self._live[watched])  # at once: Prometheus may ask in a thread
        return WatchStatistics(
            keys=len(channels),
            watchers=sum(channel.count() for channel in channels),
            published=figures.published,
            delivered=figures.delivered,
            skipped=figures.skipped,
            lost=figures.lost,
            bytes=figures.bytes,
            flushes=figures.flushes,
            flush_time=figures.flush_time,
            restarts=figures.restarts,
            failed=figures.failed,
            producers=Counter(channel.producer.state for channel in channels if channel.producer is not None),
        )

    def flush(self) -> None:
        """Writes everything that was published to those who can take it, now."""
        for pace in self._paces.values():
            pace.flush()
        self.clock.flush()
        self.outlets.flush()

    def refuse(self) -> None:
        """Nobody may begin to watch any more, who waits for an old run to end included."""
        self._is_over = True

    async def stop(self) -> None:
        """Ends the generators, and waits for their ``finally`` blocks for a while."""
        for timer in self._lingering.values():
            timer.cancel()
        for channel in list(self._channels.values()):
            if channel.producer is not None:
                channel.producer.stop()
        if self._producers:
            _, pending = await asyncio.wait(self._producers, timeout=STOP_TIMEOUT)
            if pending:
                logger.warning("%d generators of feeds go on after the app's end: they do not let go.", len(pending))


async def _filled(log: TableLog, *, in_thread: bool) -> None:
    """Wait while a generator yields further rows without waiting for anything itself."""
    quiet = rows = 0
    while quiet < (1 if in_thread else _TURNS):
        await asyncio.sleep(_PAUSE if in_thread else 0)
        quiet = quiet + 1 if log.rows == rows else 0
        rows = log.rows
