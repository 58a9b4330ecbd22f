"""The test kit: clients that connect to an app in process, without a server.

It does what a server does, in the test's own event loop and with its bounds: what a client does not receive holds the
app back, as a real connection would. Nothing waits for ever: every receive has a timeout.

    async with connect(app, "/count") as client:
        await client.send_json({"message": "hello"})
        assert await client.receive_json() == {"message": "hello - 1", "number": 1}
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from .errors import WirespeedError

Event = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
"""An ASGI application."""

TIMEOUT = 5.0
OUTBOX = 64


class Refused(WirespeedError):
    """The app refused the connection before accepting it.

    Args:
        status: The HTTP status.
        body: The response's body.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"refused with {self.status}: {self.body.decode(errors='replace')}"


class Closed(WirespeedError):
    """The app closed the connection.

    Args:
        code: The close code.
        reason: The reason.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"closed with {self.code} {self.reason}".rstrip()


class Client:
    """One WebSocket client; made by :func:`connect`."""

    def __init__(self, app: App, scope: Mapping[str, Any], outbox: int, timeout: float) -> None:
        self._app = app
        self._scope = dict(scope)
        self._timeout = timeout
        self._inbound: asyncio.Queue[Event] = asyncio.Queue()
        self._outbox: asyncio.Queue[Event] = asyncio.Queue(outbox)
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._inbound.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        try:
            await self._opened()
        except BaseException:
            await self.disconnect()
            raise
        return self

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._inbound.get, self._from_app)
        finally:
            self._gone = True

    async def _opened(self) -> None:
        first = await self._next()
        if first["type"] == "websocket.accept":
            return
        if first["type"] == "websocket.close":
            raise Refused(403, first.get("reason", "").encode())
        body = b""
        while (part := await self._next())["type"] == "websocket.http.response.body":
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        raise Refused(first["status"], body)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def _from_app(self, message: Event) -> None:
        if self._gone:
            raise OSError("the client is gone")
        await self._outbox.put(message)

    async def _next(self) -> Event:
        """The app's next event; ends early if the app ends."""
        assert self._task is not None
        get = asyncio.ensure_future(self._outbox.get())
        try:
            await asyncio.wait([get, self._task], timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if not get.done():
                await asyncio.sleep(0)
            if get.done():
                return get.result()
            if self._task.done():
                self._task.result()
                raise Closed(1006, "the app ended without closing")
            raise TimeoutError(f"nothing came within {self._timeout} s")
        finally:
            get.cancel()

    async def send_text(self, text: str) -> None:
        """Sends a text message."""
        await self._inbound.put({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Sends a binary message."""
        await self._inbound.put({"type": "websocket.receive", "bytes": data})

    async def send_json(self, value: Any) -> None:
        """Sends a value as JSON text."""
        await self.send_text(json.dumps(value))

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            Closed: The app closed the connection instead.
            TimeoutError: Nothing came in time.
        """
        event = await self._next()
        if event["type"] == "websocket.close":
            raise Closed(event.get("code", 1000), event.get("reason") or "")
        text: str | None = event.get("text")
        data: bytes = event.get("bytes") or b""
        return data if text is None else text

    async def receive_text(self) -> str:
        """The next message, which has to be text; raises as :meth:`receive`, and TypeError for a binary one."""
        message = await self.receive()
        if isinstance(message, bytes):
            raise TypeError(f"expected a text message, got {message!r:.100}")
        return message

    async def receive_bytes(self) -> bytes:
        """The next message, which has to be binary; raises as :meth:`receive`, and TypeError for a text one."""
        message = await self.receive()
        if isinstance(message, str):
            raise TypeError(f"expected a binary message, got {message!r:.100}")
        return message

    async def receive_json(self) -> Any:
        """The next message, text, as JSON; raises as :meth:`receive_text`."""
        return json.loads(await self.receive_text())

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """All messages until the connection closes."""
        while True:
            try:
                message = await self.receive()
            except Closed:
                return
            yield message

    @property
    def waiting(self) -> int:
        """How many of the app's messages wait to be received; at the outbox's bound, the app is held back."""
        return self._outbox.qsize()

    async def disconnect(self, code: int = 1005) -> None:
        """Leaves, and waits until the app has ended.

        Raises:
            TimeoutError: The app went on all the same; it is cancelled.
        """
        assert self._task is not None
        self._gone = True
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        while not self._outbox.empty():
            self._outbox.get_nowait()
        done, _ = await asyncio.wait([self._task], timeout=self._timeout)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])
            raise TimeoutError(f"the app did not end within {self._timeout} s of the client's leaving")


def connect(
    app: App,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    outbox: int = OUTBOX,
    timeout: float = TIMEOUT,
) -> Client:
    """A WebSocket client of an app; use it with ``async with``, which connects and disconnects.

    Args:
        app: The ASGI app.
        path: Its path, with a query string where there is one.
        headers: Headers of the handshake.
        outbox: How many messages the app may be ahead of what the client receives.
        timeout: Seconds after which a receive, or the end of the app, is given up.

    Raises:
        Refused: On entering: the app did not accept.
        TimeoutError: On entering: the app did nothing in time.
    """
    path, _, query = path.partition("?")
    sent = {"host": "testserver", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
        "root_path": "",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        "subprotocols": [],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    return Client(app, scope, outbox, timeout)


@asynccontextmanager
async def lifespan(app: App, *, timeout: float = TIMEOUT) -> AsyncIterator[None]:
    """Runs an app's startup, and its shutdown when the block ends.

    Args:
        app: The ASGI app.
        timeout: Seconds that each of the two may take.

    Raises:
        RuntimeError: The app failed to start or to stop.
        TimeoutError: It took too long.
    """
    inbound: asyncio.Queue[Event] = asyncio.Queue()
    outbound: asyncio.Queue[Event] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, inbound.get, outbound.put))

    async def step(name: str) -> None:
        inbound.put_nowait({"type": f"lifespan.{name}"})
        async with asyncio.timeout(timeout):
            event = await outbound.get()
        if event["type"] != f"lifespan.{name}.complete":
            raise RuntimeError(f"the app's {name} failed:\n{event.get('message', '')}")

    try:
        await step("startup")
        yield
        await step("shutdown")
    finally:
        task.cancel()
        await asyncio.wait([task])
