"""A client that posts to an app in process, reads the body as it comes, and may lose the connection."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp

from tests.exchanges import http_scope


class Posted:
    """One POST and its response."""

    def __init__(self, app: ASGIApp, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._got: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._is_lost = False
        self._buffer = b""
        self._status = 0
        self.headers: dict[str, str] = {}
        given = {"host": "testserver", "content-type": "application/json", **headers}
        scope = http_scope(path, given, "POST")
        self._sent.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._sent.get, self._send)
        finally:
            self._got.put_nowait(None)

    async def _send(self, message: Any) -> None:
        if self._is_lost:
            raise OSError("the client has left")
        self._got.put_nowait(message)

    async def _next(self) -> bool:
        """Take the next event; return False at the end."""
        event = await self._got.get()
        if event is None:
            self._got.put_nowait(None)
            return False
        if event["type"] == "http.response.start":
            self._status = event["status"]
            self.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            self._buffer += event.get("body", b"")
            if not event.get("more_body"):  # the app may go on
                self._got.put_nowait(None)
        return True

    async def status(self) -> int:
        while not self._status and await self._next():
            pass
        return self._status

    async def lines(self, count: int) -> list[bytes]:
        """Return the next lines of the body."""
        while self._buffer.count(b"\n") < count:
            assert await self._next(), self._buffer
        *lines, self._buffer = self._buffer.split(b"\n", count)
        return lines

    async def rest(self) -> bytes:
        """Return the rest of the body."""
        while await self._next():
            pass
        return self._buffer

    def lose(self) -> None:
        """Lose the connection."""
        self._is_lost = True
        self._sent.put_nowait({"type": "http.disconnect"})

    async def ended(self) -> None:
        """Wait until the app has ended."""
        await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lose()
        await self.ended()


def post(app: ASGIApp, path: str, body: bytes, headers: Mapping[str, str]) -> Posted:
    """Return a POST to an app, which has begun."""
    return Posted(app, path, body, headers)
