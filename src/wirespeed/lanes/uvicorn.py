"""The fast lane: frames written straight to uvicorn's transport, thousands in one system call.

All that Wirespeed knows of uvicorn's insides is in this module. It is checked before each accept; if anything is not
as expected, the portable lane is taken, and with this file deleted everything still works.
"""

import contextlib
import logging
import socket
from asyncio import Event, Transport, get_running_loop
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, cast

from ..isolation import isolated
from ..rate import Rate
from .lane import Lane, Send, Traffic, nothing
from .reading import COMPRESSED_PIECE, PIECE, Reading, Readings
from .sweep import Sweep

try:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
except ImportError:  # pragma: no cover - another uvicorn than those we know
    WebSocketsSansIOProtocol = None  # type: ignore[assignment,misc]

logger = logging.getLogger("wirespeed")

_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_SNDBUF_WITHOUT_LOWAT = 128 * 1024
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_FIN = (7, 8, 9)  # CLOSE, CLOSE_WAIT and LAST_ACK of Linux's tcpi_state, the first byte of its tcp_info

_OURS = (
    "connection_lost",
    "data_received",
    "eof_received",
    "handle_cont",
    "handle_ping",
    "handle_pong",
    "pause_writing",
    "resume_writing",
    "send_receive_event_to_app",
    "shutdown",
)
"""The methods of a connection in whose place ours are."""

READ_SIZE = 16 * 1024
"""Bytes that are taken from a socket at once, where that can be chosen. asyncio's 256 KiB would be held per client."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to answer a close frame. uvicorn's 10 s would delay the stop of the server."""

INVALID_DATA = 1007
POLICY_VIOLATION = 1008


class UvicornWebSocket(Protocol):
    """uvicorn's protocol object of one WebSocket, as far as we use it."""

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


def _as_expected(connection: Any) -> bool:
    """Whether uvicorn is built as we know it."""
    return (
        isinstance(connection.writable, Event)
        and isinstance(connection.disconnected, bool)
        and isinstance(connection.close_sent, bool)
        and isinstance(connection.read_paused, bool)
        and isinstance(connection.close_timeout, float)
        and isinstance(connection.frames, list)
        and isinstance(connection.curr_msg_data_type, str)
        and callable(connection.transport.get_write_buffer_size)
        and callable(connection.pause_writing)
        and callable(connection.resume_writing)
        and callable(connection.shutdown)
        and callable(connection.connection_lost)
        and callable(connection.data_received)
        and callable(connection.handle_parser_exception)
        and callable(connection.send_receive_event_to_app)
        and callable(connection.handle_ping)
        and callable(connection.handle_pong)
        and callable(connection.handle_cont)
        and isinstance(connection.conn.extensions, list)
        and isinstance(connection.conn.max_message_size, int | None)
        and hasattr(connection.request.headers, "get_all")
        and hasattr(connection.response.headers, "get_all")
    )


def is_connection(candidate: object) -> bool:
    """Return whether an object is uvicorn's protocol object of a WebSocket that may take the fast lane."""
    return WebSocketsSansIOProtocol is not None and isinstance(candidate, WebSocketsSansIOProtocol)


def find(receive: Callable[..., Any]) -> UvicornWebSocket | None:
    """uvicorn's protocol object behind an ASGI ``receive``, before its accept.

    None on any other server, when somebody has wrapped ``receive``, when somebody has accepted already, and when the
    client has left.
    """
    connection = getattr(receive, "__self__", None)
    if WebSocketsSansIOProtocol is None or not isinstance(connection, WebSocketsSansIOProtocol):
        return None
    if not _is_as_expected(connection):
        logger.warning("This uvicorn is not built as expected: connections take the portable lane, which is slower.")
        return None
    # A client that has left while a dependency waited: methods of its transport raise on uvloop.
    is_over = connection.handshake_complete or connection.transport.is_closing()
    return None if is_over else cast("UvicornWebSocket", connection)


