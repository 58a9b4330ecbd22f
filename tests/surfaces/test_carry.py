"""Sessions that outlive their endpoint: a session continues in the middleware, or stays where it is."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from wirespeed.surfaces.carry import CarryOn, carry_on

pytestmark = pytest.mark.anyio


async def receive() -> Message:
    """Act as an ASGI ``receive``."""
    return {"type": "websocket.disconnect"}


async def send(message: Message) -> None:
    """Act as an ASGI ``send``."""


class Carried:
    """A session that can outlive its endpoint, and records what happens to it."""

    def __init__(self, happened: list[Any]) -> None:
        self.happened = happened

    async def carried(self, receive: Receive, send: Send) -> None:
        """Record that the session continues."""
        self.happened.append(("carried", receive, send))

    def unwatch(self) -> None:
        """Record that the session ends."""
        self.happened.append("unwatched")


class App:
    """An app whose endpoint leaves a session."""

    def __init__(self, wrap: Callable[[Receive], Receive] = lambda receive: receive, error: Any = None) -> None:
        self.happened: list[Any] = []
        self.wrap = wrap
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = "large"
        left = carry_on(Carried(self.happened), scope, self.wrap(receive))
        self.happened.append("left" if left else "stays")
        if self.error is not None:
            raise self.error


async def call(app: App, kind: str = "websocket") -> Scope:
    """Run the app in the middleware."""
    scope: Scope = {"type": kind, "path": "/"}
    await CarryOn(app, lambda scope, status: None)(scope, receive, send)
    return scope


async def test_session_goes_on_after_the_app() -> None:
    """A session continues with the middleware's own receive and send, and nothing of the app stays behind."""
    app = App()
    scope = await call(app)
    assert app.happened == ["left", ("carried", receive, send)]
    assert scope == {"type": "websocket", "path": "/"}


async def test_who_sees_messages_keeps_seeing_them() -> None:
    """With a receive that another middleware has wrapped, the session stays where it is."""

    def wrap(inner: Receive) -> Receive:
        async def wrapped() -> Message:
            return await inner()

        return wrapped

    app = App(wrap)
    await call(app)
    assert app.happened == ["stays"]


async def test_nothing_is_carried_for_requests() -> None:
    """Only sessions of WebSockets continue, and only if there is the middleware."""
    app = App()
    await call(app, "http")
    await app({"type": "websocket"}, receive, send)
    assert app.happened == ["stays", "stays"]


async def test_app_that_fails_afterwards() -> None:
    """A dependency that raises after its yield ends the session: it does not watch without a connection."""
    app = App(error=ValueError("after yield"))
    with pytest.raises(ValueError, match="after yield"):
        await call(app)
    assert app.happened == ["left", "unwatched"]


async def test_connections_do_not_meet() -> None:
    """Each connection continues its own session."""
    first, second = App(), App()
    for app in (first, second, first):
        await call(app)
    assert first.happened == ["left", ("carried", receive, send)] * 2
    assert second.happened == ["left", ("carried", receive, send)]
