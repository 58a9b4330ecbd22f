"""Where channels lead to: to our own definitions, as the app would have them, and to nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, HTTPException, WebSocket
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.live.speaking import speaking
from wirespeed import Live, LiveRouter

UNKNOWN = (102, "unknown channel")


@pytest.fixture
def entered() -> list[str]:
    """What of the app's own code has run."""
    return []


def numbers(live: Live | LiveRouter, path: str, **options: Any) -> None:
    """A feed that gives one number."""

    @live.feed(path, **options)
    async def feed() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()


def test_the_apps_own_routes_are_not_entered(entered: list[str]) -> None:
    """WebSocket routes of the app, plain ones included, GET routes, the multiplexer itself: none of their code runs."""
    app = FastAPI()
    live = Live(app)

    @app.websocket("/admin/shell")
    async def shell(websocket: WebSocket) -> None:
        entered.append("shell")
        await websocket.accept()

    async def plain(websocket: WebSocket) -> None:
        entered.append("plain")

    app.router.routes.append(WebSocketRoute("/plain", plain))

    @app.get("/page")
    async def page() -> str:
        entered.append("page")
        return ""

    numbers(live, "/ours")
    channels = ["admin/shell", "/admin/shell?x=1", "plain", "page", "live/websocket", "/live/websocket", "live/sse"]
    channels += ["openapi.json", "docs", "/", "//ours", "ours/", "./ours", "x/../ours", "%2fours", "#ours", "?ours"]
    with speaking(app, token="") as speaker:
        assert {channel: speaker.refused(channel) for channel in channels} == dict.fromkeys(channels, UNKNOWN)
        assert "epoch" in speaker.subscribe("ours")
    assert entered == []


def test_a_route_of_the_app_that_comes_first_wins(entered: list[str]) -> None:
    """What FastAPI would serve is what counts: a definition behind the app's own route is not reached."""
    app = FastAPI()
    live = Live(app)

    @app.websocket("/same/{name}")
    async def own(websocket: WebSocket, name: str) -> None:
        entered.append(name)

    numbers(live, "/same/thing")
    numbers(live, "/other")

    @app.websocket("/other")
    async def late(websocket: WebSocket) -> None:
        entered.append("late")

    with speaking(app, token="") as speaker:
        assert speaker.refused("same/thing") == UNKNOWN
        speaker.subscribe("other")
    assert entered == []


def test_mounted_apps(entered: list[str]) -> None:
    """A mounted app's definitions are reached if it has a Live of its own; what else is mounted never is."""
    inner, bare = FastAPI(), FastAPI()
    numbers(Live(inner), "/feed")

    @bare.websocket("/feed")
    async def feed(websocket: WebSocket) -> None:
        entered.append("bare")

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        entered.append("asgi")

    app = FastAPI()
    numbers(Live(app), "/shadowed/feed")
    app.router.routes.insert(1, Mount("/shadowed", app=Starlette()))
    app.mount("/inner", inner)
    app.mount("/bare", bare)
    app.mount("/asgi", asgi)
    app.mount("/text", PlainTextResponse("x"))
    with speaking(app, token="") as speaker:
        speaker.subscribe("inner/feed")
        for channel in ("bare/feed", "asgi/feed", "text/x", "inner/live/websocket", "inner/none", "shadowed/feed"):
            assert speaker.refused(channel) == UNKNOWN
    assert entered == []


class Guard:
    """A middleware that sees each path, and closes some."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets pass what is not closed."""
        if scope["type"] == "websocket":
            self.seen.append(scope["path"])
            if scope["path"].startswith("/closed"):
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "closed"})
                return
            if scope["path"] == "/rewritten":
                scope = {**scope, "path": "/shell", "raw_path": b"/shell"}
            if scope["path"] == "/moved":
                scope = {**scope, "path": "/feed", "raw_path": b"/feed"}
        await self.app(scope, receive, send)


def test_middleware_has_its_say(entered: list[str]) -> None:
    """It sees each subscription's path, may close it, and may move it among what is ours; nowhere else."""
    app = FastAPI()
    live = Live(app)
    app.add_middleware(Guard, seen=entered)

    @app.websocket("/shell")
    async def shell(websocket: WebSocket) -> None:
        entered.append("!")

    for path in ("/feed", "/closed/feed", "/rewritten", "/moved"):
        numbers(live, path)
    with speaking(app, token="") as speaker:
        speaker.subscribe("feed")
        assert speaker.refused("/closed/feed") == (103, "closed")
        assert speaker.refused("rewritten")[0] == 102
        speaker.subscribe("moved")
    assert entered == ["/live/websocket", "/feed", "/closed/feed", "/rewritten", "/moved"]


