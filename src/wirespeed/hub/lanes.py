"""Lanes: the best way for the bytes of each connection, and what the lanes of one event loop share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from ..lanes.asgi import AsgiLane
from ..lanes.guard import Guard
from ..lanes.http import Headers, HttpLane
from ..lanes.lane import Send, Traffic, WebSocketLane
from ..lanes.reading import Readings
from ..lanes.sweep import Sweep
from ..settings import Settings
from .heartbeat import Heartbeat
from .portable import PortableReasons

try:
    from ..lanes import uvicorn, uvicorn_lane
except ImportError:  # the fast lane's module may be missing; everything works without it
    uvicorn = uvicorn_lane = None  # type: ignore[assignment]
try:
    from ..lanes import uvicorn_http
except ImportError:
    uvicorn_http = None  # type: ignore[assignment]


class _Local:
    """The things that the connections of one event loop share."""

    def __init__(self, settings: Settings) -> None:
        self.sweep = Sweep(settings.stall_timeout)
        self.readings = Readings()
        self.threads = CapacityLimiter(settings.max_threads)
        self.heartbeat = Heartbeat(asyncio.get_running_loop(), settings.heartbeat_interval)


class Lanes:
    """Makes the lanes of one app's connections.

    Attributes:
        traffic: Counts the messages and bytes of all lanes.
    """

    def __init__(self, settings: Settings, refused: Callable[..., None], before_shutdown: Callable[[], None]) -> None:
        self.traffic = Traffic()
        self._settings = settings
        self._refused = refused
        self._before_shutdown = before_shutdown
        self._portable_reasons = PortableReasons()
        self._locals: WeakKeyDictionary[asyncio.AbstractEventLoop, _Local] = WeakKeyDictionary()

    def websocket(
        self, receive: Callable[..., Awaitable[Any]], send: Send, on_shutdown: Callable[[], None] | None = None
    ) -> WebSocketLane:
        """Return the best lane for a WebSocket that was not accepted yet."""
        settings = self._settings
        connection = uvicorn.find(receive) if uvicorn is not None else None
        if connection is None:
            if settings.lane != "portable" and uvicorn is not None:
                self._portable_reasons.note_receive(receive, uvicorn.is_connection)
            return self._portable(send)
        local = self._local()
        guard = uvicorn.WebSocketGuard(
            connection, local.sweep, local.readings, settings, self._refused, self._before_shutdown, on_shutdown
        )
        if settings.lane == "portable":
            self._portable_reasons.note('Settings(lane="portable")')
        elif uvicorn.compresses(connection):
            self._portable_reasons.note("they are compressed, as Settings(compression=True) allows")
        else:
            return uvicorn_lane.UvicornLane(connection, guard, send, self.traffic)
        return self._portable(send, guard)

    def _portable(self, send: Send, guard: Guard | None = None) -> AsgiLane:
        return AsgiLane(send, self.traffic, self._settings, guard)

    def http(
        self, receive: Callable[..., Awaitable[Any]], send: Send, headers: Headers, on_shutdown: Callable[[], None]
    ) -> HttpLane:
        """Return a lane for the body of a response that was not started yet."""
        exchange = uvicorn_http.find(receive) if uvicorn_http is not None else None
        guard: Guard | None = None
        if exchange is not None:
            limit = self._settings.max_waiting_bytes
            guard = uvicorn_http.ResponseGuard(
                exchange, self._local().sweep, max_waiting_bytes=limit, on_shutdown=on_shutdown
            )
        return HttpLane(send, self.traffic, self._settings, guard, headers=headers)

    @contextmanager
    def standing_in(self, receive: Callable[..., Awaitable[Any]], on_shutdown: Callable[[], None]) -> Iterator[None]:
        """Be notified of the server's shutdown within a block that outlives its connection, if the server is known."""
        connections = None if uvicorn is None else uvicorn.connections_beside(receive)
        if connections is None:
            yield
            return
        stand_in = uvicorn.StandIn(connections, on_shutdown)
        connections.add(stand_in)
        try:
            yield
        finally:
            connections.discard(stand_in)

    def notified_of_stop(
        self, receive: Callable[..., Awaitable[Any]], on_shutdown: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Be notified of the server's shutdown within a block that serves a request, until it has a lane."""
        return nullcontext() if uvicorn_http is None else uvicorn_http.notified_of_stop(receive, on_shutdown)

    def threads(self) -> CapacityLimiter:
        """Return the bound of the threads that run synchronous code, in the running loop."""
        return self._local().threads

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of the running loop, for responses that may be quiet for long."""
        return self._local().heartbeat

    def _local(self) -> _Local:
        loop = asyncio.get_running_loop()
        if loop not in self._locals:
            self._locals[loop] = _Local(self._settings)
        return self._locals[loop]
