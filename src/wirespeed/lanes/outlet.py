"""Outlets: where all that goes to one client of many channels comes together, so that it leaves in few frames."""

from collections.abc import Callable

from ..isolation import log_error
from .lane import Lane, nothing

LIMIT = 64 * 1024
"""Bytes that may gather before they are written without waiting for more."""


class Framing:
    """Makes one frame of messages; the same message for many clients is framed once.

    Args:
        frame: Makes the bytes of one frame of joined messages.
    """

    __slots__ = ("_frame", "_framed", "_last")

    def __init__(self, frame: Callable[[bytes], bytes]) -> None:
        self._frame = frame
        self._last = self._framed = b""

    def __call__(self, parts: list[bytes]) -> bytes:
        """The frame of some parts, each one message or several."""
        if len(parts) > 1:
            return self._frame(b"".join(parts))
        part = parts[0]
        if part is not self._last:
            self._last, self._framed = part, self._frame(part)
        return self._framed


class Outlet:
    """What many watchers of one connection write to.

    Args:
        lane: The connection's lane.
        framing: Makes frames; shared by the outlets of one format.
        ready: Told when something has gathered: the outlet is to be flushed soon.
    """

    __slots__ = ("_framing", "_messages", "_parts", "_ready", "_size", "lane", "on_failed")

    def __init__(self, lane: Lane, framing: Framing, ready: Callable[["Outlet"], None]) -> None:
        self.lane = lane
        self._framing = framing
        self._ready = ready
        self._parts: list[bytes] = []
        self._messages = 0
        self._size = 0
        self.on_failed: Callable[[], None] = nothing
        """Called when the connection is given up, because it cannot be written to."""

    def offer(self, frames: bytes, messages: int) -> bool:
        """Takes whole messages, if there is room; whether there was."""
        if self._size >= LIMIT:
            self.flush()
        if not self.lane.writable():
            return False
        if frames:  # as write() does, without a further call: it is made for each delivery
            if not self._parts:
                self._ready(self)
            self._parts.append(frames)
            self._messages += messages
            self._size += len(frames)
        return True

    def write(self, frames: bytes, messages: int) -> None:
        """Takes whole messages, in order; never waits, never fails."""
        if not frames:
            return
        if not self._parts:
            self._ready(self)
        self._parts.append(frames)
        self._messages += messages
        self._size += len(frames)

    def writable(self) -> bool:
        """Whether there is room for more."""
        if self._size >= LIMIT:  # nobody would wake whoever finds no room here
            self.flush()
        return self.lane.writable()

    def waiting(self) -> int:
        """Return the number of bytes that wait here and in the lane."""
        return self._size + self.lane.waiting()

    async def drained(self) -> None:
        """Waits until the lane is writable or closing, after all that has gathered. Cancelling it changes nothing."""
        if self._size >= LIMIT:
            self.flush()
        await self.lane.drained()

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """The lane tells the connection, which knows all of its watchers."""

    def failed(self, error: Exception) -> None:
        """Give the connection up: what was written to it is lost."""
        log_error(error, "A connection was given up: it could not be written to.")
        self.on_failed()
        self.lane.on_lost()

    def flush(self) -> None:
        """Writes what has gathered, in one frame."""
        if self._parts:
            parts, messages = self._parts, self._messages
            self._parts, self._messages, self._size = [], 0, 0
            framed, lane = self._framing(parts), self.lane
            if not lane.offer(framed, messages):  # by the shortest way; what came in while there was room goes anyway
                lane.write(framed, messages)
