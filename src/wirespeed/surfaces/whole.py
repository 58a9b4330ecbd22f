"""Responses whose whole body is known: however large it is, little of it waits for a client that does not read."""

from collections.abc import Iterable, Iterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..hub import Hub
from ..lanes.lane import nothing

PIECE = 32 * 1024
"""Bytes that are written at once; a body that fits is sent like any other response."""


class WholeResponse(Response):
    """A response whose body is written as its client accepts it. A client that accepts nothing is disconnected.

    Args:
        parts: The parts of the body. They are not copied, so that many clients can share them.
    """

    def __init__(
        self, hub: Hub, parts: Iterable[bytes], size: int, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(None, headers=dict(headers or {}) | {"content-length": str(size)}, media_type=media_type)
        self._hub = hub
        self._parts = parts
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" or self._size <= PIECE:
            self.body = b"" if scope["method"] == "HEAD" else b"".join(self._parts)
            await super().__call__(scope, receive, send)
            return
        lane = self._hub.lanes.http(receive, send, self.raw_headers, nothing)
        try:
            for piece in _pieces(self._parts):
                if lane.closing():
                    return
                lane.write(piece, 0)
                await lane.drained()
            await lane.end()
        finally:
            await lane.finish()


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= PIECE:
            yield from _slices(b"".join(gathered))
            gathered, size = [], 0
    yield b"".join(gathered)


def _slices(body: bytes) -> Iterator[bytes]:
    return (body[at : at + PIECE] for at in range(0, len(body), PIECE))