def _is_as_expected(connection: Any) -> bool:
    try:
        return _as_expected(connection)
    except AttributeError:
        return False


def hold(receive: Callable[..., Any]) -> None:
    """Stop reading from a client until the app has received its connect event, which it does to accept it.

    Until then, there is no :class:`WebSocketGuard` to bound what the client sends. uvicorn itself resumes reading when
    the event is received. On other servers, do nothing.
    """
    connection = getattr(receive, "__self__", None)
    if WebSocketsSansIOProtocol is None or not isinstance(connection, WebSocketsSansIOProtocol):
        return
    if _is_as_expected(connection) and not connection.handshake_complete and not connection.transport.is_closing():
        connection.read_paused = True
        connection.transport.pause_reading()


def compresses(connection: UvicornWebSocket) -> bool:
    """Whether the connection has negotiated an extension; its frames are then the server's business."""
    return bool(connection.conn.extensions)


def bound_writing(transport: Transport, limit: int) -> None:
    """Bounds what may wait for a client in its transport and, unsent, in the kernel; for each of the two.

    Args:
        transport: The connection's.
        limit: In bytes.
    """
    transport.set_write_buffer_limits(high=limit)
    connection: socket.socket | None = transport.get_extra_info("socket")
    # Unix sockets know none of these options, and a socket that is gone by now needs none.
    with contextlib.suppress(OSError, AttributeError):
        if connection is not None and _NOTSENT_LOWAT is not None:
            connection.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, limit)
        elif connection is not None:  # pragma: no cover - not on Linux and macOS
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SNDBUF_WITHOUT_LOWAT)


def abort(transport: Transport, connection: socket.socket | None) -> None:
    """Cuts a connection, and what waits for it.

    Args:
        transport: The connection's.
        connection: Its socket, as the transport gave it when it was open.
    """
    logger.info("A connection was cut: its client took none of the bytes that waited for it.")
    transport.abort()
    # Python 3.11: aborting a TLS transport that was closed twice does nothing. Its socket can tell it is over;
    # uvloop's knows no shutdown, nor needs it.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)


def backlog(transport: Transport) -> int:
    """How many bytes wait in a transport; under TLS, less what waits in the one below it."""
    try:
        return transport.get_write_buffer_size()
    except AttributeError:  # Python 3.11: a TLS transport that was closed twice has lost its insides
        return 0


