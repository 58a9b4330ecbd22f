"""The hub: what the connections of one app share."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, NamedTuple, Protocol, Self
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from ..definitions import AppHub, Client, Connection, Receipt, Watched, WatchStatistics, settle
from ..errors import BindingError, Stopped
from ..isolation import isolated
from ..lanes.asgi import AsgiLane
from ..lanes.guard import Guard
from ..lanes.http import Headers, HttpLane
from ..lanes.lane import Lane, Send, Traffic, WebSocketLane
from ..lanes.reading import Readings
from ..lanes.sweep import Sweep
from ..log.base import Entry, Marks
from ..settings import Settings
from .clients import Clients
from .engine import Engine
from .heartbeat import Heartbeat
from .logs import LocalLogs
from .members import Member, Members
from .portable import PortableReasons
from .postbox import Postbox
from .refusals import Refusals

try:
    from ..lanes import uvicorn, uvicorn_lane
except ImportError:  # the fast lane's module may be missing; everything works without it
    uvicorn = None  # type: ignore[assignment]
try:
    from ..lanes import uvicorn_http
except ImportError:
    uvicorn_http = None  # type: ignore[assignment]

logger = logging.getLogger("wirespeed")

STOP_TIMEOUT = 5.0


class Session(Protocol):
    """One connection, as the hub sees it."""

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection and waits until the session has ended."""


class Statistics(NamedTuple):
    """What one app's connections do and have done."""

    connections: int
    """Connections that are open now."""
    lanes: Mapping[str, int]
    """How many of them are on which lane: ``"uvicorn"`` is the fast one, ``"asgi"`` the portable one; ``"http"`` is
    the body of a response."""
    accepted: int
    """Connections accepted so far."""
    refused: Mapping[str, int]
    """What clients were refused so far, by the reason."""
    runs: int
    """Runs that go on now."""
    failed: int
    """Runs of user code that failed: that ended with anything other than an HTTPException or a WebSocketException."""
    messages: int
    """Messages written so far."""
    bytes: int
    """Bytes written so far, with the headers of the frames."""


class _Local:
    """What the connections of one event loop share."""

    def __init__(self, settings: Settings) -> None:
        self.sweep = Sweep(settings.stall_timeout)
        self.readings = Readings()
        self.threads = CapacityLimiter(settings.max_threads)
        self.heartbeat = Heartbeat(asyncio.get_running_loop(), settings.heartbeat_interval)


