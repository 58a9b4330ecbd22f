"""Channels: commands of the multiplexed surface reach Wirespeed's definitions, through all guards, and nothing else."""

import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Security,
    WebSocket,
    WebSocketException,
)
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPAuthorizationCredentials,
    HTTPBearer,
    OAuth2PasswordBearer,
    SecurityScopes,
)
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Host, Mount, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.centrifuge.sides import JSON_SIDE
from tests.lanes.turns import until
from tests.live.multiplexing import Speaker, speaking
from tests.waiting import until_async
from wirespeed import Live, LiveRouter, Message
from wirespeed.live.entrance import entrance_of
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Own:
    """The app's own WebSocket endpoints, none of which may be entered."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    async def endpoint(self, websocket: WebSocket) -> None:
        """Handle a WebSocket of the app's own."""
        self.entered.append(websocket.url.path)
        await websocket.accept()
        await websocket.send_text("mine")
        await websocket.close()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a WebSocket of a plain ASGI app."""
        await self.endpoint(WebSocket(scope, receive, send))


@pytest.fixture
def own() -> Own:
    """Return the app's own endpoints."""
    return Own()


def news_of(live: Live | LiveRouter, path: str = "/news", **options: Any) -> Any:
    """Declare a topic, which sends its newest value at once."""
    return live.topic(path, str, replay=1, **options)


async def codes_of(app: FastAPI, *channels: str, at: str = "/live") -> list[int]:
    """Return the codes with which subscriptions are refused; 0 for admitted ones."""
    async with lifespan(app), speaking(app, at=at) as speaker:
        heard = [await speaker.subscribe(channel) for channel in channels]
    return [each["error"]["code"] if "error" in each else 0 for each in heard]


# Routes that are not definitions


async def test_own_routes_are_not_entered(app: FastAPI, live: Live, own: Own) -> None:
    """The app's own WebSocket is not a channel, however its path is spelled and wherever it is declared."""
    app.websocket("/own/{name}")(own.endpoint)
    news_of(live)
    app.websocket("/late/{name}")(own.endpoint)
    assert await codes_of(app, "own/a", "/own/a", "late/a", "own/a?x=1", "own/a#1", "%6Fwn/a", "own%2Fa", "news") == [
        102, 102, 102, 102, 102, 102, 102, 0,
    ]  # fmt: skip
    assert own.entered == []
    async with connect(app, "/own/a") as client:
        assert await client.receive() == "mine"


@pytest.mark.parametrize("publish", [False, True])
async def test_all_commands_find_the_same(app: FastAPI, live: Live, own: Own, publish: bool) -> None:
    """Publishing, asking, and calling do not enter the app's own routes either."""
    app.websocket("/own")(own.endpoint)
    app.post("/own")(lambda: own.entered.append("post"))
    command: list[dict[str, Any]] = [{kind: {"channel": "own"}} for kind in ("history", "presence", "presence_stats")]
    async with lifespan(app), speaking(app) as speaker:
        for each in [{"publish": {"channel": "own", "data": 1}}] if publish else command:
            assert (await speaker.ask(each))["error"]["code"] == 102
        assert (await speaker.ask({"rpc": {"method": "own", "data": 1}}))["error"]["code"] == 108
    assert own.entered == []


@pytest.mark.parametrize("ours_first", [True, False])
async def test_same_path(app: FastAPI, live: Live, own: Own, ours_first: bool) -> None:
    """If two routes share a path, the first serves, as in FastAPI; the app's own is not entered then either."""
    if ours_first:
        news_of(live)
    app.websocket("/news")(own.endpoint)
    if not ours_first:
        news_of(live)
    assert await codes_of(app, "news") == [0 if ours_first else 102]
    assert own.entered == []


@pytest.mark.parametrize("ours_first", [True, False])
async def test_catch_all_of_the_user(app: FastAPI, live: Live, own: Own, ours_first: bool) -> None:
    """A catch-all route takes every path that no route before it takes."""
    if ours_first:
        news_of(live)
    app.websocket("/{channel:path}")(own.endpoint)
    if not ours_first:
        news_of(live)
    assert await codes_of(app, "news", "other", "/") == [0 if ours_first else 102, 102, 102]
    assert own.entered == []


