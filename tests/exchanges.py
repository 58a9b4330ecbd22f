"""HTTP requests to an app in process, whose answers are read as they arrive; the test client waits for their end."""

import asyncio
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.waiting import PATIENCE
from wirespeed.testing import App


class Event(NamedTuple):
    """A Server-Sent Event, as a browser's EventSource understands it."""

    data: str
    id: str | None = None
    type: str = "message"


class Exchange:
    """One request and its answer; ``async with`` waits for the answer's head, and leaves at the end.

    Args:
        app: The ASGI app.
        path: Its path, with a query string where there is one.
        headers: Of the request.
        method: Of the request.
    """

    def __init__(self, app: App, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> None:
        self.app = app
        self.scope = http_scope(path, {"host": "testserver", **(headers or {})}, method)
        self.status = 0
        self.headers: dict[str, str] = {}
        self._inbound: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._outbound: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._buffer = b""
        self._has_ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._inbound.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self._task = asyncio.create_task(self.app(self.scope, self._inbound.get, self._outbound.put))  # type: ignore[arg-type]
        start = await self._next()
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._inbound.put_nowait({"type": "http.disconnect"})
        async with asyncio.timeout(PATIENCE):
            await self._task

    async def _next(self) -> MutableMapping[str, Any]:
        assert self._task is not None
        get = asyncio.ensure_future(self._outbound.get())
        await asyncio.wait([get, self._task], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not get.done():
            get.cancel()
            if self._task.done():
                self._task.result()
            raise TimeoutError(f"nothing came within {PATIENCE} s")
        return get.result()

    async def _more(self) -> None:
        part = await self._next()
        self._buffer += part.get("body", b"")
        self._has_ended = not part.get("more_body", False)

    async def body(self) -> bytes:
        """Return the body, up to its end."""
        while not self._has_ended:
            await self._more()
        return self._buffer

    async def block(self) -> str:
        """Return the lines up to the next blank line.

        Raises:
            EOFError: Nothing comes any more.
        """
        while b"\n\n" not in self._buffer:
            if self._has_ended:
                raise EOFError
            await self._more()
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block.decode()

    async def event(self) -> Event:
        """Return the next event; skip comments. Raises as :meth:`block`."""
        while (block := await self.block()).startswith(":"):
            pass
        return parsed(block)

    async def events(self, count: int) -> list[Event]:
        """Return the next events."""
        return [await self.event() for _ in range(count)]


def parsed(block: str) -> Event:
    """Return an event from its lines."""
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    return Event("\n".join(fields.get("data", [])), fields.get("id", [None])[-1], fields.get("event", ["message"])[-1])


def events_of(app: App, path: str, **headers: str) -> Exchange:
    """Return a request for Server-Sent Events; ``last_event_id="..."`` is the header ``last-event-id``."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(app, path, {"accept": "text/event-stream", **given})


def http_scope(path: str, headers: Mapping[str, str], method: str) -> dict[str, Any]:
    """Return the scope of an HTTP request; the path may have a query."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
