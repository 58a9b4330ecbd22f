"""Guards: a guard knows the server's transport of one connection, and keeps its client within bounds."""

import logging
import socket
from abc import ABC, abstractmethod
from asyncio import Transport
from contextlib import suppress

from .sweep import Sweep, Sweepable

logger = logging.getLogger("wirespeed")

_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_SNDBUF_WITHOUT_LOWAT = 128 * 1024
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_FIN = (7, 8, 9)  # CLOSE, CLOSE_WAIT and LAST_ACK of Linux's tcpi_state, the first byte of its tcp_info


class Guard(Sweepable, ABC):
    """The guard of one connection: it bounds what waits for the client, and has the sweep watch what is stuck."""

    def __init__(self, transport: Transport, sweep: Sweep, max_waiting_bytes: int) -> None:
        self.transport = transport
        """The server's own transport of the connection."""
        self.stalled = False
        """True if the connection was aborted although its client had not left."""
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._sweep = sweep
        self._over = False
        transport.set_write_buffer_limits(high=max_waiting_bytes)
        # Unix sockets have none of these options, and a socket that is gone by now needs none.
        with suppress(OSError, AttributeError, ValueError):
            if self._socket is not None and _NOTSENT_LOWAT is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, max_waiting_bytes)
            elif self._socket is not None:  # pragma: no cover - not on Linux and macOS
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SNDBUF_WITHOUT_LOWAT)

    def wrote(self) -> None:
        """Have the sweep watch what the transport could not send at once. Call it after each write."""
        if self.backlog():
            self._sweep.watch(self)

    def backlog(self) -> int:
        # With TLS, without those in the transport below it.
        try:
            return self.transport.get_write_buffer_size()
        except AttributeError:  # Python 3.11: a TLS transport that was closed twice has lost its internals
            return 0

    def _has_sent_fin(self) -> bool:
        """Return True if the client has closed its side. With unsent bytes, not every transport reports it."""
        if self._socket is None or _TCP_INFO is None:
            return False
        try:
            return self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] in _FIN
        except (OSError, ValueError):  # not a TCP socket, or one that is closed: with uvloop, it has a number below 0
            return False

    @abstractmethod
    def closing(self) -> bool:
        """Return True if nothing may be written any more."""

    def abort(self) -> None:
        self.stalled = not (self._over or self.ending())
        logger.info("A connection was aborted: its client accepted none of the bytes that waited for it.")
        self.transport.abort()
        # Python 3.11: aborting a TLS transport that was closed twice has no effect, but shutting its socket down ends
        # it. uvloop's sockets have no shutdown, and do not need it.
        with suppress(OSError, AttributeError, TypeError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    async def left(self) -> None:
        """Wait until the server knows that its client has left, if the transport knows it already."""

    @abstractmethod
    def finish(self) -> None:
        """Stop guarding: the session on this connection is over."""
