"""Lanes: a lane is the object that writes bytes to one connection and applies backpressure."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..frames import HEADERS, Headers

logger = logging.getLogger("wirespeed")

Send = Callable[[Any], Awaitable[None]]
"""ASGI's ``send``."""

MAX_REASON_BYTES = 123
"""Largest reason that a close frame holds (RFC 6455, section 5.5)."""


@dataclass(slots=True)
class Traffic:
    """Totals of what all lanes of one app have accepted so far."""

    messages: int = 0
    bytes: int = 0


class Sink(Protocol):
    """The object that watchers write to: a lane, or an outlet that many watchers of one connection share."""

    def write(self, frames: bytes, messages: int) -> None:
        """Accept whole messages, in order. Never wait, never fail."""

    def offer(self, frames: bytes, messages: int) -> bool:
        """Accept whole messages as :meth:`write` does, if there is room. Return True if there was."""

    def writable(self) -> bool:
        """Return True if there is room for more."""

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Register the callback that runs when there is room again; None removes it."""


class RunSink(ABC):
    """The object that a run writes its values to: a lane, or one that turns frames into a body or publications."""

    def headers(self, opcode: int) -> Headers:
        """Return the headers that precede each payload."""
        return HEADERS[opcode]

    @abstractmethod
    def write(self, frames: bytes, messages: int) -> None:
        """Accept whole frames, in order. Never wait, never fail. A sink that is closing drops them."""

    @abstractmethod
    def writable(self) -> bool:
        """Return True if there is room for more. A few bytes may be written even if there is none."""

    @abstractmethod
    def closing(self) -> bool:
        """Return True if the connection is closed or closing: nothing that is written now arrives."""

    @abstractmethod
    async def drained(self) -> None:
        """Wait until the sink is writable or closing. Cancelling the wait has no effect on the sink."""


class Lane(RunSink):
    """The path of bytes to one connection, with its backpressure.

    A lane accepts ready-made frames, many at a time. Call all methods in the connection's event loop.
    """

    name: ClassVar[str]
    """Name of the kind of lane in logs and statistics."""

    def __init__(self, send: Send, traffic: Traffic) -> None:
        self._send = send
        self._traffic = traffic
        self.on_lost: Callable[[], None] = nothing
        """Callback for a client that the lane gives up. The server may never report that the client is gone."""
        self.on_writable: Callable[[], None] | None = None
        """Callback for the moment when there is room again; None if no one waits for it."""

    def write(self, frames: bytes, messages: int) -> None:
        if not frames or self.closing():
            return
        self._traffic.messages += messages
        self._traffic.bytes += len(frames)
        self._write(frames)

    def offer(self, frames: bytes, messages: int) -> bool:
        """Accept whole frames as :meth:`write` does, if there is room. Return True if there was."""
        if not self.writable():
            return False
        self.write(frames, messages)
        return True

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Register the callback that runs when there is room again; None removes it."""
        self.on_writable = wake

    @abstractmethod
    def _write(self, frames: bytes) -> None:
        """Write frames to the connection, or queue them for it."""

    @abstractmethod
    def waiting(self) -> int:
        """Return the number of bytes that wait in this process, as far as the lane knows."""

    @property
    @abstractmethod
    def stalled(self) -> bool:
        """True if the connection was aborted because its client accepted none of the waiting bytes."""

    async def _deliver(self, message: dict[str, object]) -> bool:
        """Send one ASGI message. Return False if that failed."""
        try:
            await self._send(message)
        except Exception as error:  # servers raise errors of any kind for a client that is gone
            logger.debug("A connection was given up because the server could not send to it: %r", error)
            return False
        return True

    @abstractmethod
    async def finish(self) -> None:
        """Release what the lane holds. This is the last call, when the connection is over."""


class WebSocketLane(Lane):
    """The lane of a WebSocket."""

    is_direct: ClassVar[bool] = False
    """True if frames bypass ASGI's ``send``, and with it all middleware that wraps it."""

    def accepted(self) -> None:
        """Release what only the handshake needed."""

    def send_through(self, send: Send) -> None:
        """Use another ``send`` for ASGI messages, such as the close, from now on."""
        self._send = send

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection (RFC 6455, section 7.4), after everything that was written before.

        Args:
            reason: Reason for the client; cut to the 123 bytes that a close frame holds.
        """
        if self.closing():
            return
        await self._flushed()
        self._close_begins()
        # The cut may hit the middle of a character; decoding drops what is left of it.
        reason = reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        await self._deliver({"type": "websocket.close", "code": code, "reason": reason})

    def _close_begins(self) -> None:
        """Accept no more frames: the next message is the close."""

    async def _flushed(self) -> None:
        """Wait until the server has everything that was written."""


def nothing() -> None:
    """Do nothing: the callback of an event that no one listens to."""