async def test_catch_all_of_ours(app: FastAPI, live: Live, own: Own) -> None:
    """A catch-all topic takes the names that no route before it takes, except those of the multiplexer."""
    app.websocket("/own")(own.endpoint)

    @live.topic("/{channel:path}", str)
    def everything(channel: str) -> None: ...

    channels = ["any/thing", "own", "live/websocket", "/live/websocket?format=protobuf", "live/sse"]
    assert await codes_of(app, *channels) == [0, 102, 102, 102, 0]
    assert own.entered == []


@pytest.mark.parametrize(
    "channel",
    [
        "live/websocket",
        "/live/websocket",
        "live/http_stream",
        "live/sse",
        "live/emulation",
        "live",
        "docs",
        "/",
        "?",
        "#",
    ],
)
async def test_multiplexer_is_no_channel(app: FastAPI, live: Live, channel: str) -> None:
    """A connection cannot be opened within a connection, nor any other HTTP route."""
    assert await codes_of(app, channel) == [102]
    assert live.statistics().accepted == 1


async def test_only_websockets(app: FastAPI, live: Live) -> None:
    """A call is not a channel, a topic is not a call, and a stream accepts publications from its client only."""

    @live.call("/call")
    async def call() -> int:
        return 1

    @live.stream("/stream")
    async def stream() -> AsyncIterator[int]:
        yield 1

    news_of(live)
    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.refused("call") == 102
        for method in ("news", "stream"):
            assert (await speaker.ask({"rpc": {"method": method}}))["error"]["code"] == 104
        for kind in ("publish", "history", "presence"):
            assert (await speaker.ask({kind: {"channel": "call"}}))["error"]["code"] == 102
            assert (await speaker.ask({kind: {"channel": "stream"}}))["error"]["code"] in (102, 103, 108)


# Mounted apps


async def test_mounted_app_with_live(app: FastAPI, live: Live, own: Own) -> None:
    """Its definitions are channels under the mount path; its own routes are not."""
    inner = FastAPI()
    news = news_of(Live(inner))
    inner.websocket("/own")(own.endpoint)
    app.mount("/sub", inner)
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("sub/news")
        news.publish("a")
        assert await speaker.pub("sub/news") == "a"
        for channel in ("sub/own", "sub/live/websocket", "news", "sub", "sub/", "subnews", "sub/sub/news"):
            assert await speaker.refused(channel) == 102
    assert own.entered == []


async def test_mounted_in_a_mounted_app(app: FastAPI, live: Live) -> None:
    """Mounts may be nested; the dependencies of each are resolved."""
    asked: list[str] = []
    middle, inner = FastAPI(), FastAPI()
    Live(middle)
    router = LiveRouter(prefix="/deep", dependencies=[Depends(lambda: asked.append("router"))])
    news = news_of(router)
    Live(inner)
    inner.include_router(router)
    middle.mount("/b", inner)
    app.mount("/a", middle)
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("a/b/deep/news")
        news.publish("x")
        assert await speaker.pub("a/b/deep/news") == "x"
    assert asked == ["router"]


async def test_own_multiplexer_of_a_mounted_app(app: FastAPI, live: Live) -> None:
    """Its channels are its own paths; those of the outer app are not reachable."""
    inner = FastAPI()
    inside = news_of(Live(inner), "/inside")
    news_of(live, "/outside")
    app.mount("/sub", inner)
    async with lifespan(app), speaking(app, at="/sub/live") as speaker:
        await speaker.subscribed("inside")
        inside.publish("a")
        assert await speaker.pub("inside") == "a"
        assert [await speaker.refused(each) for each in ("outside", "sub/inside")] == [102, 102]


def mounts(own: Own) -> list[ASGIApp]:
    """Return mounted apps without definitions, and opaque ones."""
    plain = FastAPI()
    plain.websocket("/news")(own.endpoint)
    starlette = Starlette(routes=[WebSocketRoute("/{path:path}", own.endpoint)])
    return [plain, starlette, own.app, Router([WebSocketRoute("/news", own.endpoint)])]


@pytest.mark.parametrize("number", range(4))
async def test_mounted_apps_of_others(app: FastAPI, live: Live, own: Own, number: int) -> None:
    """A mounted app without its own ``Live`` has no channels."""
    app.mount("/sub", mounts(own)[number])
    app.router.routes.append(Host("testserver", app=own.app))
    assert await codes_of(app, "sub/news", "sub", "/sub/") == [102, 102, 102]
    assert own.entered == []


