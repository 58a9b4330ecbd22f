"""The hub: joins the logs, the watchers, the lanes and the broker of one app."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any, Self

from ..brokers.broker import Broker
from ..brokers.url import Made
from ..definitions import (
    AppHub,
    BrokerHealth,
    Client,
    ClientGroup,
    Criteria,
    Receipt,
    Revocation,
    Seen,
    TopicDefinition,
    Watched,
    WatchStatistics,
    declaration_of,
    settle,
    settle_revocation,
)
from ..definitions.inlet import Inlet, running
from ..errors import BacklogFull, BindingError, BrokerDown, DeclarationError, Stopped
from ..isolation import failure, isolated
from ..lanes.lane import nothing
from ..log.base import Entry, Marks
from ..log.position import Position
from ..runs.outcome import Refusal, no_refusal
from ..settings import Settings
from .attendance import JOIN, LEAVE, SharedMembers
from .clients import Clients
from .directory import Directory
from .engine import Engine
from .groups import Groups, Selection
from .kept import KeptRuns
from .keys import Keys
from .lanes import Lanes
from .logs import LocalLogs
from .loop_lag import LagMeter
from .loops import loop_over
from .members import Members
from .outbox import Outbox
from .postbox import Errand, Postbox
from .processes import Processes
from .rechecks import Rechecks
from .refusals import Refusals
from .revoking import Revoking
from .running import Running
from .sessions import Sessions, Statistics
from .shared import SharedLogs
from .totals import ClusterStatistics, figures_json, figures_together
from .traces import NOTICE, Traces

SEND_TIMEOUT = 5.0
HAND_OVER = 0.8
"""Part of this time for the generators that are handed over: the last values have the rest, however long these take."""

_REVOKE = "live.revoke()"

STOPPED = "the app has stopped"

_ABANDONED: list[object] = []
"""The parts of hubs that belong to a process from which this one was forked. They are never freed: that would remove
the other process's sockets from its selector, which both share."""


