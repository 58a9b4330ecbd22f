"""uvicorn's HTTP responses: how to find them, and their guard.

All knowledge of the internals of uvicorn's HTTP servers is in this module. If anything is not as expected, responses
have no guard; without this file, everything still works.
"""

import asyncio
import logging
from asyncio import Event, Transport
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol, cast

from ..isolation import isolated
from .guard import Guard
from .sweep import LEFT_TIMEOUT, Sweep
from .uvicorn import StandIn

logger = logging.getLogger("wirespeed")

PATIENCE = 1.0
"""Seconds to wait for a closing transport to notify the server. The sweep aborts the connection before."""

_KNOWN = tuple(f"uvicorn.protocols.http.{name}_impl" for name in ("h11", "httptools", "zttp"))


class _Flow(Protocol):
    """uvicorn's flow control of one transport."""

    read_paused: bool
    write_paused: bool


class Exchange(Protocol):
    """The part of uvicorn's object of one request and its response that we use."""

    transport: Transport
    flow: _Flow
    message_event: Event  # set when something arrived, or the client has left
    disconnected: bool
    response_complete: bool
    keep_alive: bool
    on_response: Callable[[], None]  # a method of the connection's protocol object


def find(receive: Callable[..., Any]) -> Exchange | None:
    """Return uvicorn's object of the exchange behind an ASGI ``receive``, before the end of its response.

    Return None on any other server, over HTTP/2, if other code has wrapped ``receive``, and if the client has left.
    """
    exchange: Any = getattr(receive, "__self__", None)
    if type(exchange).__module__ not in _KNOWN:
        return None
    try:
        expected = _is_as_expected(exchange)
    except AttributeError:
        expected = False
    if not expected:
        logger.debug("A response is served without bounds: this version of uvicorn is not supported.")
        return None
    # If the client left while a dependency was waiting, methods of uvloop's transports raise. If it asked for a
    # WebSocket meanwhile, the connection belongs to that.
    transport = exchange.transport
    if transport.is_closing() or transport.get_protocol() is not exchange.on_response.__self__:
        _lost(exchange)
        return None
    return cast("Exchange", exchange)


@contextmanager
def notified_of_stop(receive: Callable[..., Any], on_shutdown: Callable[[], None]) -> Iterator[None]:
    """Call a function if uvicorn shuts down within a block, which serves the request behind an ASGI ``receive``.

    uvicorn says so once, to each of its connections. The guard of a response takes this over.
    """
    exchange: Any = getattr(receive, "__self__", None)
    protocol: Any = getattr(getattr(exchange, "on_response", None), "__self__", None)
    if type(exchange).__module__ not in _KNOWN or not isinstance(getattr(protocol, "connections", None), set):
        yield
        return

    def shutdown() -> None:
        with isolated("A response could not be ended before the server stops."):
            on_shutdown()
        type(protocol).shutdown(protocol)

    stand_in = StandIn(protocol.connections, on_shutdown)

    def connection_lost(error: Exception | None) -> None:
        protocol.connections.add(stand_in)
        type(protocol).connection_lost(protocol, error)

    replaced = {"shutdown": shutdown, "connection_lost": connection_lost}
    vars(protocol).update(replaced)
    try:
        yield
    finally:
        protocol.connections.discard(stand_in)
        _put_back(protocol, replaced)


def _put_back(protocol: object, replaced: Mapping[str, object]) -> None:
    """Remove what has replaced methods of a connection, except what has been replaced since.

    Middleware may hold a request up after its response, while the connection serves the next one.
    """
    for name, method in replaced.items():
        if vars(protocol).get(name) is method:
            delattr(protocol, name)


def _is_as_expected(exchange: Any) -> bool:
    """Return True if uvicorn is built as this module expects."""
    return (
        isinstance(exchange.disconnected, bool)
        and isinstance(exchange.response_complete, bool)
        and isinstance(exchange.keep_alive, bool)
        and isinstance(exchange.flow.read_paused, bool)
        and isinstance(exchange.flow.write_paused, bool)
        and isinstance(exchange.message_event, Event)
        and callable(exchange.transport.get_write_buffer_size)
        and callable(exchange.on_response.__self__.shutdown)
        and callable(exchange.on_response.__self__.connection_lost)
        and exchange.on_response.__self__.transport is exchange.transport
    )


def _lost(exchange: Exchange) -> None:
    """Let an exchange know that its client has left.

    With httptools, uvicorn lets only the exchange know that arrived last: a client that has sent its next request
    already would keep the one that is served.
    """
    if not exchange.response_complete:
        exchange.disconnected = True
    exchange.message_event.set()


class ResponseGuard(Guard):
    """The guard of one response on uvicorn. Make it before the response starts, and finish it at the end."""

    def __init__(
        self, exchange: Exchange, sweep: Sweep, *, max_waiting_bytes: int, on_shutdown: Callable[[], None]
    ) -> None:
        super().__init__(exchange.transport, sweep, max_waiting_bytes)
        self._exchange = exchange
        self._stopping = False
        self._on_shutdown = on_shutdown
        self._protocol: Any = cast("Any", exchange.on_response).__self__
        self._protocols_shutdown = self._protocol.shutdown
        self._replaced = {
            "shutdown": self._shutdown,
            "connection_lost": self._connection_lost,
            "handle_websocket_upgrade": self._upgrade,
        }
        vars(self._protocol).update(self._replaced)

    def _shutdown(self) -> None:
        self._stopping = True
        with isolated("A response could not be ended before the server stops."):
            self._on_shutdown()
        self._exchange.keep_alive = False  # uvicorn, too, but of the request that arrived last
        self._protocols_shutdown()

    def _connection_lost(self, error: Exception | None) -> None:
        self._let_go()
        _lost(self._exchange)
        self._protocol.connection_lost(error)

    def _upgrade(self, *event: object) -> None:
        if self._exchange.response_complete:
            self._let_go()
            self._protocol.handle_websocket_upgrade(*event)
        else:  # the connection would belong to the WebSocket, and the end of that would not end this response
            self.transport.abort()

    def _let_go(self) -> None:
        _put_back(self._protocol, self._replaced)

    def wrote(self) -> None:
        # While another request waits, uvicorn does not read. A TLS transport that does not read drops what is written
        # after a FIN, and stays.
        if self._exchange.flow.read_paused and self._has_sent_fin():
            self.transport.abort()
        super().wrote()

    def writable(self) -> bool:
        return not self._exchange.flow.write_paused

    def closing(self) -> bool:
        return self._exchange.disconnected or self.transport.is_closing()

    def ending(self) -> bool:
        # After its response, a connection that closes may take its time, unless the server stops.
        return self.transport.is_closing() and (self._stopping or not self._over)

    def ending_timeout(self) -> float:
        return LEFT_TIMEOUT

    def settled(self) -> bool:
        # A TLS transport does not report what waits in the transport below it: it is watched until the response ends.
        is_waiting = self.backlog() or (self._is_tls and not self._exchange.response_complete)
        return self._exchange.disconnected or not is_waiting

    async def left(self) -> None:
        # The transport closes first, and notifies the server in a later turn of the loop. uvicorn takes an app that
        # ends in between for one that has not completed its response, and logs an error.
        exchange = self._exchange
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.transport.is_closing() and not (exchange.disconnected or exchange.response_complete):
                    exchange.message_event.clear()
                    await exchange.message_event.wait()

    def finish(self) -> None:
        self._over = True
        if not self.transport.is_closing():  # it may serve other requests; if it closes, `left` waits for that
            self._let_go()
        if not self.settled():
            self._sweep.watch(self)