@pytest.mark.parametrize("path", ["/", "", "/news", "/ne{rest:path}"])
@pytest.mark.parametrize("ours_first", [True, False])
async def test_mount_before_ours(app: FastAPI, live: Live, own: Own, path: str, ours_first: bool) -> None:
    """A mount that covers a topic's path and comes first takes it; the mounted app is not entered."""
    if ours_first:
        news_of(live, "/news/{name}", http=False)(name_only)
    app.router.routes.append(Mount(path, own.app))
    if not ours_first:
        news_of(live, "/news/{name}", http=False)(name_only)
    assert await codes_of(app, "news/a") == [0 if ours_first else 102]
    assert own.entered == []


def name_only(name: str) -> None:
    """Declare a key with one name."""


async def test_router_without_live_in_a_mounted_app(app: FastAPI, live: Live) -> None:
    """A LiveRouter in an app without ``Live`` has no channels."""
    inner, router = FastAPI(), LiveRouter()
    news_of(router)
    inner.include_router(router)
    app.mount("/sub", inner)
    assert await codes_of(app, "sub/news") == [102]


# Middleware


class Middleware:
    """ASGI middleware that takes note of each WebSocket's path, and does something.

    Args:
        app: What it is around.
        seen: Takes the paths.
        does: Is given the scope, ``receive`` and ``send``; whether that was all.
    """

    def __init__(self, app: ASGIApp, seen: list[str], does: Callable[..., Any] | None = None) -> None:
        self.app = app
        self.seen = seen
        self.does = does

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self.seen.append(scope["path"])
            if self.does is not None and await self.does(scope, receive, send):
                return
        await self.app(scope, receive, send)


def guarded(app: FastAPI, does: Callable[..., Any] | None = None) -> list[str]:
    """Put middleware around an app; return the paths that it sees."""
    seen: list[str] = []
    app.add_middleware(Middleware, seen, does)
    return seen


async def test_middleware_sees_every_channel(app: FastAPI, live: Live) -> None:
    """It sees the handshake, then each command's path as a handshake; other names never reach it."""
    seen = guarded(app)
    news_of(live)

    @live.call("/call")
    async def call() -> int:
        return 1

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news?max_rate=5")
        await speaker.subscribed("/news?x=2")
        await speaker.ask({"rpc": {"method": "call"}})
        assert await speaker.refused("other") == 102
        assert (await speaker.ask({"history": {"channel": "//news"}}))["error"]["code"] == 102
        assert "history" in await speaker.ask({"history": {"channel": "/%6Eews"}})
    assert seen == ["/live/websocket", "/news", "/news", "/call", "/news"]


async def deny_with_a_response(scope: Scope, receive: Receive, send: Send) -> bool:
    """Admit members only, with an HTTP response."""
    if not scope["path"].startswith("/secret"):
        return False
    await WebSocket(scope, receive, send).send_denial_response(JSONResponse({"detail": "Members only."}, 403))
    return True


async def deny_with_a_close(scope: Scope, receive: Receive, send: Send) -> bool:
    """Admit members only, with a WebSocket close."""
    if not scope["path"].startswith("/secret"):
        return False
    await WebSocket(scope, receive, send).close(1008, "Members only.")
    return True


@pytest.mark.parametrize("deny", [deny_with_a_response, deny_with_a_close])
async def test_middleware_guards_paths(app: FastAPI, live: Live, deny: Callable[..., Any]) -> None:
    """Commands that it refuses get its reason; the connection and its other channels continue."""
    guarded(app, deny)
    secret, news = news_of(live, "/secret/{name}")(name_only), news_of(live)
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news")
        for channel in ("secret/a", "/secret/a", "%73ecret/a"):
            assert await speaker.subscribe(channel) == {"error": {"code": 103, "message": "Members only."}}
        secret.publish("hidden", name="a")
        news.publish("shown")
        assert await speaker.pub("news") == "shown"
        assert await speaker.quiet() == []


def rewriting(paths: dict[str, str]) -> Callable[..., Any]:
    """Return middleware that changes paths."""

    async def rewrite(scope: Scope, receive: Receive, send: Send) -> bool:
        scope["path"] = paths.get(scope["path"], scope["path"])
        scope["raw_path"] = scope["path"].encode()
        return False

    return rewrite


