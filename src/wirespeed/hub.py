"""The hub: what the connections of one app share."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol, Self
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from .lanes.asgi import AsgiLane
from .lanes.http import Headers, HttpLane
from .lanes.lane import Lane, Send, Traffic
from .lanes.sending import Guardian
from .lanes.sweep import Sweep
from .settings import Settings

try:
    from .lanes import uvicorn
except ImportError:  # the fast lane's module may be missing; everything works without it
    uvicorn = None  # type: ignore[assignment]
try:
    from .lanes import uvicorn_http
except ImportError:
    uvicorn_http = None  # type: ignore[assignment]

STOP_TIMEOUT = 5.0


class Session(Protocol):
    """One connection, as the hub sees it."""

    lane: Lane

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
    """Runs that ended with an exception, other than an HTTPException or a WebSocketException."""
    messages: int
    """Messages written so far."""
    bytes: int
    """Bytes written so far, with the headers of the frames."""


class _Local:
    """What the connections of one event loop share."""

    def __init__(self, settings: Settings) -> None:
        self.sweep = Sweep(settings.stall_timeout)
        self.threads = CapacityLimiter(settings.threads)


class Hub:
    """The connections of one app, their lanes and their figures.

    A hub works without having been entered, for mounted apps and tests run without a lifespan; entered as an async
    context manager, it closes on leaving what is still open then.

    Args:
        settings: The app's limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sessions: set[Session] = set()
        self._traffic = Traffic()
        self._accepted = 0
        self._refused: Counter[str] = Counter()
        self._runs = 0
        self._failed = 0
        self._locals: WeakKeyDictionary[asyncio.AbstractEventLoop, _Local] = WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """Servers that stop the app before its connections leave some open: those are told to come back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT), asyncio.TaskGroup() as closing:
                for session in self._sessions:
                    closing.create_task(session.close(1012, "The server is restarting."))

    def lane(self, receive: Callable[..., Awaitable[Any]], send: Send) -> Lane:
        """The best lane for a connection that was not accepted yet.

        Args:
            receive: ASGI's ``receive`` of the connection, as the server made it.
            send: ASGI's ``send`` of the connection.
        """
        settings = self.settings
        connection = uvicorn.find(receive) if uvicorn is not None else None
        if connection is None:
            return self._portable(send)
        guard = uvicorn.Guard(
            connection,
            self._local().sweep,
            max_message_size=settings.max_message_size,
            write_buffer=settings.write_buffer,
            frames_per_second=settings.messages_per_second,
            compression=settings.compression,
            refused=self.refused,
        )
        if settings.lane == "portable" or uvicorn.compresses(connection):
            return self._portable(send, guard)
        return uvicorn.UvicornLane(connection, guard, send, self._traffic)

    def _portable(self, send: Send, guard: Guardian | None = None) -> AsgiLane:
        settings = self.settings
        return AsgiLane(
            send, self._traffic, limit=settings.write_buffer, stall_timeout=settings.stall_timeout, guard=guard
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
        guard: Guardian | None = None
        if exchange is not None:
            sweep = self._local().sweep
            guard = uvicorn_http.Guard(exchange, sweep, write_buffer=settings.write_buffer, on_shutdown=on_shutdown)
        return HttpLane(
            send,
            self._traffic,
            headers=headers,
            limit=settings.write_buffer,
            stall_timeout=settings.stall_timeout,
            guard=guard,
        )

    def threads(self) -> CapacityLimiter:
        """Bounds the sync generators of the running loop."""
        return self._local().threads

    def _local(self) -> _Local:
        loop = asyncio.get_running_loop()
        if loop not in self._locals:
            self._locals[loop] = _Local(self.settings)
        return self._locals[loop]

    @contextmanager
    def connected(self, session: Session) -> Iterator[None]:
        """A connection is open for as long as this is entered."""
        self._sessions.add(session)
        try:
            yield
        finally:
            self._sessions.discard(session)

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

    def refused(self, reason: str) -> None:
        """Counts what a client was refused.

        Args:
            reason: A word or two, the same for all of its kind.
        """
        self._refused[reason] += 1

    def statistics(self) -> Statistics:
        """What the app's connections do now and have done so far."""
        return Statistics(
            connections=len(self._sessions),
            lanes=dict(Counter(session.lane.name for session in self._sessions)),
            accepted=self._accepted,
            refused=dict(self._refused),
            runs=self._runs,
            failed=self._failed,
            messages=self._traffic.messages,
            bytes=self._traffic.bytes,
        )
