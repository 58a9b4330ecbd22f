"""What every lane does."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..frames import HEADERS, Headers

logger = logging.getLogger("wirespeed")

Send = Callable[[Any], Awaitable[None]]
"""ASGI's ``send``."""


@dataclass(slots=True)
class Traffic:
    """What all lanes of one app have taken so far."""

    messages: int = 0
    bytes: int = 0


class Sink(Protocol):
    """What watchers write to: a lane, or an outlet that many of them share."""

    def write(self, frames: bytes, messages: int) -> None:
        """Takes whole messages, in order; never waits, never fails."""

    def offer(self, frames: bytes, messages: int) -> bool:
        """Takes whole messages as :meth:`write` does, if there is room; whether there was."""

    def writable(self) -> bool:
        """Whether there is room for more."""

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Who wants to know when there is room again."""


class Lane(ABC):
    """The way bytes get onto one connection, with its backpressure.

    A lane takes ready-made frames, many at a time. All methods are called in the connection's event loop.

    Args:
        send: ASGI's ``send`` of the connection.
        traffic: Where the lane counts what it has taken.
    """

    name: ClassVar[str]
    """The lane's name in logs and statistics."""
    is_direct: ClassVar[bool] = False
    """Whether frames go past ASGI's ``send``, and so past all middleware that wraps it."""

    def __init__(self, send: Send, traffic: Traffic) -> None:
        self._send = send
        self._traffic = traffic
        self.on_lost: Callable[[], None] = nothing
        """Called when the lane gives its client up, of which the server may never tell."""
        self.on_writable: Callable[[], None] | None = None
        """Called when there is room again, if somebody wants to know."""

    def headers(self, opcode: int) -> Headers:
        """What goes before each payload that is written.

        Args:
            opcode: Of its message.
        """
        return HEADERS[opcode]

    def accepted(self) -> None:
        """The handshake is over; what was only for it may go."""

    def send_through(self, send: Send) -> None:
        """From now on ASGI messages, such as the close, take another ``send``.

        Args:
            send: That of the same connection, further out.
        """
        self._send = send

    def write(self, frames: bytes, messages: int) -> None:
        """Takes whole frames, in order; never waits, never fails. A lane that is closing takes nothing.

        Args:
            frames: The frames' bytes.
            messages: How many messages these are.
        """
        if not frames or self.closing():
            return
        self._traffic.messages += messages
        self._traffic.bytes += len(frames)
        self._write(frames)

    def offer(self, frames: bytes, messages: int) -> bool:
        """Takes whole frames as :meth:`write` does, if there is room; whether there was."""
        if not self.writable():
            return False
        self.write(frames, messages)
        return True

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Who wants to know when there is room again; None for nobody any more."""
        self.on_writable = wake

    @abstractmethod
    def _write(self, frames: bytes) -> None:
        """Puts frames onto the connection."""

    @abstractmethod
    def writable(self) -> bool:
        """Whether there is room for more; writing all the same is allowed, for a few bytes."""

    def waiting(self) -> int:
        """Return the number of bytes that wait in this process, as far as the lane knows of them."""
        return 0

    @property
    def stalled(self) -> bool:
        """Whether the client was cut off because it took none of the bytes that waited for it."""
        return False

    @abstractmethod
    def closing(self) -> bool:
        """Whether the connection is closed or closing: nothing written from now on will arrive."""

    @abstractmethod
    async def drained(self) -> None:
        """Waits until the lane is writable or closing. Cancelling it changes nothing."""

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the connection (RFC 6455, section 7.4) after all that was written before.

        Args:
            code: The close code.
            reason: What the client is told; cut to the 123 bytes that a close frame holds.
        """
        if self.closing():
            return
        await self._flushed()
        self._close_begins()
        reason = reason.encode(errors="replace")[:123].decode(errors="ignore")
        await self._deliver({"type": "websocket.close", "code": code, "reason": reason})

    def _close_begins(self) -> None:
        """The close is next: nothing may be written any more."""

    async def _flushed(self) -> None:
        """Waits until what was written is in the server's hands."""

    async def _deliver(self, message: dict[str, object]) -> bool:
        """Sends one ASGI message; False if it did not go. Servers tell that a client is gone by errors of any kind."""
        try:
            await self._send(message)
        except Exception as error:
            logger.debug("A connection is given up, since its send has failed: %r", error)
            return False
        return True

    async def finish(self) -> None:
        """Gives up what the lane holds; the last call, when the connection is over."""


def nothing() -> None:
    """Nobody wants to know."""