async def test_middleware_that_rewrites(app: FastAPI, live: Live, own: Own) -> None:
    """If the new path leads to a definition, that is entered with its guards; otherwise nothing is."""

    def nobody() -> None:
        raise HTTPException(403, "No one may enter.")

    inner = FastAPI()
    inner.websocket("/own")(own.endpoint)
    paths = {
        "/to/own": "/own",
        "/to/mounted": "/sub/own",
        "/to/multiplexer": "/live/websocket",
        "/to/nothing": "/nothing",
        "/to/secret": "/secret",
        "/to/news": "/news",
        "/to/call": "/call",
    }
    guarded(app, rewriting(paths))
    app.websocket("/own")(own.endpoint)
    app.mount("/sub", inner)
    news, secret = news_of(live), news_of(live, "/secret", dependencies=[Depends(nobody)])

    @live.call("/call")
    async def call() -> int:
        own.entered.append("call")
        return 1

    @live.topic("/to/{name}", str)
    def to(name: str) -> None: ...

    async with lifespan(app), speaking(app) as speaker:
        heard = {path: await speaker.subscribe(path) for path in paths if path != "/to/news"}
        refused = {path: each["error"]["code"] for path, each in heard.items()}
        assert refused == {path: 103 if path == "/to/secret" else 102 for path in heard}
        await speaker.subscribed("to/news")
        secret.publish("hidden")
        news.publish("shown")
        assert await speaker.pub("to/news") == "shown"
    assert own.entered == []


async def test_dependencies_of_a_definition_that_middleware_leads_to(app: FastAPI, live: Live) -> None:
    """They stay open as long as it needs them, whatever the definition of the first path would need."""
    log: list[str] = []

    async def using() -> AsyncIterator[None]:
        log.append("open")
        yield
        log.append("closed")

    @live.stream("/stream", dependencies=[Depends(using)])
    async def stream() -> AsyncIterator[int]:
        yield 1
        log.append("ran")

    guarded(app, rewriting({"/news": "/stream"}))
    news_of(live)
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news")
        assert await speaker.pub("news") == 1
        assert "unsubscribe" in await speaker.push()
    assert log == ["open", "ran", "closed"]