class Hub(AppHub):
    """The one object that knows all parts of an app.

    A hub works without having been entered, for mounted apps and for tests without a lifespan. Entered as an async
    context manager, it closes everything that is still open on leaving.

    Attributes:
        lanes: Makes lanes for connections.
        sessions: The open connections.
        kept: The runs that outlive their connections.
        running: The runs of streams and calls, counted.
        traces: The spans of runs, publications and deliveries, if the app is traced.
        members: The members of each key in this process.
        attendance: The members of each key in all processes; None if this process is alone.
        reachable: The clients of multiplexed connections in this process.
        processes: The other processes of the app.
        rechecks: Guards of clients, called again and again.
        refused: Counts a refusal, and logs it; see :meth:`Refusals.note`.
        send_timeout: Seconds that the broker has for the last values when the app stops.
        on_start: Called once, when the engine starts next: with the app, or without a lifespan when it is first used.
        why_stopped: Reason for which nothing is published once the app has stopped.
        unsent: Bytes of publications and completions that did not reach the broker when the app stopped last.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Made = None,
        *,
        broker_required: bool = False,
        takes_part: bool = True,
        refusal: Refusal = no_refusal,
    ) -> None:
        self.settings = settings
        refusals = Refusals()
        self.refused = refusals.note
        self.lanes = Lanes(settings, self.refused, self.flush)
        self.sessions = Sessions(refusals, settings.stall_timeout)
        self.running, self.traces, self._lag = Running(), Traces(), LagMeter()
        self.kept = KeptRuns(settings, self.sessions.admissions, self.refused)
        self.members = Members()
        self.attendance: SharedMembers | None = None
        self._inlet = Inlet(settings.max_publish_backlog_bytes)
        self.reachable = Clients(self._inlet)
        self.processes = Processes(self._inlet)
        self.rechecks = Rechecks()
        self._revoking = Revoking(self.sessions, self.processes, settings.max_publish_backlog_bytes)
        self._groups = Groups(self.reachable, self._watching, self.processes)
        self.processes.answers["figures"] = lambda _: self._figures_json()
        self._takes_part = takes_part
        self._refusal = refusal
        self._process = secrets.token_hex(8)
        self._make_broker = broker if callable(broker) else None
        self._broker: Broker | None = broker() if callable(broker) else broker
        self._broker_required = broker_required
        self._names: dict[Watched[Any, Any], str] = {}
        self._keys = Keys(self._names, self.keys, self.processes)
        self.send_timeout, self.unsent, self.on_start = SEND_TIMEOUT, 0, nothing
        self._is_stopped, self.why_stopped = False, STOPPED
        self._postbox = Postbox(settings.max_publish_backlog_bytes)
        self._starting: asyncio.Lock | None = None
        self._engine: Engine | None = None
        self._stack = AsyncExitStack()
        self._outbox: Outbox | None = None

    async def __aenter__(self) -> Self:
        self._is_stopped = False
        self.why_stopped = STOPPED
        self.kept.start()
        await self.engine()
        return self

    async def __aexit__(self, *exception: object) -> None:
        async with self._stack as stack:  # every step is taken, whatever the others raise, from the last to the first
            self._stack = AsyncExitStack()
            if self._engine is not None:
                stack.push_async_callback(self._engine.stop)
            stack.push_async_callback(self.kept.stop)
            stack.callback(self.rechecks.close)
            stack.push_async_callback(self.sessions.close)
            stack.push_async_callback(self._send_last)
            stack.callback(self._refuse)
            with isolated("The last values could not be written."):
                self.flush()

    @property
    def process(self) -> str:
        """Random name of this process, by which others reach it."""
        control = None if self._broker is None else self._broker.control
        return self._process if control is None else control.process

    def _refuse(self) -> None:
        self.members.part()
        self._is_stopped = True
        self._postbox.refuse()
        if self._engine is not None:
            self._engine.refuse()

    async def _send_last(self) -> None:
        """Send the last values to the broker, and write those that have come back by then."""
        if self._outbox is not None and self._engine is not None:
            clock = self._engine.loop.time
            deadline = clock() + self.send_timeout  # of all three, which wait for the same broker
            await self._engine.hand_over(HAND_OVER * self.send_timeout)
            self.unsent = await self._outbox.close(deadline - clock())
            self.unsent += await self._engine.complete_last(max(0.0, deadline - clock()))
            self._engine.flush()

    # Feeds and topics

    async def engine(self) -> Engine:
        """Return the engine of the running loop; it starts with the app, or when it is first used.

        Raises:
            BindingError: It runs in another loop.
            Stopped: The app has stopped.
            BrokerDown: The broker cannot be reached, and the app needs it to start.
        """
        loop = asyncio.get_running_loop()
        if self._is_stopped:
            raise Stopped("feeds and topics")
        if (engine := self._engine) is None or engine.loop.is_closed():
            self._starting = self._starting or asyncio.Lock()
            async with self._starting:  # it takes a while to reach the broker
                if (engine := self._engine) is None or engine.loop.is_closed():
                    engine = await self._start_engine(loop)
            self._starting = None
        if engine.loop is not loop:
            raise BindingError(
                "The feeds and topics of one app were used from two event loops; in tests, write: with TestClient(app) "
                "as client"
            )
        return engine

    async def _start_engine(self, loop: asyncio.AbstractEventLoop) -> Engine:
        settings = self.settings
        most, cached = settings.max_keys, settings.max_logs_bytes // 8
        size = settings.max_logs_bytes - cached
        async with AsyncExitStack() as self._stack:  # nothing stays of a start that fails or is cancelled
            self._stack.callback(self._forget)
            if self._takes_part:
                self._lag.start(loop)
                self._stack.callback(self._lag.stop)
            # Named here, and not when the app was imported: a server may fork its workers after that.
            self._process = secrets.token_hex(8)
            if self._make_broker is not None:
                self._broker = self._make_broker()
            local, shared = LocalLogs(loop, logs=most, size=size, cached=cached), None
            self._stack.callback(local.clear)
            if self._broker is not None:
                if self._broker.control is not None and self._takes_part:
                    self.processes.open(self._broker.control)
                    self._stack.callback(self.processes.close)
                    self._stack.callback(self._revoking.close)
                await self._stack.enter_async_context(self._broker)
                health = self._broker.health
                if self._broker_required and health.state == "down":
                    raise BrokerDown(f"The app needs its broker to start, which cannot be reached: {health.problem}")
                self._outbox = Outbox(self._broker, loop, settings.max_publish_backlog_bytes)
                shared = SharedLogs(loop, self._broker, self._outbox, logs=most, size=size, cached=cached)
                self._stack.callback(shared.clear)
            self._engine = engine = Engine(local, self.lanes.threads(), settings, shared, self._refusal, self.traces)
            engine.on_notice[NOTICE] = lambda key, context: self.traces.deliver(
                engine.clock, key.name, context.decode(errors="replace"), key.count()
            )
            self._share_members(engine)
            self._postbox.on_take = engine.clock.publish_since
            self._postbox.open(loop, self._publish_posted)
            self._stack = self._stack.pop_all()
        on_start, self.on_start = self.on_start, nothing
        on_start()
        return engine

    def _share_members(self, engine: Engine) -> None:
        broker = self._broker
        if broker is None or broker.control is None or broker.members is None or not self._takes_part:
            return
        shared = SharedMembers(self.members, broker, broker.members, self.process, engine.clock)
        self._stack.push_async_callback(shared.close)
        broker.control.beaten = shared.beaten
        for word, joins in ((JOIN, True), (LEAVE, False)):
            engine.on_notice[word] = partial(shared.noticed, joins)
        self.attendance = shared

    def _forget(self) -> None:
        self._engine = self._outbox = self.attendance = None

    def running_engine(self) -> Engine | None:
        """Return the engine, as far as it has been started."""
        return self._engine

    def names(self) -> list[tuple[Watched[Any, Any], str]]:
        """Return the feeds and topics of the app, each with the name by which the names of its logs begin."""
        return list(self._names.items())

    def has_broker(self) -> bool:
        """Return True if other processes share the app's topics."""
        return self._broker is not None

    def is_running(self) -> bool:
        """Return True if the engine runs, in any event loop that is not closed."""
        return self._engine is not None and not self._engine.loop.is_closed()

    def abandon(self, why: str) -> None:
        """Leave everything to the process from which this one was forked: nothing that runs there runs here."""
        _ABANDONED.append((self._engine, self._outbox, self._stack, self._postbox, self._broker))
        self._stack = AsyncExitStack()
        self._lag = LagMeter()
        self._postbox = Postbox(self.settings.max_publish_backlog_bytes)
        self._inlet.forget()
        self._starting = None
        self._forget()
        self._is_stopped, self.why_stopped = True, why

    # Topics that other processes know

    def directory(self, own: Mapping[str, bytes] | None = None) -> Directory:
        """Return the directory of topics at the broker, which is not open yet; the engine runs."""
        assert self._broker is not None
        assert self._outbox is not None
        return Directory(self._broker, self._outbox, own or {})

    def declare(self) -> None:
        """Declare the app's topics, for processes without the app's code, as soon as the broker can be reached."""
        if self._broker is None or self._engine is None:
            return
        kind = self._engine.publishing.kind
        topics = {name: each for each, name in self._names.items() if each.kind == "topic" and not each.is_open()}
        own = {name: declaration_of(each, kind(each).retention) for name, each in topics.items()}
        directory = self.directory({name: each.model_dump_json().encode() for name, each in own.items()})
        task = self._engine.loop.create_task(directory.open_soon())
        self._stack.callback(task.cancel)

    def adopt(self, topic: TopicDefinition[..., Any]) -> None:
        """Make a topic known that an app elsewhere has declared; several may stand for the same one."""
        topic.bind(self)
        self._names[topic] = topic.path

    def topic(self, path: str) -> TopicDefinition[..., Any] | None:
        """Return the topic at a path; None if there is none."""
        return next(
            (each for each, name in self._names.items() if name == path and isinstance(each, TopicDefinition)), None
        )

    def bind(self, watched: Watched[Any, Any], path: str) -> None:
        """Make a feed or topic known to the app, under the path that it has there.

        Raises:
            DeclarationError: With a broker: another one has this path, which names the logs in all processes.
        """
        watched.bind(self)
        taken = set(self._names.values())
        if watched not in self._names:
            if path in taken and self._broker is not None:
                raise DeclarationError(watched.title, "another feed or topic has the same path; give each its own")
            # Of two with one path, FastAPI serves only the first; they are still two.
            self._names[watched] = path if path not in taken else f"{path}#{len(taken)}"

    def name(self, watched: Watched[Any, Any], key: str) -> str:
        """Return the name of the log of a key."""
        if watched not in self._names:
            self.bind(watched, watched.path)
        name = self._names[watched]
        return f"{name}?{key}" if key else name

    def complete(self, watched: Watched[Any, Any], key: str) -> Receipt:
        engine = self._engine
        if self._is_stopped or (engine is not None and engine.loop.is_closed()):
            return Receipt(watched.title, error=Stopped(watched.title, self.why_stopped))
        if engine is not None and engine.is_here():
            return engine.publishing.complete(watched, self.name(watched, key))
        if (outbox := self._outbox) is not None and outbox.is_full():
            raise BacklogFull(watched.title, outbox.waiting)  # the loop's own check would only fail the receipt
        return self._postbox.post(watched, key, None)

    def publish(self, watched: Watched[Any, Any], key: str, value: Any, marks: Marks | None = None) -> Receipt:
        if self.traces.tracing is None:
            return self._publish(watched, key, value, marks)
        publish, stored = partial(self._publish, watched, key, value, marks), partial(self._stored, watched, key)
        return self.traces.publication(self.name(watched, ""), publish, stored)

    def _stored(self, watched: Watched[Any, Any], key: str, context: str) -> None:
        """Trace the delivery of a publication, in all processes."""
        name, engine = self.name(watched, key), self._engine
        if self._broker is not None:
            self._broker.notify(name, b"%b %b" % (NOTICE, context.encode()))
        elif engine is not None:
            live = engine.key(name)
            self.traces.deliver(engine.clock, name, context, 0 if live is None else live.count())

    def _publish(self, watched: Watched[Any, Any], key: str, value: Any, marks: Marks | None) -> Receipt:
        engine = self._engine
        if self._is_stopped or (engine is not None and engine.loop.is_closed()):
            return Receipt(watched.title, error=Stopped(watched.title, self.why_stopped))
        if engine is not None and engine.is_here():
            return engine.publishing.publish(watched, self.name(watched, key), value, marks)
        outbox = self._outbox
        if outbox is not None and watched.retention.kind == "last" and outbox.is_full():
            raise BacklogFull(watched.title, outbox.waiting)  # the loop's own check would only fail the receipt
        return self._postbox.post(watched, key, watched.log_kind.values.state(value, marks))

    def _publish_posted(self, watched: Watched[Any, Any], key: str, value: Any, receipt: Receipt) -> None:
        assert self._engine is not None
        publishing, name = self._engine.publishing, self.name(watched, key)
        try:
            if value is None:
                publishing.complete(watched, name, receipt)
            else:
                publishing.publish(watched, name, value, None, receipt)
        except BaseException as error:  # it belongs to this publication: others wait behind it
            settle(receipt, None, failure(error))

    async def entries(self, watched: Watched[Any, Any], key: str, values: Mapping[str, Any]) -> list[Entry]:
        return await (await self.engine()).entries(watched, self.name(watched, key), values)

    async def held(
        self, watched: Watched[Any, Any], key: str, values: Mapping[str, Any]
    ) -> tuple[list[Entry], Position]:
        return await (await self.engine()).held(watched, self.name(watched, key), values)

    async def watch(self, watched: Watched[Any, Any], values: Mapping[str, Any]) -> AsyncGenerator[Seen, None]:
        name = self.name(watched, watched.key.text(values))
        async with aclosing(loop_over(await self.engine(), watched, name, values)) as seen:
            async for each in seen:
                yield each

    async def empty(self, watched: Watched[Any, Any], key: str) -> None:
        await (await self.engine()).empty(watched, self.name(watched, key))

    def keys(self, watched: Watched[Any, Any]) -> list[Mapping[str, Any]]:
        return [] if self._engine is None else self._engine.keys(watched)

    async def all_keys(self, watched: Watched[Any, Any], timeout: float) -> list[Mapping[str, Any]]:
        if watched not in self._names:
            self.bind(watched, watched.path)
        return await self._keys.everywhere(watched, timeout)

    def clients(self, watched: Watched[Any, Any], key: str) -> list[Client]:
        return self._watching(self.name(watched, key))

    def all_clients(self, watched: Watched[Any, Any], key: str) -> ClientGroup:
        return self.group(name=self.name(watched, key))

    def group(self, user: str | None = None, client: str | None = None, name: str | None = None) -> ClientGroup:
        """Return clients of all processes: those of a user, one with an id, or those that watch a key."""
        return self._groups.group(Selection(user, client, name))

    # Revocations

    def knows(self, watched: Watched[Any, Any]) -> bool:
        """Return True if the app has a feed or topic."""
        return watched in self._names

    def revoke(self, criteria: Criteria) -> Revocation:
        """End the connections and subscriptions that criteria fit, in all processes, from any thread.

        Raises BacklogFull if too much waits for the event loop, which threads have asked for; nothing ends.
        """
        revocation = Revocation()
        loop = self._engine.loop if self._engine is not None else self.sessions.loop
        if loop is None or loop.is_closed():
            settle_revocation(revocation, 0)  # no connection was ever open
        elif loop is running():
            self._revoking.revoke(criteria, revocation)
        elif self._engine is not None:  # behind what the thread has published, and before what it publishes next
            revoke = partial(self._revoking.revoke, criteria, revocation)
            stopped = partial(settle_revocation, revocation, 0, Stopped(_REVOKE))
            self._postbox.send(_REVOKE, Errand(revoke, stopped, criteria.size))
        else:
            self._inlet.call(loop, _REVOKE, self._revoking.revoke, criteria, revocation)
        return revocation

    def _watching(self, name: str) -> list[Client]:
        watchers = [] if self._engine is None else self._engine.watchers(name)
        # isinstance(..., Member) would take 15 µs for each of them, and there may be thousands.
        senders = [getattr(each.listener, "sender", None) for each in watchers]
        return self.reachable.of_ids(dict.fromkeys(each.client for each in senders if each is not None))

    def flush(self) -> None:
        """Write everything that was published to the watchers that have room: their connections close soon."""
        if self._engine is not None:
            self._postbox.empty()
            self._inlet.empty(self._engine.loop)
            self._groups.finish()
            self._engine.flush()

    # Figures

    def statistics(self) -> Statistics:
        """Return the figures of the app's connections."""
        return self.sessions.statistics(self.lanes.traffic, self._lag.lag())

    async def all_figures(self, timeout: float) -> ClusterStatistics:
        """Return the figures of all processes that answer in time, together.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        answers = await self.processes.ask_all("figures", b"", timeout)
        return figures_together(answers.asked + 1, [self._figures_json(), *answers.bodies.values()])

    def _figures_json(self) -> bytes:
        return figures_json(self.statistics(), self.watching_all(), self.running.statistics())

    def health(self) -> BrokerHealth:
        """Return the state of the broker; from any thread."""
        engine, outbox = self._engine, self._outbox
        if self._broker is None or engine is None or outbox is None:
            return BrokerHealth("none")
        state, since, problem = self._broker.health
        seconds = 0.0 if since is None else engine.loop.time() - since
        return BrokerHealth(state, seconds, problem, outbox.waiting)

    def watching(self, watched: Watched[Any, Any]) -> WatchStatistics:
        return self._engine.statistics(watched) if self._engine is not None else WatchStatistics()

    def watching_all(self) -> Mapping[str, WatchStatistics]:
        """Return the figures of all feeds and topics, by path."""
        return {name: self.watching(watched) for watched, name in list(self._names.items())}

    def is_over(self) -> bool:
        return self._is_stopped
