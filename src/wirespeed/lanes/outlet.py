"""Outlets: an outlet collects everything for one client that watches many channels, so that it leaves in few frames."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..isolation import log_error
from .lane import Lane, nothing

LIMIT = 64 * 1024
"""Bytes that may be collected before they are written at once."""


class Framing:
    """Makes one frame of joined messages. A message that goes to many clients is framed once."""

    __slots__ = ("_frame", "_framed", "_last")

    def __init__(self, frame: Callable[[bytes], bytes]) -> None:
        self._frame = frame
        self._last = self._framed = b""

    def __call__(self, parts: list[bytes]) -> bytes:
        """Return the frame of some parts; a part is one message or several."""
        if len(parts) > 1:
            return self._frame(b"".join(parts))
        part = parts[0]
        # Fan-out hands the same bytes object to one client after the other: an identity check finds that.
        if part is not self._last:
            self._last, self._framed = part, self._frame(part)
        return self._framed


@dataclass(slots=True, eq=False)
class Outlet:
    """The sink that many watchers of one connection write to."""

    lane: Lane
    _framing: Framing
    """Makes the frames; shared by the outlets of one format."""
    _ready: "Callable[[Outlet], None]"
    """Called when the first messages are collected; the caller then flushes the outlet soon."""
    on_failed: Callable[[], None] = nothing
    """Callback for a connection that is given up because it could not be written to."""
    _parts: list[bytes] = field(default_factory=list)
    _messages: int = 0
    _size: int = 0

    def offer(self, frames: bytes, messages: int) -> bool:
        """Accept whole messages, if there is room. Return True if there was."""
        if self._size >= LIMIT:
            self.flush()
        if not self.lane.writable():
            return False
        if frames:  # the body of write(), without its call: this runs for each delivery
            if not self._parts:
                self._ready(self)
            self._parts.append(frames)
            self._messages += messages
            self._size += len(frames)
        return True

    def write(self, frames: bytes, messages: int) -> None:
        """Accept whole messages, in order. Never wait, never fail."""
        if not frames:
            return
        if not self._parts:
            self._ready(self)
        self._parts.append(frames)
        self._messages += messages
        self._size += len(frames)

    def writable(self) -> bool:
        """Return True if there is room for more."""
        # Only the lane wakes waiting watchers. So what is collected must reach it before a watcher waits for room.
        if self._size >= LIMIT:
            self.flush()
        return self.lane.writable()

    async def drained(self) -> None:
        """Wait until the lane is writable or closing, with everything collected. Cancelling it has no effect."""
        if self._size >= LIMIT:
            self.flush()
        await self.lane.drained()

    def watched_by(self, wake: Callable[[], None] | None) -> None:
        """Ignore the callback of one watcher: the connection wakes all of its watchers when the lane has room."""

    def failed(self, error: Exception) -> None:
        """Give the connection up: what was written to it is lost."""
        log_error(error, "A connection was given up because it could not be written to.")
        self.on_failed()
        self.lane.on_lost()

    def flush(self) -> None:
        """Write what was collected, in one frame."""
        if self._parts:
            parts, messages = self._parts, self._messages
            self._parts, self._messages, self._size = [], 0, 0
            framed, lane = self._framing(parts), self.lane
            # offer() is the cheaper path. These messages were accepted while there was room: without any, they are
            # written all the same.
            if not lane.offer(framed, messages):
                lane.write(framed, messages)
