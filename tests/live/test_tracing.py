"""Commands of a multiplexed connection, as tracing middleware sees them."""

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.live.multiplexing import speaking
from wirespeed import Live, LiveRouter
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Tracing:
    """Middleware that finds the route of each scope as OpenTelemetry's instrumentation of FastAPI does."""

    def __init__(self, app: ASGIApp, routes: list[str | None]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            for context in iter_route_contexts(scope["app"].routes):
                match, _ = context.matches(scope)
                if match is Match.FULL:
                    self.routes.append(context.path)
                    break
        await self.app(scope, receive, send)


async def test_subscriptions_and_calls_have_their_route(app: FastAPI, live: Live) -> None:
    """A subscription and a call are traced by the path of their definition, as a raw WebSocket is."""
    routes: list[str | None] = []
    app.add_middleware(Tracing, routes=routes)

    @live.topic("/news/{number}", str)
    def news(number: int) -> None: ...

    @live.call("/add/{number}")
    def add(number: int, values: list[int]) -> int:
        return number + sum(values)

    router = LiveRouter(prefix="/inner")

    @router.topic("/{name}", str)
    def inner(name: str) -> None: ...

    app.include_router(router)
    async with lifespan(app):
        async with connect(app, "/news/3"):
            pass
        async with speaking(app) as speaker:
            await speaker.subscribed("news/7")
            await speaker.subscribed("inner/x")
            [id_] = await speaker.say({"rpc": {"method": "add/2", "data": [1]}})
            assert (await speaker.reply(id_))["rpc"] == {"data": 3}
    assert routes == ["/news/{number}", "/live/websocket", "/news/{number}", "/inner/{name}", "/add/{number}"]
