"""A WebSocket of an app, in process: what the client sends and receives, with the bounds of a real connection."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

from ..errors import WirespeedError
from .app import TIMEOUT, App, Event
from .waiting import wait

RECENT = 5
"""Messages that a client remembers."""

MAX_WAITING = 64
"""Messages of the app that may wait by default."""


@dataclass(eq=False)
class HandshakeRefused(WirespeedError):
    """The app refused the connection before accepting it."""

    status: int
    """HTTP status of the response."""
    body: bytes
    """Body of the response."""

    def json(self) -> Any:
        """Return the body, decoded from JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"refused with {self.status}: {self.body.decode(errors='replace')}"


@dataclass(eq=False)
class Closed(WirespeedError):
    """The app closed the connection."""

    code: int
    """Close code."""
    reason: str
    """Reason of the close."""

    def __str__(self) -> str:
        return f"closed with {self.code} {self.reason}".rstrip()


def _content(event: Event) -> str | bytes:
    """Return the message in an event of the app."""
    text: str | None = event.get("text")
    data: bytes = event.get("bytes") or b""
    return data if text is None else text


class WebSocketClient:
    """One WebSocket client of an app. :func:`connect` makes it."""

    def __init__(self, app: App, scope: Mapping[str, Any], max_waiting: int, timeout: float) -> None:
        self._app = app
        self._scope = dict(scope)
        self._timeout = timeout
        self._inbound: asyncio.Queue[Event] = asyncio.Queue()
        self._outbound: asyncio.Queue[Event] = asyncio.Queue(max_waiting)
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()
        self._closed: Closed | None = None
        self._reported = False
        self._task: asyncio.Task[None] | None = None
        self.path: str = scope["path"]
        """Path of the connection."""
        self.received: deque[str | bytes] = deque(maxlen=RECENT)
        """The last messages that were received."""

    async def __aenter__(self) -> Self:
        self._inbound.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        try:
            await self._opened()
        except BaseException:
            with suppress(Exception):
                await self.disconnect()
            raise
        return self

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._inbound.get, self._from_app)
        finally:
            self._gone.set()

    async def _opened(self) -> None:
        first = await self._next(self._timeout)
        if first["type"] == "websocket.accept":
            return
        if first["type"] == "websocket.close":
            raise HandshakeRefused(403, first.get("reason", "").encode())
        body = b""
        while (part := await self._next(self._timeout))["type"] == "websocket.http.response.body":
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        raise HandshakeRefused(first["status"], body)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.disconnect()
            return
        with suppress(Exception):  # the test's own error is the important one
            await self.disconnect()

    async def _from_app(self, message: Event) -> None:
        """ASGI's ``send``: wait for room among the waiting messages, and fail when the client is gone."""
        if not self._gone.is_set():
            # As with a server, an app that has room continues without waiting for its client to receive.
            if not self._outbound.full():
                self._outbound.put_nowait(message)
                self._arrived.set()
                return
            put = asyncio.ensure_future(self._outbound.put(message))
            await self._first_of(put, asyncio.ensure_future(self._gone.wait()))
            if put.done() and not put.cancelled():
                self._arrived.set()
                return
        raise OSError("the client has left")

    async def _first_of(self, *futures: "asyncio.Future[Any]", timeout: float | None = None) -> None:
        """Wait for the first of some futures, and cancel the others, except for the app's task."""
        try:
            if timeout is None:
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            else:
                await wait(futures, timeout)
        finally:
            pending = [future for future in futures if not future.done() and future is not self._task]
            for future in pending:
                future.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _next(self, timeout: float | None) -> Event:
        """Return the app's next event. Stop waiting if the app ends."""
        assert self._task is not None
        if self._closed is not None:
            raise self._closed
        while True:
            if self._outbound.empty():
                self._arrived.clear()
            arrival = asyncio.ensure_future(self._arrived.wait())  # takes nothing, which a cancellation would lose
            await self._first_of(arrival, self._task, timeout=timeout)
            if not self._outbound.empty():
                return self._outbound.get_nowait()
            if self._task.done():
                self._reported = True
                self._task.result()
                raise Closed(1006, "the app ended without closing the connection")
            if arrival.cancelled():
                raise TimeoutError(f"the app sent nothing within {timeout} s")

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        await self._inbound.put({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        await self._inbound.put({"type": "websocket.receive", "bytes": data})

    async def send_json(self, value: Any) -> None:
        """Send a value as JSON in a text message."""
        await self.send_text(json.dumps(value))

    async def receive(self, *, forever: bool = False) -> str | bytes:
        """Return the next message.

        Args:
            forever: True to wait without a timeout.

        Raises:
            Closed: The app closed the connection instead.
            TimeoutError: No message arrived in time.
        """
        return await self._receive(None if forever else self._timeout)

    async def _receive(self, timeout: float | None) -> str | bytes:
        event = await self._next(timeout)
        if event["type"] == "websocket.close":
            self._closed = Closed(event.get("code", 1000), event.get("reason") or "")
            # A client answers a close frame, and its server passes that on to the app.
            self._inbound.put_nowait({"type": "websocket.disconnect", "code": self._closed.code, "reason": ""})
            raise self._closed
        message = _content(event)
        self.received.append(message)
        return message

    async def receive_text(self) -> str:
        """Return the next message, a text one. Raise as :meth:`receive` does, and TypeError for a binary message."""
        message = await self.receive()
        if isinstance(message, bytes):
            raise TypeError(f"expected a text message, got {message!r:.100}")
        return message

    async def receive_bytes(self) -> bytes:
        """Return the next message, a binary one. Raise as :meth:`receive` does, and TypeError for a text message."""
        message = await self.receive()
        if isinstance(message, str):
            raise TypeError(f"expected a binary message, got {message!r:.100}")
        return message

    async def receive_json(self) -> Any:
        """Return the next message, decoded from JSON text. Raise as :meth:`receive_text` does."""
        return json.loads(await self.receive_text())

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield all messages until the app closes the connection."""
        while True:
            try:
                message = await self.receive()
            except Closed:
                return
            yield message

    @property
    def waiting(self) -> int:
        """Number of the app's messages that wait to be received; at ``max_waiting``, the app is held back."""
        return self._outbound.qsize()

    def take_waiting(self) -> list[str | bytes]:
        """Return all messages that wait to be received, without waiting for more. A close stays for :meth:`receive`."""
        taken = [self._outbound.get_nowait() for _ in range(self.waiting)]
        for event in taken:
            if event["type"] != "websocket.send":
                self._outbound.put_nowait(event)
        return [_content(event) for event in taken if event["type"] == "websocket.send"]

    def lose(self) -> None:
        """Lose the connection, without a word: the run of a stream with ``resume=`` goes on."""
        self._gone.set()
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1006, "reason": ""})

    async def disconnect(self, code: int = 1005) -> None:
        """Leave, and wait until the app has ended.

        Args:
            code: Close code for the app.

        Raises:
            TimeoutError: The app did not end in time; it was cancelled.
            Exception: The app raised it.
        """
        assert self._task is not None
        self._gone.set()
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        await wait([self._task], self._timeout, lets_time_pass=True)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            raise TimeoutError(f"the app did not end within {self._timeout} s after the client left")
        if not self._reported:
            self._reported = True
            self._task.result()


def connect(
    app: App,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
    max_waiting: int = MAX_WAITING,
    timeout: float = TIMEOUT,
) -> WebSocketClient:
    """Return a WebSocket client of an app. Use it with ``async with``, which connects and disconnects.

    Args:
        app: The ASGI app.
        path: Path in the app, with the query string if there is one.
        headers: Headers of the handshake.
        state: State that the app's startup left for its connections; :func:`lifespan` returns it.
        max_waiting: Number of the app's messages that may wait to be received; at this number, the app is held back.
        timeout: Seconds to wait for a message, or for the end of the app.

    Raises:
        HandshakeRefused: On entering, the app did not accept.
        TimeoutError: On entering, the app did not answer in time.
    """
    return WebSocketClient(app, scope_of(path, headers or {}, state or {}), max_waiting, timeout)


def scope_of(path: str, headers: Mapping[str, str], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return ASGI's scope of a handshake."""
    path, _, query = path.partition("?")
    sent = {"host": "testserver", **{name.lower(): value for name, value in headers.items()}}
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
        "root_path": "",
        "path": unquote(path),
        "raw_path": quote(path, safe="/%").encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        "subprotocols": [],
        "state": dict(state),
        "extensions": {"websocket.http.response": {}},
    }
