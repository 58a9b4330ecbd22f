"""The lane that writes the body of one HTTP response."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ..frames import NO_HEADERS
from ..frames import Headers as FrameHeaders
from ..settings import Settings
from .guard import Guard
from .lane import Send, Traffic
from .sending import SendingLane

Headers = Sequence[tuple[bytes, bytes]]
"""Headers as ASGI has them."""


class HttpLane(SendingLane):
    """A lane that accepts ready-made bytes of a body, and sends those that wait together.

    The response starts with the first write. Until then, another response can still be given instead.
    """

    name: ClassVar[str] = "http"

    def __init__(
        self, send: Send, traffic: Traffic, settings: Settings, guard: Guard | None = None, *, headers: Headers = ()
    ) -> None:
        super().__init__(send, traffic, settings, guard)
        self._headers = headers
        self._announced = False
        self._ended = False

    def headers(self, opcode: int) -> FrameHeaders:
        """Return no headers: a body has no frames. The encoder of its values separates them."""
        return NO_HEADERS

    @property
    def started(self) -> bool:
        """True if anything was written, so that no other response can be given any more."""
        return self._ended or self._sender is not None

    def _next(self) -> bytes:
        body = b"".join(self._waiting)
        self._waiting.clear()
        return body

    def _events(self, piece: bytes) -> Iterator[dict[str, Any]]:
        yield from self._start()
        yield {"type": "http.response.body", "body": piece, "more_body": True}

    def _start(self) -> Iterator[dict[str, Any]]:
        if not self._announced:
            self._announced = True
            yield {"type": "http.response.start", "status": 200, "headers": list(self._headers)}

    async def finish(self) -> None:
        """See :meth:`Lane.finish`. If the client is just leaving, wait until the server knows it."""
        await super().finish()
        if self._guard is not None:
            await self._guard.left()

    async def flushed(self) -> None:
        """Wait until everything that was written is with the server, or given up."""
        await self._flushed()

    async def end(self) -> None:
        """End the body after everything that was written before. An empty body is started first."""
        self._ended = True
        await self._flushed()
        if self.closing():
            return
        self._close_begins()
        for event in (*self._start(), {"type": "http.response.body", "body": b"", "more_body": False}):
            if not await self._deliver(event):
                return
