"""Keeping the clients of uvicorn's HTTP responses within bounds.

What Wirespeed knows of the insides of uvicorn's HTTP servers is in this module. If anything is not as expected, it is
done without, and with this file deleted everything still works.
"""

import asyncio
import logging
from asyncio import Event, Transport
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from ..isolation import isolated
from .sweep import Sweep
from .uvicorn import abort, backlog, bound_writing

logger = logging.getLogger("wirespeed")

PATIENCE = 1.0
"""Seconds for which a closing transport may take to tell the server; the sweep cuts it off before."""

_KNOWN = tuple(f"uvicorn.protocols.http.{name}_impl" for name in ("h11", "httptools", "zttp"))


class _Flow(Protocol):
    """Whether the transport has room."""

    write_paused: bool


class Exchange(Protocol):
    """uvicorn's object of one request and its response, as far as we use it."""

    transport: Transport
    flow: _Flow
    message_event: Event  # set when something came, or the client has left
    disconnected: bool
    response_complete: bool
    on_response: Callable[[], None]  # a method of the connection's protocol object


def find(receive: Callable[..., Any]) -> Exchange | None:
    """uvicorn's object of the exchange behind an ASGI ``receive``, before the end of its response.

    None on any other server, over HTTP/2, when somebody has wrapped ``receive``, and when the client has left.
    """
    exchange: Any = getattr(receive, "__self__", None)
    if type(exchange).__module__ not in _KNOWN:
        return None
    try:
        expected = _as_expected(exchange)
    except AttributeError:
        expected = False
    if not expected:
        logger.debug("This uvicorn is not built as expected: a response is served without its bounds.")
        return None
    # A client that has left while a dependency waited: methods of its transport raise on uvloop.
    return None if exchange.transport.is_closing() else cast("Exchange", exchange)


def _as_expected(exchange: Any) -> bool:
    """Whether uvicorn is built as we know it."""
    return (
        isinstance(exchange.disconnected, bool)
        and isinstance(exchange.response_complete, bool)
        and isinstance(exchange.flow.write_paused, bool)
        and isinstance(exchange.message_event, Event)
        and callable(exchange.transport.get_write_buffer_size)
        and callable(exchange.on_response.__self__.shutdown)
        and exchange.on_response.__self__.transport is exchange.transport
    )


class ResponseGuard:
    """Keeps the client of one response within bounds; made before its start, finished at its end.

    Args:
        exchange: What :func:`find` found.
        sweep: Cuts the connection off when its bytes are not taken any more.
        write_buffer: How many bytes may wait in the transport and, unsent, in the kernel; for each of the two.
        on_shutdown: Called when the server is told to stop: it would wait for this response otherwise.
    """

    def __init__(self, exchange: Exchange, sweep: Sweep, *, write_buffer: int, on_shutdown: Callable[[], None]) -> None:
        self._exchange = exchange
        self._transport = exchange.transport
        self._socket = self._transport.get_extra_info("socket")
        self._is_tls = self._transport.get_extra_info("sslcontext") is not None
        self._sweep = sweep
        self._over = False
        self.stalled = False
        self._stopping = False
        self._on_shutdown = on_shutdown
        bound_writing(self._transport, write_buffer)
        self._protocol: Any = cast("Any", exchange.on_response).__self__
        self._protocols_shutdown = self._protocol.shutdown
        self._protocol.shutdown = self._shutdown

    def _shutdown(self) -> None:
        self._stopping = True
        with isolated("A response could not be ended before the server stops."):
            self._on_shutdown()
        self._protocols_shutdown()

    def wrote(self) -> None:
        """Something was written: what the transport could not send is looked after."""
        if self.backlog():
            self._sweep.watch(self)

    def backlog(self) -> int:
        """How many bytes wait in the transport."""
        return backlog(self._transport)

    def writable(self) -> bool:
        """Whether there is room for more."""
        return not self._exchange.flow.write_paused

    def closing(self) -> bool:
        """Whether nothing more may be written."""
        return self._exchange.disconnected or self._transport.is_closing()

    def ending(self) -> bool:
        """Whether the client has left, or the server goes. After a response, a client may take its time otherwise."""
        return self._transport.is_closing() and (self._stopping or not self._over)

    def settled(self) -> bool:
        """Whether the connection is gone, or nothing waits for it; a TLS transport does not tell all that does."""
        waiting = self.backlog() or (self._is_tls and not self._exchange.response_complete)
        return self._exchange.disconnected or not waiting

    def abort(self) -> None:
        """Cut the connection, and what waits for it."""
        self.stalled = not (self._over or self.ending())
        abort(self._transport, self._socket)

    async def left(self) -> None:
        """Wait until the server knows that its client has left, if the transport does.

        The transport closes first and tells the server in a later turn of the loop. An app that ends in between has not
        completed its response, for which the server logs an error. Cancelling it changes nothing.
        """
        exchange = self._exchange
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._transport.is_closing() and not (exchange.disconnected or exchange.response_complete):
                    exchange.message_event.clear()
                    await exchange.message_event.wait()

    def finish(self) -> None:
        """The response is over; the connection may serve others."""
        self._over = True
        vars(self._protocol).pop("shutdown", None)
        if not self.settled():
            self._sweep.watch(self)