def _is_text(frames: list[bytes]) -> bool:
    """Whether the parts of a message are UTF-8."""
    data = frames[0] if len(frames) == 1 else b"".join(frames)
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class WebSocketGuard:
    """Keeps one client of uvicorn within bounds, whichever lane it is on: made before accept, finished at the end.

    Args:
        connection: What :func:`find` found.
        sweep: Cuts the connection off when its bytes are not taken any more.
        max_message_size: The parser closes with 1009 on a larger message, in bytes.
        write_buffer: How many bytes may wait in the transport and, unsent, in the kernel; for each of the two.
        readings: Give what was read to the parser in pieces.
        frames_per_second: How many control frames and fragments the client may send; beyond it, 1008.
        compression: Whether a negotiated permessage-deflate stays.
        refused: Counts what the client was refused.
        before_shutdown: Called when the server is told to stop, before it closes the connection.
        on_shutdown: Called then in place of the server's close, if the client is to be told something else.
    """

    def __init__(
        self,
        connection: UvicornWebSocket,
        sweep: Sweep,
        *,
        max_message_size: int,
        write_buffer: int,
        readings: Readings,
        frames_per_second: float,
        compression: bool,
        refused: Callable[[str], None],
        before_shutdown: Callable[[], None] = nothing,
        on_shutdown: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self.transport = connection.transport
        """The connection's own transport; uvicorn has one in its place that reads in pieces."""
        self._socket: socket.socket | None = self.transport.get_extra_info("socket")
        self._is_tls = self.transport.get_extra_info("sslcontext") is not None
        self._sweep = sweep
        self._refused = refused
        self._before_shutdown = before_shutdown
        self._on_shutdown = on_shutdown
        self.left = False
        self.stalled = False
        """Whether the client was cut off although it had not left."""
        self._over = False
        self._rate = Rate(frames_per_second, get_running_loop().time())
        bound_writing(self.transport, write_buffer)
        if not compression:
            self._decline_compression()
        self._bound_reading(max_message_size, readings)
        self._listen()

    def _bound_reading(self, max_message_size: int, readings: Readings) -> None:
        connection = self._connection
        connection.conn.max_message_size = max_message_size
        piece = COMPRESSED_PIECE if compresses(connection) else PIECE
        reading = self._reading = Reading(self.transport, connection.data_received, readings, piece)
        connection.data_received = reading.data_received
        connection.transport = cast("Transport", reading)
        self.transport.set_protocol(cast("Any", connection))  # uvloop looks for data_received only here
        if hasattr(self.transport, "max_size"):  # asyncio's own transports; uvloop's and TLS have theirs
            self.transport.max_size = READ_SIZE

    def _decline_compression(self) -> None:
        self._connection.conn.extensions = []
        with contextlib.suppress(KeyError):
            del self._connection.response.headers["Sec-WebSocket-Extensions"]

    # What uvicorn hands to nobody: frames that are no messages, and the end of what the client sends

    def _listen(self) -> None:
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
        """Hand a message over; close as uvicorn does if it is not UTF-8, without its traceback for each."""
        connection = self._connection
        if connection.curr_msg_data_type != "text" or connection.close_sent or _is_text(connection.frames):
            self._send_event()
            return
        connection.frames = []
        connection.conn.send_close(INVALID_DATA)
        connection.handle_parser_exception()

    def _ping(self) -> None:
        pong = b"".join(self._connection.conn.data_to_send())
        # A client that does not read gets no pongs; they would pile up in the transport.
        if self._admits() and self._connection.writable.is_set():
            self.transport.write(pong)
            self.wrote()

    def _pong(self, frame: Any) -> None:
        if self._admits():
            self._handle_pong(frame)

    def _cont(self, frame: Any) -> None:
        if self._admits():
            self._handle_cont(frame)

    def _eof(self) -> None:
        self.left = True
        self._sweep.watch(self)

    def _lost(self, error: Exception | None) -> None:
        """The connection is gone: without what was put onto it, all that belongs to it goes at once, and not only when
        Python looks for cycles, which takes longer the more connections there are."""
        with isolated("The last bytes of a client could not be parsed."):
            if not self._connection.close_sent:
                self._reading.finish()
        for name in _OURS:
            vars(self._connection).pop(name, None)
        self._connection.transport = self.transport
        self._shutdown = self._before_shutdown = nothing
        self._on_shutdown = None
        self._connection_lost(error)

    def _shut_down(self) -> None:
        """Have the client answer its close soon, as the server waits for it; at other times it may take longer."""
        if self._connection.close_sent:
            get_running_loop().call_later(CLOSE_TIMEOUT, self.transport.close)
        self._connection.close_timeout = CLOSE_TIMEOUT
        with isolated("Something could not be written before the server stops."):
            self._before_shutdown()
        self._shutdown()

    def _admits(self) -> bool:
        """Charges one frame to the client; closes the connection of one that floods."""
        if self.closing():
            return False
        if self._rate.admits(get_running_loop().time()):
            return True
        self._refused("rate")
        logger.info("A connection was closed: its client floods with control frames or fragments.")
        self._connection.conn.fail(POLICY_VIOLATION, "Too many frames per second.")
        self.transport.write(b"".join(self._connection.conn.data_to_send()))
        self._connection.close_sent = True
        self.transport.close()
        self._sweep.watch(self)
        return False

    # What the sweep asks

    def wrote(self) -> None:
        """Something was written: what the transport could not send is looked after."""
        if self.backlog():
            self._sweep.watch(self)

    def backlog(self) -> int:
        """How many bytes wait in the transport."""
        return backlog(self.transport)

    def writable(self) -> bool:
        """Whether there is room for more."""
        return self._connection.writable.is_set()

    def closing(self) -> bool:
        """Whether nothing more may be written."""
        connection = self._connection
        return connection.disconnected or connection.close_sent or self.left or self.transport.is_closing()

    def ending(self) -> bool:
        """Whether the client has left, or the transport is closing."""
        if not self.left and self.backlog():
            self.left = self._sent_fin()
        return self.left or self.transport.is_closing()

    def _sent_fin(self) -> bool:
        """Whether the client has closed its side; with bytes unsent, not every transport tells."""
        if self._socket is None or _TCP_INFO is None:
            return False
        try:
            return self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] in _FIN
        except OSError:  # not a TCP socket
            return False

    def settled(self) -> bool:
        """Whether the connection is gone, or goes on and nothing waits for it.

        A TLS transport does not tell what waits in the one below it, so it is looked after as long as it is open.
        """
        waiting = self.left or self._over or self._is_tls or self.backlog()
        return self._connection.disconnected or not waiting

    def abort(self) -> None:
        """Cut the connection, and what waits for it."""
        self.stalled = not self.ending()
        abort(self.transport, self._socket)

    def finish(self) -> None:
        """The session is over: the connection is looked after until it is gone."""
        self._over = True
        self._sweep.watch(self)


