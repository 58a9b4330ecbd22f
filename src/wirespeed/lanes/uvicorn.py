"""uvicorn's WebSockets: how to find them, and their guard.

All knowledge of the internals of uvicorn's WebSockets is in this module. It is checked before each accept. If anything
is not as expected, connections use the portable lane; without this file, everything still works, more slowly.
"""

import contextlib
import logging
from asyncio import Event, Transport, get_running_loop
from collections.abc import Callable
from typing import Any, Protocol, cast

from ..isolation import isolated
from ..rate import Rate
from ..settings import Settings
from .guard import Guard
from .lane import nothing
from .reading import COMPRESSED_PIECE, PIECE, Reading, Readings
from .sweep import CLOSING_TIMEOUT, LEFT_TIMEOUT, Sweep

try:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
except ImportError:  # pragma: no cover - a version of uvicorn that we do not know
    WebSocketsSansIOProtocol = None  # type: ignore[assignment,misc]

logger = logging.getLogger("wirespeed")

_REPLACED = (
    "connection_lost", "data_received", "eof_received", "handle_cont", "handle_ping", "handle_pong", "pause_writing",
    "resume_writing", "send_receive_event_to_app", "shutdown",
)  # fmt: skip
"""Methods of uvicorn's WebSocket that a guard and a lane replace by their own."""

READ_SIZE = 16 * 1024
"""Bytes to read from a socket at once, where that can be chosen. asyncio would hold 256 KiB for each client."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to answer a close frame when the server stops. uvicorn would wait for 10."""

FRAGMENT = 50
"""Bytes that a fragment of a message takes besides its data, about."""

INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009


class UvicornWebSocket(Protocol):
    """The part of uvicorn's protocol object of one WebSocket that we use."""

    transport: Transport
    writable: Event
    disconnected: bool
    close_sent: bool
    handshake_complete: bool
    conn: Any  # websockets.server.ServerProtocol
    request: Any  # websockets.http11.Request
    response: Any  # websockets.http11.Response, not sent yet
    close_timeout: float
    read_paused: bool
    frames: list[bytes]
    curr_msg_data_type: str
    connection_lost: Callable[[Exception | None], None]
    data_received: Callable[[bytes], None]
    handle_parser_exception: Callable[[], None]
    send_receive_event_to_app: Callable[[], None]
    eof_received: Callable[[], None]
    pause_writing: Callable[[], None]
    resume_writing: Callable[[], None]
    shutdown: Callable[[], None]
    handle_ping: Callable[[], None]
    handle_pong: Callable[[Any], None]
    handle_cont: Callable[[Any], None]


_PARTS: dict[str, type] = {
    "writable": Event,
    "disconnected": bool,
    "close_sent": bool,
    "read_paused": bool,
    "close_timeout": float,
    "frames": list,
    "curr_msg_data_type": str,
}


def _is_as_expected(connection: Any) -> bool:
    """Return True if uvicorn is built as this module expects."""
    try:
        return (
            all(isinstance(getattr(connection, name), kind) for name, kind in _PARTS.items())
            and all(callable(getattr(connection, name)) for name in (*_REPLACED, "handle_parser_exception"))
            and callable(connection.transport.get_write_buffer_size)
            and isinstance(connection.conn.extensions, list)
            and isinstance(connection.conn.max_message_size, int | None)
            and hasattr(connection.request.headers, "get_all")
            and hasattr(connection.response.headers, "get_all")
        )
    except AttributeError:
        return False


def is_connection(candidate: object) -> bool:
    """Return True for uvicorn's protocol object of a WebSocket that may use the fast lane."""
    return WebSocketsSansIOProtocol is not None and isinstance(candidate, WebSocketsSansIOProtocol)


def _is_open(connection: Any) -> bool:
    """Return True before the accept, unless the client has left: then, methods of uvloop's transports raise."""
    return not (connection.handshake_complete or connection.transport.is_closing())


def find(receive: Callable[..., Any]) -> UvicornWebSocket | None:
    """Return uvicorn's protocol object behind an ASGI ``receive``, before its accept.

    Return None on any other server, if other code has wrapped ``receive`` or accepted the connection already, and if
    the client has left.
    """
    connection = getattr(receive, "__self__", None)
    if not is_connection(connection):
        return None
    if not _is_as_expected(connection):
        logger.warning("Connections use the portable lane, which is slower: this version of uvicorn is not supported.")
        return None
    return cast("UvicornWebSocket", connection) if _is_open(connection) else None