def test_catch_all_paths_prefixes_and_nested_routers() -> None:
    """Everything after the slash, also what is escaped; a router's prefix and dependencies hold."""
    app = FastAPI()
    live = Live(app)
    router = LiveRouter(prefix="/b")

    def allowed(who: str = "") -> None:
        if who != "me":
            raise HTTPException(403)

    topic = live.topic("/all/{channel:path}", str, keep=10)

    @topic
    def everything(channel: str) -> None: ...

    numbers(router, "/feed")
    outer = APIRouter()
    outer.include_router(router, prefix="/a", dependencies=[Depends(allowed)])
    app.include_router(outer, prefix="/v1")
    with speaking(app, token="") as speaker:
        for channel in ("all/x", "/all/x/y%20z?a=1", "all/"):
            assert speaker.subscribe(channel)["recoverable"]
        assert speaker.refused("v1/a/b/feed") == (103, "permission denied")
        speaker.subscribe("v1/a/b/feed?who=me")
        assert speaker.refused("b/feed") == UNKNOWN


def test_a_prefix_moves_the_surface() -> None:
    """With its fallbacks; at Centrifugo's place emulation is beside it, too. None is nowhere."""
    app = FastAPI()
    numbers(Live(app, prefix="/connection"), "/feed")
    with speaking(app, "/connection/websocket", token="") as speaker:
        speaker.subscribe("feed")
    paths = {getattr(route, "path", "") for route in app.router.routes}
    assert {"/connection/websocket", "/connection/http_stream", "/connection/sse", "/emulation"} <= paths
    bare = FastAPI()
    Live(bare, prefix=None)
    assert not [route for route in bare.router.routes if getattr(route, "path", "").startswith("/live")]
    for wrong in ("live", "/live/", ""):
        with pytest.raises(ValueError, match="prefix is a path"):
            Live(FastAPI(), prefix=wrong)


def test_dependencies_decide_as_on_a_real_connection() -> None:
    """Headers and cookies of the handshake, the connect token as Authorization, parameters, overrides."""
    app = FastAPI()
    live = Live(app)
    seen: list[Any] = []
    bearer = HTTPBearer(auto_error=False)

    def secret() -> str:
        return "of old"

    def guard(
        limit: int,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
        x_tenant: Annotated[str, Header()] = "",
        session: Annotated[str, Cookie()] = "",
        known: str = Depends(secret),
    ) -> None:
        seen.append((limit, credentials and credentials.credentials, x_tenant, session, known))

    numbers(live, "/feed", dependencies=[Depends(guard)])
    app.dependency_overrides[secret] = lambda: "new"
    handshake = {"x-tenant": "t", "cookie": "session=s", "authorization": "Bearer other"}
    with speaking(app, token="mine", handshake=handshake) as speaker:
        speaker.subscribe("feed?limit=5")
        assert speaker.refused("feed") == (107, "limit: Field required")
        assert speaker.refused("feed?limit=x")[0] == 107
    with speaking(app, handshake=handshake, token="") as speaker:
        speaker.subscribe("feed?limit=6")
    assert seen == [(5, "mine", "t", "s", "new"), (6, "other", "t", "s", "new")]


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (HTTPException(401), (101, "unauthorized")),
        (HTTPException(401, "Who?"), (101, "Who?")),
        (
            HTTPException(401, headers={"WWW-Authenticate": 'Bearer error_description="The token expired"'}),
            (109, "token expired"),
        ),
        (HTTPException(403), (103, "permission denied")),
        (HTTPException(404), (102, "unknown channel")),
        (HTTPException(409, "Taken."), (409, "Taken.")),
        (HTTPException(429), (111, "too many requests")),
        (HTTPException(503, "Later."), (100, "Later.")),
        (RuntimeError("a secret"), (100, "internal server error")),
    ],
)
def test_refusals_have_codes(refusal: Exception, expected: tuple[int, str]) -> None:
    """Each refusal has its error, and costs the connection nothing else."""
    app = FastAPI()
    live = Live(app)

    def guard() -> None:
        raise refusal

    numbers(live, "/guarded", dependencies=[Depends(guard)])
    numbers(live, "/open")
    with speaking(app, token="") as speaker:
        speaker.subscribe("open")
        assert speaker.push()["pub"]["data"] == 1
        assert speaker.refused("guarded") == expected
        assert speaker.ask(unsubscribe={"channel": "open"}) == {"unsubscribe": {}}
