"""The body of one HTTP response, as a lane."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

from .lane import Send, Traffic
from .sending import Guardian, SendingLane

Headers = Sequence[tuple[bytes, bytes]]
"""Headers as ASGI has them."""


class ResponseGuardian(Guardian, Protocol):
    """What keeps an eye on the connection of a response, where the server lets it."""

    async def left(self) -> None: ...


class HttpLane(SendingLane):
    """A lane that takes ready-made bytes of a body; those that wait are sent together.

    The response starts with the first write, so that until then another one may be given in its place.

    Args:
        send: ASGI's ``send`` of the connection.
        traffic: Where the lane counts what it has taken.
        headers: The response's headers; its status is 200.
        limit: How many bytes may wait before the lane stops being writable.
        stall_timeout: Seconds that one message may take, before the client is given up.
        guard: Keeps an eye on the connection, where there is one.
    """

    name: ClassVar[str] = "http"

    def __init__(
        self,
        send: Send,
        traffic: Traffic,
        *,
        headers: Headers = (),
        limit: int,
        stall_timeout: float,
        guard: ResponseGuardian | None = None,
    ) -> None:
        super().__init__(send, traffic, limit=limit, stall_timeout=stall_timeout, guard=guard)
        self._exchange = guard
        self._headers = headers
        self._announced = False
        self.started = False
        """Whether anything was written, and so no other response can be given any more."""

    def _write(self, frames: bytes) -> None:
        self.started = True
        super()._write(frames)

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
        """See :meth:`Lane.finish`; a client that leaves at this moment has left when this returns."""
        await super().finish()
        if self._exchange is not None:
            await self._exchange.left()

    async def flushed(self) -> None:
        """Waits until what was written is in the server's hands, or given up."""
        await self._flushed()

    async def close(self, code: int = 0, reason: str = "") -> None:
        """Ends the body after all that was written before; a body without a byte, too.

        Args:
            code: Means nothing here.
            reason: Means nothing here.
        """
        self.started = True
        await self._flushed()
        if self.closing():
            return
        self._close_begins()
        for event in (*self._start(), {"type": "http.response.body", "body": b"", "more_body": False}):
            if not await self._deliver(event):
                return