def hold(receive: Callable[..., Any]) -> None:
    """Stop reading from a client until the app has received its connect event, which it does to accept it.

    Until then, there is no :class:`WebSocketGuard` to bound what the client sends. uvicorn itself resumes reading when
    the event is received. On other servers, do nothing.
    """
    connection: Any = getattr(receive, "__self__", None)
    if is_connection(connection) and _is_as_expected(connection) and _is_open(connection):
        connection.read_paused = True
        connection.transport.pause_reading()


class StandIn:
    """Stands for work that has outlived its connection: uvicorn asks its connections to end, and then waits."""

    def __init__(self, connections: set[Any], on_shutdown: Callable[[], None]) -> None:
        self._connections = connections
        self._on_shutdown = on_shutdown

    def shutdown(self) -> None:
        self._connections.discard(self)
        with isolated("A run could not be ended before the server stops."):
            self._on_shutdown()


def connections_beside(receive: Callable[..., Any]) -> set[Any] | None:
    """Return the connections of the server behind an ASGI ``receive``; None on any other server."""
    exchange = getattr(receive, "__self__", None)
    protocol = (
        exchange if is_connection(exchange) else getattr(getattr(exchange, "on_response", None), "__self__", None)
    )
    connections = getattr(protocol, "connections", None)
    return connections if isinstance(connections, set) else None


def compresses(connection: UvicornWebSocket) -> bool:
    """Return True if the connection has negotiated an extension. Then only the server can make its frames."""
    return bool(connection.conn.extensions)