class UvicornLane(Lane):
    """A lane into uvicorn's transport.

    Args:
        connection: What :func:`find` found.
        guard: Its guard.
        send: ASGI's ``send`` of the connection.
        traffic: Where the lane counts what it has taken.
    """

    name: ClassVar[str] = "uvicorn"
    is_direct: ClassVar[bool] = True

    def __init__(self, connection: UvicornWebSocket, guard: WebSocketGuard, send: Send, traffic: Traffic) -> None:
        super().__init__(send, traffic)
        self._connection = connection
        self._transport = guard.transport
        self._writable = connection.writable
        self._guard = guard
        self._has_room = True
        self._pause_writing, self._resume_writing = connection.pause_writing, connection.resume_writing
        connection.pause_writing = self._paused
        connection.resume_writing = self._resumed

    def accepted(self) -> None:
        # 5 KiB per connection of a browser, which uvicorn keeps and does not look at any more.
        connection = self._connection
        if connection.handshake_complete:
            connection.request.headers.clear()
            connection.response.headers.clear()

    def _paused(self) -> None:
        self._has_room = False
        self._pause_writing()

    def _resumed(self) -> None:
        self._has_room = True
        self._resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def write(self, frames: bytes, messages: int) -> None:
        if frames and not self._guard.closing():
            self._put(frames, messages)

    def offer(self, frames: bytes, messages: int) -> bool:
        # All checks in one place: beside the system call, this is what a delivery costs.
        if not self._has_room:
            return False
        connection, transport = self._connection, self._transport
        if not (connection.disconnected or connection.close_sent or transport.is_closing() or self._guard.left):
            self._put(frames, messages)
        return True

    def _put(self, frames: bytes, messages: int) -> None:
        traffic, transport = self._traffic, self._transport
        traffic.messages += messages
        traffic.bytes += len(frames)
        transport.write(frames)
        if transport.get_write_buffer_size():
            self._guard.wrote()

    def _write(self, frames: bytes) -> None:
        """Not called: :meth:`write` does it all."""

    def writable(self) -> bool:
        return self._has_room

    def waiting(self) -> int:
        return self._guard.backlog()

    @property
    def stalled(self) -> bool:
        return self._guard.stalled

    def closing(self) -> bool:
        return self._guard.closing()

    async def drained(self) -> None:
        # Set when the connection is lost, too, so this cannot wait for ever: the sweep sees to the rest.
        await self._writable.wait()

    async def finish(self) -> None:
        self._guard.finish()