async def test_middleware_that_fails(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A failure affects one command and is logged."""

    async def fail(scope: Scope, receive: Receive, send: Send) -> bool:
        if scope["path"] == "/bad":
            raise RuntimeError("a secret")
        return False

    guarded(app, fail)
    news_of(live)
    news_of(live, "/bad")
    async with lifespan(app), speaking(app) as speaker:
        heard = await speaker.subscribe("bad")
        assert (heard["error"]["code"], heard["error"]["temporary"]) == (100, True)
        assert "secret" not in str(heard)
        await speaker.subscribed("news")
    assert "topic '/bad': a command failed" in caplog.text


async def test_middleware_that_answers_itself(app: FastAPI, live: Live) -> None:
    """A connection that middleware accepts itself is not a subscription."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> bool:
        if scope["path"] != "/news":
            return False
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await websocket.send_text("mine")
        return True

    guarded(app, answer)
    news_of(live)
    assert await codes_of(app, "news") == [100]


async def test_middleware_that_does_not_let_go(app: FastAPI, live: Live) -> None:
    """It may wrap what it passes on: subscriptions still work."""

    class Wrapping:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def sent(message: Any) -> None:
                await send(message)

            await self.app({**scope}, lambda: receive(), sent)

    app.add_middleware(Wrapping)
    news = news_of(live)
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news")
        news.publish("a")
        assert await speaker.pub("news") == "a"


# Routers


async def test_routers(app: FastAPI, live: Live) -> None:
    """Prefixes apply, and dependencies of the app, routers and topic are resolved from the outermost inwards."""
    asked: list[str] = []

    def asks(name: str) -> Any:
        def ask() -> None:
            asked.append(name)

        return Depends(ask)

    inner = LiveRouter(prefix="/inner", dependencies=[asks("inner")])
    news = news_of(inner, dependencies=[asks("topic")])
    outer = APIRouter(prefix="/outer", dependencies=[asks("outer")])
    outer.include_router(inner, prefix="/more", dependencies=[asks("included")])
    app.include_router(outer, prefix="/api")
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("api/outer/more/inner/news")
        assert asked == ["outer", "included", "inner", "topic"]
        news.publish("a")
        assert await speaker.pub("api/outer/more/inner/news") == "a"
        for channel in ("inner/news", "news", "outer/more/inner/news", "api/outer/inner/news"):
            assert await speaker.refused(channel) == 102


async def test_dependencies_of_the_app() -> None:
    """They run for each subscription, not for the handshake, which has no token yet."""
    asked: list[str] = []

    def ask(connection: HTTPConnection, authorization: Annotated[str, Header()]) -> None:
        asked.append(f"{connection.url.path} {authorization}")

    app = FastAPI(dependencies=[Depends(ask)])
    live = Live(app)
    news_of(live)
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.connected(token="t")
        await speaker.subscribed("news")
        await speaker.subscribed("/news")
    assert asked == ["/news Bearer t"] * 2


@pytest.mark.parametrize("prefix", ["/connection", "/a/b", None])
async def test_prefix(prefix: str | None) -> None:
    """The multiplexed surface is available under its prefix only; channels do not include it."""
    app = FastAPI()
    news_of(Live(app, prefix=prefix))
    if prefix is not None:
        assert await codes_of(app, "news", f"{prefix}/websocket", at=prefix) == [0, 102]
    with pytest.raises(Exception, match=r"refused with (403|404)"):
        await codes_of(app, "news")


@pytest.mark.parametrize("prefix", ["", "live", "/live/", "/"])
def test_prefix_that_is_no_path(prefix: str) -> None:
    """A wrong prefix is refused where it is declared."""
    with pytest.raises(ValueError, match="prefix must be a path"):
        Live(FastAPI(), prefix=prefix)


async def test_routes_that_come_later(app: FastAPI, live: Live) -> None:
    """A definition that is declared while clients are connected is found soon, even if it was looked up before."""
    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.refused("news") == 102
        news_of(live)

        async def is_there() -> bool:
            return "subscribe" in await speaker.subscribe("news")

        await until_async(is_there)


@pytest.mark.parametrize("at", ["/live", "/api/live"])
async def test_root_path(app: FastAPI, live: Live, at: str) -> None:
    """If a proxy serves the app under a path of its own, channels do not include it."""
    seen: list[str] = []
    news = news_of(live, dependencies=[Depends(path_of(seen))])

    async def behind_a_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/api"}, receive, send)

    async with lifespan(app), speaking(behind_a_proxy, at=at) as speaker:
        await speaker.subscribed("news")
        news.publish("a")
        assert await speaker.pub("news") == "a"
        assert await speaker.refused("api/news") == 102
    assert seen == ["/api/news"]


def path_of(seen: list[str]) -> Callable[..., None]:
    """Record the path, as a dependency."""

    def note(connection: HTTPConnection) -> None:
        seen.append(connection.url.path)

    return note


# Parameters


async def test_parameters(app: FastAPI, live: Live) -> None:
    """FastAPI validates path and query; all spellings of a key are one key."""

    @live.topic("/price/{symbol}", str, replay=1)
    def price(
        symbol: Annotated[str, Path(max_length=5)],
        depth: Annotated[int, Query(gt=0)] = 1,
        currency: str = "EUR",
    ) -> None: ...

    spellings = ["price/ä b", "/price/%C3%A4%20b", "price/ä b?depth=01", "price/%C3%A4 b?currency=EUR&depth=1&x=2"]
    async with lifespan(app), speaking(app) as speaker:
        price.publish("a", symbol="ä b")
        for spelling in spellings:
            await speaker.subscribed(spelling)
            assert await speaker.pub(spelling) == "a"
        assert price.statistics().keys == 1
        await speaker.subscribed("price/ä b?currency=ü")
        assert price.statistics().keys == 2
        price.publish("b", symbol="ä b", currency="ü")
        assert await speaker.pub("price/ä b?currency=ü") == "b"
        for channel, said in (
            ("price/longer", "symbol: "),
            ("price/a?depth=x", "depth: "),
            ("price/a?depth=0", "depth: "),
        ):
            heard = (await speaker.subscribe(channel))["error"]
            assert heard["code"] == 107
            assert heard["message"].startswith(said)
        assert await speaker.refused("price/a%2Fb") == 102
        assert await speaker.quiet() == []


async def test_wishes(app: FastAPI, live: Live) -> None:
    """A client may ask for a rate; an invalid one is refused."""
    news = news_of(live)
    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.refused("news?max_rate=0.5") == 107
        assert await speaker.refused("news?max_rate=x") == 107
        await speaker.subscribed("news?max_rate=60")
        news.publish("a")
        assert await speaker.pub("news?max_rate=60") == "a"


# Dependencies


async def test_overrides(app: FastAPI, live: Live) -> None:
    """``dependency_overrides`` apply to subscriptions as to everything else."""

    def member() -> None:
        raise HTTPException(403)

    news_of(live, dependencies=[Depends(member)])
    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.refused("news") == 103
        app.dependency_overrides[member] = lambda: None
        await speaker.subscribed("news")
        app.dependency_overrides.clear()
        assert await speaker.refused("/news") == 103


async def test_dependencies_with_yield(app: FastAPI, live: Live) -> None:
    """They end when a feed or topic has admitted the client; for a stream and a handler they stay open."""
    log: list[str] = []

    async def session(connection: HTTPConnection) -> AsyncIterator[str]:
        log.append(f"open {connection.url.path}")
        yield "session"
        log.append(f"close {connection.url.path}")

    news_of(live, dependencies=[Depends(session)])

    @live.stream("/stream")
    async def stream(
        messages: AsyncIterator[Annotated[str, Message()]], _: Annotated[str, Depends(session)]
    ) -> AsyncIterator[str]:
        async for message in messages:
            yield message

    room = live.topic("/room", str)

    @room.on_message
    async def say(text: Annotated[str, Message()], given: Annotated[str, Depends(session)]) -> None:
        log.append(f"{given} {text}")

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news")
        await until(lambda: log == ["open /news", "close /news"])
        log.clear()
        await speaker.subscribed("stream")
        await speaker.subscribed("room")
        await speaker.ask({"publish": {"channel": "room", "data": "hi"}})
        assert log == ["open /stream", "open /room", "session hi"]
        await speaker.ask({"unsubscribe": {"channel": "stream"}})
        await speaker.ask({"unsubscribe": {"channel": "room"}})
        await until(lambda: len(log) == 5)
        assert log[3:] == ["close /stream", "close /room"]


async def test_dependency_that_fails_at_its_end(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """The client is already subscribed, and stays so; the failure is logged."""

    async def session() -> AsyncIterator[None]:
        yield
        raise RuntimeError("too late")

    news = news_of(live, dependencies=[Depends(session)])
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("news")
        await until(lambda: "too late" in caplog.text)
        news.publish("a")
        assert await speaker.pub("news") == "a"


async def test_dependencies_that_refuse(app: FastAPI, live: Live) -> None:
    """An HTTPException is an error of the protocol with its detail; a WebSocketException is 103."""

    def refuse(connection: HTTPConnection, status: int = 403, detail: str = "No.") -> None:
        if status == 1008:
            raise WebSocketException(4001, detail)
        raise HTTPException(status, detail)

    news_of(live, dependencies=[Depends(refuse)])
    async with lifespan(app), speaking(app) as speaker:
        for status, code in (
            (401, 101),
            (403, 103),
            (404, 102),
            (429, 111),
            (409, 409),
            (418, 418),
            (500, 500),
            (503, 503),
            (1008, 103),
        ):
            heard = (await speaker.subscribe(f"news?status={status}&detail=Because."))["error"]
            assert (heard["code"], heard["message"]) == (code, "Because.")
            assert heard.get("temporary", False) is (code in (111, 503))


# Security

bearer = HTTPBearer()
oauth2 = OAuth2PasswordBearer("token", scopes={"read": "Reads."})


def scoped(security_scopes: SecurityScopes, token: Annotated[str, Depends(oauth2)]) -> str:
    """Record the requested scopes and the token."""
    return f"{security_scopes.scope_str} {token}"


def secured(live: Live, dependency: Any) -> list[Any]:
    """Declare a topic behind a security dependency; return what the dependency has found."""
    found: list[Any] = []

    def note(value: Annotated[Any, dependency]) -> None:
        found.append(value)

    news_of(live, dependencies=[Depends(note)])
    return found


@pytest.mark.parametrize(
    ("dependency", "found"),
    [
        (Security(bearer), HTTPAuthorizationCredentials(scheme="Bearer", credentials="t0ken")),
        (Depends(oauth2), "t0ken"),
        (Security(scoped, scopes=["read"]), "read t0ken"),
    ],
)
async def test_connect_token_is_the_bearer(app: FastAPI, live: Live, dependency: Any, found: Any) -> None:
    """Security classes find the token of the connect command as usual; without one the client is refused."""
    seen = secured(live, dependency)
    async with lifespan(app):
        async with speaking(app, connects=False) as speaker:
            await speaker.connected(token="t0ken")
            await speaker.subscribed("news")
        async with speaking(app) as speaker:
            assert await speaker.refused("news") in (101, 103)
    assert seen == [found]


async def test_which_token_counts(app: FastAPI, live: Live) -> None:
    """The order is the subscription's, the connect's, that of the connect's headers, the handshake's."""
    seen = secured(live, Depends(oauth2))
    handshake = {"authorization": "Bearer handshake"}
    emulated = {"Authorization": "Bearer emulated"}
    async with lifespan(app), speaking(app, headers=handshake, connects=False) as speaker:
        await speaker.connected(token="connect", headers=emulated)
        await speaker.subscribed("news", token="subscription")
        await speaker.subscribed("/news")
    async with lifespan(app), speaking(app, headers=handshake, connects=False) as speaker:
        await speaker.connected(headers=emulated)
        await speaker.subscribed("news")
    async with lifespan(app), speaking(app, headers=handshake) as speaker:
        await speaker.subscribed("news")
    assert seen == ["subscription", "connect", "emulated", "handshake"]


async def test_keys_and_cookies_of_the_handshake(app: FastAPI, live: Live) -> None:
    """Headers and cookies of the handshake apply to each subscription; a query is the channel's own."""
    cookie, header, query = APIKeyCookie(name="session"), APIKeyHeader(name="x-key"), APIKeyQuery(name="key")
    seen: list[Any] = []

    def note(
        connection: HTTPConnection,
        cookie: Annotated[str, Security(cookie)],
        header: Annotated[str, Security(header)],
        query: Annotated[str, Security(query)],
        user_agent: Annotated[str, Header()],
        theme: Annotated[str, Cookie()] = "light",
    ) -> None:
        seen.append([cookie, header, query, user_agent, theme])

    news_of(live, dependencies=[Depends(note)])
    headers = {"cookie": "session=abc; theme=dark", "x-key": "k", "user-agent": "test"}
    async with lifespan(app), speaking(app, headers=headers) as speaker:
        await speaker.subscribed("news?key=mine")
        assert await speaker.refused("news") in (101, 103)
    assert seen == [["abc", "k", "mine", "test", "dark"]]


async def test_handshake_of_a_subscription(app: FastAPI, live: Live) -> None:
    """Dependencies see the app, the client and the connection's state, and cannot change those of others."""
    seen: list[Any] = []

    def note(connection: HTTPConnection) -> None:
        assert connection.client is not None
        seen.append([connection.app is app, connection.client.host, connection.headers["host"], connection.state.count])
        connection.state.count += 1

    news_of(live, dependencies=[Depends(note)])
    async with lifespan(app), connect(app, "/live/websocket", state={"count": 0}) as client:
        speaker = Speaker(client, JSON_SIDE)
        await speaker.connected()
        await speaker.subscribed("news")
        await speaker.subscribed("/news")
    assert seen == [[True, "testclient", "testserver", 0]] * 2


async def test_other_origins(app: FastAPI, live: Live) -> None:
    """A page of another origin gets no connection at all."""
    news_of(live)
    with pytest.raises(Exception, match="refused with 403"):
        async with speaking(app, headers={"origin": "https://evil.example"}):
            pass
    assert live.statistics().refused == {"origin": 1}


async def test_long_paths_are_not_remembered() -> None:
    """Handshakes with very long valid paths leave nothing in memory."""
    app = FastAPI()
    live = Live(app)

    @live.feed("/words/{word}")
    async def words(word: str) -> AsyncIterator[str]:
        yield word

    entrance = entrance_of(app)
    assert entrance is not None
    entrance.find("/words/first")
    tracemalloc.start()
    try:
        for number in range(500):
            assert entrance.find(f"/words/{number:05}{'x' * 10_000}") is not None
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