class Hub(AppHub):
    """The connections of one app, their lanes and their figures.

    A hub works without having been entered, for mounted apps and tests run without a lifespan; entered as an async
    context manager, it closes on leaving what is still open then.

    Args:
        settings: The app's limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sessions: dict[Session, Connection | None] = {}
        self._portable_reasons = PortableReasons()
        self._traffic = Traffic()
        self._accepted = 0
        self._refusals = Refusals()
        self._runs = 0
        self._failed = 0
        self._locals: WeakKeyDictionary[asyncio.AbstractEventLoop, _Local] = WeakKeyDictionary()
        self._names: dict[Watched[Any, Any], str] = {}
        self._postbox = Postbox(settings.max_publish_backlog_bytes)
        self._engine: Engine | None = None
        self._logs: LocalLogs | None = None
        self._is_stopped = False
        self.members = Members()
        self.reachable = Clients()

    async def __aenter__(self) -> Self:
        self._is_stopped = False
        await self.engine()
        return self

    async def __aexit__(self, *exception: object) -> None:
        async with AsyncExitStack() as stack:  # each step is taken, whatever the others raise
            stack.callback(self._forget)
            if self._logs is not None:
                stack.callback(self._logs.clear)
            if self._engine is not None:
                stack.push_async_callback(self._engine.stop)
            stack.push_async_callback(self._stop)
            stack.callback(self._refuse)
            with isolated("What was published last could not be written."):
                self.flush()

    def _refuse(self) -> None:
        self._is_stopped = True
        self._postbox.refuse()
        if self._engine is not None:
            self._engine.refuse()

    def _forget(self) -> None:
        self._engine = self._logs = None

    async def _stop(self) -> None:
        """Servers that stop the app before its connections leave some open: those are told to come back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT), asyncio.TaskGroup() as closing:
                for session in list(self._sessions):
                    closing.create_task(self._close(session))

    async def _close(self, session: Session) -> None:
        with isolated("A connection could not be closed in order."):
            await session.close(1012, "The server is restarting.")

    # Feeds and topics

    async def engine(self) -> Engine:
        """What makes feeds and topics run, in the running loop; begins with the app, or with its first use.

        Raises:
            BindingError: They run in another loop already.
            Stopped: The app is over.
        """
        loop = asyncio.get_running_loop()
        if self._is_stopped:
            raise Stopped("feeds and topics")
        engine = self._engine
        if engine is None or engine.loop.is_closed():
            return await self._start_engine()
        if engine.loop is not loop:
            raise BindingError(
                "Feeds and topics of one app were used from two event loops; in tests, write: with TestClient(app) as "
                "client"
            )
        return engine

    async def _start_engine(self) -> Engine:
        settings = self.settings
        cached = settings.max_logs_bytes // 8
        loop = asyncio.get_running_loop()
        logs = LocalLogs(loop, logs=settings.max_keys, size=settings.max_logs_bytes - cached, cached=cached)
        engine = Engine(logs, self.threads(), settings)
        self._engine, self._logs = engine, logs
        self._postbox.open(engine.loop, self._publish_posted)
        return engine

    def bind(self, watched: Watched[Any, Any], path: str) -> None:
        """Makes a feed or topic known to the app, under the path that it has there."""
        watched.bind(self)
        taken = set(self._names.values())
        if watched not in self._names:
            # Two of one path, of which FastAPI serves the first only, are still two.
            self._names[watched] = path if path not in taken else f"{path}#{len(taken)}"

    def name(self, watched: Watched[Any, Any], key: str) -> str:
        """How the broker calls a key of a feed or topic."""
        if watched not in self._names:
            self.bind(watched, watched.path)
        name = self._names[watched]
        return f"{name}?{key}" if key else name

    def publish(self, watched: Watched[Any, Any], key: str, value: Any, marks: Marks | None = None) -> Receipt:
        """Publish a valid value under a valid key, from any thread.

        Raises:
            BacklogFull: Too many publications wait.
        """
        engine = self._engine
        if self._is_stopped or (engine is not None and engine.loop.is_closed()):
            return Receipt(watched.title, error=Stopped(watched.title))
        if engine is not None and engine.is_here():
            return engine.publishing.publish(watched, self.name(watched, key), value, marks)
        return self._postbox.post(watched, key, watched.log_kind.values.state(value, marks))

    def _publish_posted(self, watched: Watched[Any, Any], key: str, value: Any, receipt: Receipt) -> None:
        assert self._engine is not None
        try:
            self._engine.publishing.publish(watched, self.name(watched, key), value, None, receipt)
        except Exception as error:  # it belongs to this publication: others wait behind it
            settle(receipt, None, error)

    async def entries(self, watched: Watched[Any, Any], key: str) -> list[Entry]:
        """What the log of a key holds."""
        return await (await self.engine()).publishing.entries(watched, self.name(watched, key))

    def clients(self, watched: Watched[Any, Any], key: str) -> list[Client]:
        """The clients that watch a key, and can be reached."""
        engine = self._engine
        watchers = [] if engine is None else engine.watchers(self.name(watched, key))
        ids = [each.listener.sender.client for each in watchers if isinstance(each.listener, Member)]
        return self.reachable.of_ids(dict.fromkeys(ids))

    def watching(self, watched: Watched[Any, Any]) -> WatchStatistics:
        """What the watchers of a feed or topic were given since the app's start."""
        return self._engine.statistics(watched) if self._engine is not None else WatchStatistics()

    def watching_all(self) -> Mapping[str, WatchStatistics]:
        """What the watchers of each feed and topic were given, by its path."""
        return {name: self.watching(watched) for watched, name in list(self._names.items())}

    def is_over(self) -> bool:
        """Whether the app has stopped."""
        return self._is_stopped

    def flush(self) -> None:
        """Writes everything that was published to those who can take it: their connections are about to be closed."""
        if self._engine is not None:
            self._postbox.empty()
            self._engine.flush()

    # Connections

    def lane(
        self,
        receive: Callable[..., Awaitable[Any]],
        send: Send,
        on_shutdown: Callable[[], None] | None = None,
    ) -> WebSocketLane:
        """The best lane for a connection that was not accepted yet.

        Args:
            receive: ASGI's ``receive`` of the connection, as the server made it.
            send: ASGI's ``send`` of the connection.
            on_shutdown: Called when the server is told to stop, in place of the server's own close; None for that.
        """
        settings = self.settings
        connection = uvicorn.find(receive) if uvicorn is not None else None
        if connection is None:
            if settings.lane != "portable" and uvicorn is not None:
                self._portable_reasons.note_receive(receive, uvicorn.is_connection)
            return self._portable(send)
        guard = uvicorn.WebSocketGuard(
            connection,
            self._local().sweep,
            max_message_bytes=settings.max_message_bytes,
            max_waiting_bytes=settings.max_waiting_bytes,
            readings=self._local().readings,
            max_frames_per_second=settings.max_messages_per_second,
            compression=settings.compression,
            refused=self.refused,
            before_shutdown=self.flush,
            on_shutdown=on_shutdown,
        )
        if settings.lane == "portable" or uvicorn.compresses(connection):
            why = (
                'Settings(lane="portable")'
                if settings.lane == "portable"
                else "they are compressed, as Settings(compression=True) allows"
            )
            self._portable_reasons.note(why)
            return self._portable(send, guard)
        return uvicorn_lane.UvicornLane(connection, guard, send, self._traffic)

    def _portable(self, send: Send, guard: Guard | None = None) -> AsgiLane:
        settings = self.settings
        return AsgiLane(
            send, self._traffic, limit=settings.max_waiting_bytes, stall_timeout=settings.stall_timeout, guard=guard
        )

    def http_lane(
        self, receive: Callable[..., Awaitable[Any]], send: Send, headers: Headers, on_shutdown: Callable[[], None]
    ) -> HttpLane:
        """A lane for the body of a response that was not started yet.

        Args:
            receive: ASGI's ``receive`` of the request, as the server made it.
            send: ASGI's ``send`` of the request.
            headers: Of the response.
            on_shutdown: Called when the server is told to stop, by servers that would wait for this response.
        """
        settings = self.settings
        exchange = uvicorn_http.find(receive) if uvicorn_http is not None else None
        guard: Guard | None = None
        if exchange is not None:
            sweep = self._local().sweep
            guard = uvicorn_http.ResponseGuard(
                exchange, sweep, max_waiting_bytes=settings.max_waiting_bytes, on_shutdown=on_shutdown
            )
        return HttpLane(
            send,
            self._traffic,
            headers=headers,
            limit=settings.max_waiting_bytes,
            stall_timeout=settings.stall_timeout,
            guard=guard,
        )

    def threads(self) -> CapacityLimiter:
        """Bounds the sync generators of the running loop."""
        return self._local().threads

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of the running loop, for responses that may be quiet for long."""
        return self._local().heartbeat

    def _local(self) -> _Local:
        loop = asyncio.get_running_loop()
        if loop not in self._locals:
            self._locals[loop] = _Local(self.settings)
        return self._locals[loop]

    def join(
        self, session: Session, scope: Mapping[str, Any] | None = None, transport: str = "websocket", title: str = ""
    ) -> None:
        """Count a connection as open.

        Args:
            session: What serves it.
            scope: Its ASGI scope; without one it is only counted.
            transport: What carries it.
            title: What it is connected to, for the log.
        """
        connection = None if scope is None else Connection(session, scope, transport)
        self._sessions[session] = connection
        if connection is not None and logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s is on the %s lane", title, connection.address or "a client", session.lane.name)

    def leave(self, session: Session) -> None:
        """Count a connection as closed."""
        connection = self._sessions.pop(session, None)
        if connection is not None and session.lane.stalled:
            user = f" of user {connection.user!r}" if connection.user else ""
            who = f"the client{user} at {connection.address or 'an unknown address'} ({connection.transport})"
            said = f"{who} took no bytes for {self.settings.stall_timeout:g} s while some waited, and was cut off"
            self.refused("stalled", connection.path, said, logging.WARNING)

    def connection(self, session: object) -> Connection | None:
        """Return an open connection, by what serves it."""
        return self._sessions.get(session)  # type: ignore[call-overload,no-any-return]

    def open_connections(self) -> list[Connection]:
        """Return all open connections."""
        return [each for each in list(self._sessions.values()) if each is not None]

    @contextmanager
    def connected(
        self, session: Session, scope: Mapping[str, Any] | None = None, transport: str = "websocket", title: str = ""
    ) -> Iterator[None]:
        """Count a connection as open for as long as this is entered; arguments as for :meth:`join`."""
        self.join(session, scope, transport, title)
        try:
            yield
        finally:
            self.leave(session)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def accepted(self) -> None:
        """Counts a connection that was accepted."""
        self._accepted += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """A run goes on for as long as this is entered."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1

    def failed(self) -> None:
        """Counts a run that ended with an exception that nobody meant."""
        self._failed += 1

    def refused(
        self, reason: str, about: str = "", said: str = "", level: int = logging.INFO, times: int = 1, *, line: str = ""
    ) -> None:
        """Count what a client was refused, and log it, at a rate that a flood cannot exceed.

        Args:
            reason: A word or two, the same for all of a kind.
            about: The path, channel or method that the client asked for.
            said: What the client is told, or what the operator should know.
            level: The level of the line.
            times: The number of messages or commands.
            line: A line in place of the usual one.
        """
        self._refusals.note(reason, about, said, level, times, line=line)

    def statistics(self) -> Statistics:
        """What the app's connections do now and have done so far."""
        return Statistics(
            connections=len(self._sessions),
            lanes=dict(Counter(session.lane.name for session in list(self._sessions))),
            accepted=self._accepted,
            refused=dict(self._refusals.counts),
            runs=self._runs,
            failed=self._failed,
            messages=self._traffic.messages,
            bytes=self._traffic.bytes,
        )