def _is_text(frames: list[bytes]) -> bool:
    """Return True if the parts of a message are UTF-8 together."""
    data = frames[0] if len(frames) == 1 else b"".join(frames)
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class WebSocketGuard(Guard):
    """The guard of one of uvicorn's WebSockets, for any lane. Make it before the accept, and finish it at the end.

    uvicorn does not report control frames, fragments and the end of what the client sends to the app, and bounds none
    of them. So the guard replaces the methods that handle them.

    Args:
        settings: The limits. Control frames and fragments have the rate of messages to themselves.
        on_shutdown: Called instead of the server's own close, if the client gets another answer then.
    """

    def __init__(
        self,
        connection: UvicornWebSocket,
        sweep: Sweep,
        readings: Readings,
        settings: Settings,
        refused: Callable[[str], None],
        before_shutdown: Callable[[], None] = nothing,
        on_shutdown: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(connection.transport, sweep, settings.max_waiting_bytes)
        self._connection = connection
        self._refused = refused
        self._before_shutdown = before_shutdown
        self._on_shutdown = on_shutdown
        self.has_left = False
        """True if the client has closed its side."""
        self._rate = Rate(settings.max_messages_per_second, get_running_loop().time())
        if not settings.compression:
            self._decline_compression()
        self._bound_reading(settings.max_message_bytes, readings)
        self._replace_methods()

    def _bound_reading(self, max_message_bytes: int, readings: Readings) -> None:
        connection = self._connection
        connection.conn.max_message_size = max_message_bytes
        piece = COMPRESSED_PIECE if compresses(connection) else PIECE
        reading = self._reading = Reading(self.transport, connection.data_received, readings, piece)
        connection.data_received = reading.data_received
        connection.transport = cast("Transport", reading)
        # uvloop looks data_received up only when a protocol is set.
        self.transport.set_protocol(cast("Any", connection))
        if hasattr(self.transport, "max_size"):  # only asyncio's own transports have it, without TLS
            self.transport.max_size = READ_SIZE

    def _decline_compression(self) -> None:
        self._connection.conn.extensions = []
        with contextlib.suppress(KeyError):
            del self._connection.response.headers["Sec-WebSocket-Extensions"]

    def _replace_methods(self) -> None:
        connection = self._connection
        self._handle_pong, self._handle_cont = connection.handle_pong, connection.handle_cont
        self._send_event = connection.send_receive_event_to_app
        connection.send_receive_event_to_app = self._message
        connection.handle_ping = self._ping
        connection.handle_pong = self._pong
        connection.handle_cont = self._cont
        connection.eof_received = self._eof
        self._shutdown = self._on_shutdown or connection.shutdown
        connection.shutdown = self._shut_down
        self._connection_lost = connection.connection_lost
        connection.connection_lost = self._lost

    def _message(self) -> None:
        """Pass a message to the app, or close the connection if its text is not UTF-8."""
        connection = self._connection
        if connection.curr_msg_data_type != "text" or connection.close_sent or _is_text(connection.frames):
            self._send_event()
            return
        # uvicorn would do the same, but log a traceback for each such message.
        connection.frames = []
        if connection.conn.close_rcvd is not None:  # the client's own close came in the same segment, and is answered
            self._refused("invalid message")
            return
        connection.conn.send_close(INVALID_DATA)
        connection.handle_parser_exception()

    def _ping(self) -> None:
        pong = b"".join(self._connection.conn.data_to_send())
        # A client that does not read gets no pongs: they would pile up in the transport.
        if self._admits() and self._connection.writable.is_set():
            self.transport.write(pong)
            self.wrote()

    def _pong(self, frame: Any) -> None:
        if self._admits():
            self._handle_pong(frame)

    def _cont(self, frame: Any) -> None:
        connection = self._connection
        if connection.conn.close_rcvd is not None and not connection.frames:  # the rest of a message that was refused
            return
        if not self._admits() or not (frame.data or frame.fin):  # an empty fragment would only take memory
            return
        if len(connection.frames) * FRAGMENT > connection.conn.max_message_size:
            connection.frames = []
            if connection.conn.close_rcvd is not None:  # see `_message`
                self._refused("size")
                return
            connection.conn.fail(MESSAGE_TOO_BIG, "Too many fragments.")
            connection.handle_parser_exception()
            return
        self._handle_cont(frame)

    def _eof(self) -> None:
        self.has_left = True
        self._sweep.watch(self)

    def _lost(self, error: Exception | None) -> None:
        with isolated("The last bytes of a client could not be parsed."):
            if not self._connection.close_sent:
                self._reading.finish()
        # The replaced methods make a reference cycle. Removing them frees everything that belongs to the connection
        # now; the garbage collector would take longer, the more connections there are.
        for name in _REPLACED:
            vars(self._connection).pop(name, None)
        self._connection.transport = self.transport
        self._shutdown = self._before_shutdown = nothing
        self._on_shutdown = None
        self._connection_lost(error)

    def _shut_down(self) -> None:
        # The server waits for the client's answer to the close. Only now may that not take long: at other times, a
        # client that is busy sending would lose the reason of its close.
        if self._connection.close_sent:
            get_running_loop().call_later(CLOSE_TIMEOUT, self.transport.close)
        self._connection.close_timeout = CLOSE_TIMEOUT
        with isolated("Published values could not be written before the server stops."):
            self._before_shutdown()
        # If the client has closed and does not read, uvicorn would raise an error: the connections after this one would
        # get no close, and the app's lifespan would not end.
        if self._on_shutdown is not None or not self.transport.is_closing():
            self._shutdown()

    def _admits(self) -> bool:
        """Charge one frame to the client; close the connection if it sends too many."""
        if self.closing():
            return False
        if self._rate.admits(get_running_loop().time()):
            return True
        self._refused("rate")
        logger.info("A connection was closed: its client sent too many control frames or fragments per second.")
        self._connection.conn.fail(POLICY_VIOLATION, "Too many frames per second.")
        self.transport.write(b"".join(self._connection.conn.data_to_send()))
        self._connection.close_sent = True
        self.transport.close()
        self._sweep.watch(self)
        return False

    def writable(self) -> bool:
        return self._connection.writable.is_set()

    def closing(self) -> bool:
        connection = self._connection
        return connection.disconnected or connection.close_sent or self.has_left or self.transport.is_closing()

    def ending(self) -> bool:
        # With bytes in its buffer, a transport does not read, and so does not report a FIN: the kernel knows it.
        if not self.has_left and self.backlog():
            self.has_left = self._has_sent_fin()
        return self.has_left or self.transport.is_closing()

    def ending_timeout(self) -> float:
        return LEFT_TIMEOUT if self.has_left else CLOSING_TIMEOUT

    def settled(self) -> bool:
        # A TLS transport does not report what waits in the transport below it: it is watched while it is open.
        is_waiting = self.has_left or self._over or self._is_tls or self.backlog()
        return self._connection.disconnected or not is_waiting

    def finish(self) -> None:
        self._over = True
        self._sweep.watch(self)  # until the connection is gone
