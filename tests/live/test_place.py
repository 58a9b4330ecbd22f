"""Paths of feeds and topics: their routes, beside the app's own, in routers and mounted apps."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel

from tests.exchanges import Exchange
from tests.live.source import refusal
from wirespeed import BindingError, DeclarationError, Live, LiveRouter, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    name: str


async def numbers() -> AsyncIterator[int]:
    """Count to one."""
    yield 1


async def doubled(number: int) -> AsyncIterator[int]:
    """Double the key."""
    yield 2 * number


def mine(item_id: str = "") -> dict[str, str]:
    """Return the app's own answer."""
    return {"mine": item_id}


async def body_of(app: FastAPI, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Return the status and body of a request."""
    async with Exchange(app, path, headers, method=method) as exchange:
        return exchange.status, await exchange.body()


# The app's own routes


def own_first(app: FastAPI, live: Live) -> None:
    """Declare the app's own route before the feed."""
    app.get("/numbers/{item_id}")(mine)
    live.feed("/numbers/{number}")(doubled)


def own_last(app: FastAPI, live: Live) -> None:
    """Declare the app's own route after the feed."""
    live.feed("/numbers/{number}")(doubled)
    app.get("/numbers/{item_id}")(mine)


def own_in_a_router(app: FastAPI, live: Live) -> None:
    """Declare the app's own route in a router."""
    router = APIRouter(prefix="/numbers")
    live.feed("/numbers/{number}")(doubled)
    router.get("/{item_id}")(mine)
    app.include_router(router)


def ours_in_a_router(app: FastAPI, live: Live) -> None:
    """Declare the feed in a router."""
    router = LiveRouter(prefix="/numbers")
    router.feed("/{number}")(doubled)
    app.include_router(router)
    app.get("/numbers/{item_id}")(mine)


@pytest.mark.parametrize("declare", [own_first, own_last, own_in_a_router, ours_in_a_router])
async def test_own_get_wins(app: FastAPI, live: Live, declare: Callable[[FastAPI, Live], None]) -> None:
    """The app's own GET on the same path answers, in OpenAPI too, in any order; the WebSocket stays the feed's."""
    declare(app, live)
    async with lifespan(app):
        assert await body_of(app, "/numbers/7") == (200, b'{"mine":"7"}')
        assert await body_of(app, "/numbers/7", accept="text/event-stream") == (200, b'{"mine":"7"}')
        async with connect(app, "/numbers/7") as client:
            assert await client.receive() == "14"
    paths = app.openapi()["paths"]
    assert list(paths) == ["/numbers/{item_id}"]
    assert paths["/numbers/{item_id}"]["get"]["summary"] == "Mine"


@pytest.mark.parametrize("first", ["own", "ours"])
def test_own_post_wins(app: FastAPI, live: Live, first: str) -> None:
    """The app's own POST beside a feed answers, and the GET stays the feed's, in OpenAPI too."""

    def own(item: Item) -> Item:
        return item

    if first == "own":
        app.post("/numbers")(own)
    live.feed("/numbers")(numbers)
    if first == "ours":
        app.post("/numbers")(own)
    with TestClient(app) as client:
        assert client.get("/numbers").json() == 1
        assert client.post("/numbers", json={"name": "a"}).json() == {"name": "a"}
    assert set(app.openapi()["paths"]["/numbers"]) == {"get", "post"}


async def test_other_paths_do_not_rival(app: FastAPI, live: Live) -> None:
    """An own route of another shape does not affect the feed."""
    live.feed("/numbers/{number}")(doubled)
    app.get("/numbers/{item_id}/more")(mine)
    app.post("/numbers/{item_id}")(mine)
    assert await body_of(app, "/numbers/7") == (200, b"14")


async def test_without_http(app: FastAPI, live: Live) -> None:
    """``http=False`` leaves HTTP to the app: no GET, and nothing in OpenAPI."""
    live.feed("/numbers", http=False)(numbers)
    topic = live.topic("/news", str, http=False)
    async with lifespan(app):
        assert (await body_of(app, "/numbers"))[0] == 404
        assert (await body_of(app, "/news", accept="text/event-stream"))[0] == 404
        async with connect(app, "/numbers") as client, connect(app, "/news") as other:
            assert await client.receive() == "1"
            topic.publish("a")
            assert await other.receive() == "a"
    assert app.openapi()["paths"] == {}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods(app: FastAPI, live: Live, method: str) -> None:
    """A method that the feed does not have is 405, as for any route with a GET."""
    live.feed("/numbers")(numbers)
    assert (await body_of(app, "/numbers", method))[0] == 405


def test_openapi(app: FastAPI, live: Live) -> None:
    """OpenAPI has the GET with its docs, its key and the schema of a value."""
    live.feed("/numbers/{number}")(doubled)
    live.topic("/items", Item, by="name")
    live.topic("/texts", str)
    live.topic("/bytes", bytes)
    paths = app.openapi()["paths"]
    get = paths["/numbers/{number}"]["get"]
    assert get["description"] == "Double the key."
    assert [(each["name"], each["in"], each["schema"]["type"]) for each in get["parameters"]] == [
        ("number", "path", "integer")
    ]
    content = get["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["type"] == "integer"
    assert "text/event-stream" in content
    assert {"200", "304", "422", "503"} == set(get["responses"])
    rows = paths["/items"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert rows["items"] == {"$ref": "#/components/schemas/Item"}
    assert set(paths["/texts"]["get"]["responses"]["200"]["content"]) == {"text/plain", "text/event-stream"}
    assert set(paths["/bytes"]["get"]["responses"]["200"]["content"]) == {"application/octet-stream"}
    assert "404" in paths["/texts"]["get"]["responses"]


def test_names_of_routes(app: FastAPI, live: Live) -> None:
    """A route has the name of its function, or the one that was given."""
    live.feed("/numbers/{number}")(doubled)
    live.feed("/named", name="other")(numbers)
    live.topic("/news", str, name="news")

    @live.topic("/orders/{user_id}", str)
    def orders(user_id: int) -> None: ...

    assert app.url_path_for("doubled", number=7) == "/numbers/7"
    assert [app.url_path_for(name) for name in ("other", "news")] == ["/named", "/news"]
    assert app.url_path_for("orders", user_id=7) == "/orders/7"


# Later declarations keep the order


async def test_a_handler_keeps_the_order_of_routes(app: FastAPI, live: Live) -> None:
    """The routes of a topic keep their order when a handler is added."""

    @live.topic("/rooms/{room}", str)
    def rooms(room: str) -> None: ...

    @app.websocket("/rooms/{name}")
    async def other(websocket: WebSocket, name: str) -> None:
        await websocket.close()

    before = [getattr(route, "path", None) for route in app.routes]

    @rooms.on_message
    async def take(item: Item) -> None:
        rooms.publish(item.name, room="a")

    assert [getattr(route, "path", None) for route in app.routes] == before
    async with lifespan(app), connect(app, "/rooms/a") as client:
        await client.send_json({"name": "x"})
        assert await client.receive() == "x"


async def test_a_second_handler_replaces_the_first(app: FastAPI, live: Live) -> None:
    """The last one declared receives the messages."""
    news = live.topic("/news", str)

    @news.on_message
    async def first(item: Item) -> None:
        news.publish("first")

    @news.on_message
    async def second(item: Item) -> None:
        news.publish("second")

    async with lifespan(app), connect(app, "/news") as client:
        await client.send_json({"name": "x"})
        assert await client.receive() == "second"


def test_handlers_that_cannot_work(live: Live) -> None:
    """A handler without a message, or that yields, is refused with what to write instead."""
    news = live.topic("/news", str)

    async def nothing(number: int) -> None: ...

    async def yields(item: Item) -> AsyncIterator[str]:
        yield item.name

    with pytest.raises(DeclarationError, match="takes no message"):
        news.on_message(nothing)
    with pytest.raises(DeclarationError, match="publish to the topic instead"):
        news.on_message(yields)


# Routers


def refuse() -> None:
    """Refuse every client."""
    raise HTTPException(403, "No one may enter.")


async def test_routers(app: FastAPI, live: Live) -> None:
    """A LiveRouter's feeds and topics are served under its prefix, in routers in routers, with their dependencies."""
    inner, outer = LiveRouter(prefix="/inner"), APIRouter(prefix="/outer")
    inner.feed("/numbers/{number}")(doubled)
    news = inner.topic("/news", str, replay=1)
    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    guarded = LiveRouter()
    guarded.feed("/guarded")(numbers)
    app.include_router(guarded, dependencies=[Depends(refuse)])
    async with lifespan(app):
        news.publish("a")
        async with connect(app, "/api/outer/inner/news") as client:
            assert await client.receive() == "a"
        async with connect(app, "/api/outer/inner/numbers/7") as client:
            assert await client.receive() == "14"
        assert await body_of(app, "/api/outer/inner/numbers/8") == (200, b"16")
        assert (await refusal(app, "/guarded")).status == 403
        assert (await body_of(app, "/guarded"))[0] == 403
    assert "/api/outer/inner/numbers/{number}" in app.openapi()["paths"]


async def test_a_router_in_two_apps() -> None:
    """It publishes to both; each has its own figures and runs."""
    router = LiveRouter()
    news = router.topic("/news", str)
    apps = [FastAPI(), FastAPI()]
    for app in apps:
        Live(app)
        app.include_router(router)
    async with (
        lifespan(apps[0]),
        lifespan(apps[1]),
        connect(apps[0], "/news") as one,
        connect(apps[1], "/news") as other,
    ):
        news.publish("a")
        assert [await one.receive(), await other.receive()] == ["a", "a"]


async def test_a_router_twice_in_one_app(app: FastAPI, live: Live) -> None:
    """Under two prefixes it is one topic: watchers of either receive its values."""
    router = LiveRouter()
    news = router.topic("/news", str)
    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")
    async with lifespan(app), connect(app, "/a/news") as one, connect(app, "/b/news") as other:
        news.publish("x")
        assert [await one.receive(), await other.receive()] == ["x", "x"]
        assert news.statistics().watchers == 2


async def test_a_router_without_live() -> None:
    """The app's startup fails, and names what is missing."""
    app, router = FastAPI(), LiveRouter()
    news: Topic[[], str] = router.topic("/news", str)
    app.include_router(router)
    with pytest.raises(RuntimeError, match="no Live"):
        async with lifespan(app):
            pass
    with pytest.raises(BindingError, match="belongs to no running app"):
        news.publish("a")


async def test_mounted_app() -> None:
    """A mounted app has no lifespan; its feeds run all the same, and its topics once they are watched."""
    outer, inner = FastAPI(), FastAPI()
    live = Live(inner)
    live.feed("/numbers/{number}")(doubled)
    news = live.topic("/news", str)
    outer.mount("/sub", inner)
    async with lifespan(outer), connect(outer, "/sub/news") as client:
        news.publish("a")
        assert await client.receive() == "a"
        async with connect(outer, "/sub/numbers/7") as other:
            assert await other.receive() == "14"
        assert await body_of(outer, "/sub/numbers/7") == (200, b"14")


def test_guards_are_checked_when_declared(live: Live) -> None:
    """Anything other than a dependency is refused, with what to write instead."""
    guard: Any = refuse
    with pytest.raises(DeclarationError, match=r"write Depends\("):
        live.feed("/numbers", dependencies=[guard])(numbers)
