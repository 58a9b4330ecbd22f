"""Declarations: how OpenAPI describes them, and what is refused before anything is served."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.security import APIKeyCookie, OAuth2PasswordBearer
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from tests.centrifuge.sides import SIDES, Side
from tests.live.multiplexing import speaking
from wirespeed import Authenticator, DeclarationError, Identity, Live, LiveRouter, Message, current_identity
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

Declarer = Live | LiveRouter
Declare = Callable[..., None]


async def values() -> AsyncIterator[int]:
    """Yield values."""
    yield 1


async def value() -> int:
    """Return a value."""
    return 1


def declare_stream(live: Declarer, path: str, **options: Any) -> None:
    """Declare a stream."""
    live.stream(path, **options)(values)


def declare_call(live: Declarer, path: str, **options: Any) -> None:
    """Declare a call."""
    live.call(path, **options)(value)


def declare_feed(live: Declarer, path: str, **options: Any) -> None:
    """Declare a feed."""
    live.feed(path, **options)(values)


def declare_topic(live: Declarer, path: str, **options: Any) -> None:
    """Declare a topic."""
    live.topic(path, int, **options)


KINDS = [declare_stream, declare_call, declare_feed, declare_topic]

every_kind = pytest.mark.parametrize("declare", KINDS)
"""A test for each kind of definition."""


def described(app: FastAPI, path: str) -> dict[str, Any]:
    """Return the only operation of a path in OpenAPI."""
    (operation,) = app.openapi()["paths"][path].values()
    found: dict[str, Any] = operation
    return found


# OpenAPI


@every_kind
@pytest.mark.parametrize("in_router", [False, True])
def test_options_of_openapi(app: FastAPI, live: Live, declare: Declare, in_router: bool) -> None:
    """The options are those of a FastAPI route, on ``Live`` and on a ``LiveRouter``, whose tags come first."""
    router = LiveRouter(prefix="/shop", tags=["shop"])
    options = {"summary": "Prices", "description": "All *prices*.", "response_description": "A price.",
               "tags": ("market",), "deprecated": True}  # fmt: skip
    declare(router if in_router else live, "/price", **options)
    app.include_router(router)
    found = described(app, "/shop/price" if in_router else "/price")
    assert {name: found[name] for name in ("summary", "description", "tags", "deprecated")} == {
        "summary": "Prices",
        "description": "All *prices*.",
        "tags": ["shop", "market"] if in_router else ["market"],
        "deprecated": True,
    }
    assert found["responses"]["200"]["description"] == "A price."


@every_kind
def test_left_out_of_openapi(app: FastAPI, live: Live, declare: Declare) -> None:
    """``include_in_schema=False`` hides the route, which still answers."""
    declare(live, "/price", include_in_schema=False)
    assert "/price" not in app.openapi()["paths"]
    with TestClient(app) as client:
        method = "GET" if declare in (declare_feed, declare_topic) else "POST"
        assert client.request(method, "/price").status_code == (404 if declare is declare_topic else 200)


@every_kind
def test_unknown_options(live: Live, declare: Declare) -> None:
    """A word that is not an option is an error, as for every function of Python."""
    with pytest.raises(TypeError, match=r"live\.\w+\(\) has no option 'sumary'"):
        declare(live, "/price", sumary="Prices")


def test_topics_without_a_key_have_names(app: FastAPI, live: Live) -> None:
    """A topic without a function is named after its path, in OpenAPI and for ``url_path_for``."""
    for path in ("/", "/news", "/news/to-day"):
        live.topic(path, int)
    live.topic("/other", int, name="mine")
    paths = app.openapi()["paths"]
    summaries = {path: operations["get"]["summary"] for path, operations in paths.items()}
    assert summaries == {"/": "Root", "/news": "News", "/news/to-day": "News To Day", "/other": "Mine"}
    assert len({operations["get"]["operationId"] for operations in paths.values()}) == 4
    assert app.url_path_for("news_to_day") == "/news/to-day"


# Security


async def plain(token: str, connection: HTTPConnection) -> Identity | None:
    """Admit everyone."""
    return Identity(user="ada")


async def by_password(
    token: Annotated[str, Security(OAuth2PasswordBearer("login"), scopes=["read"])], connection: HTTPConnection
) -> Identity | None:
    """Admit everyone."""
    return Identity(user="ada")


class ByCookie(Authenticator):
    """Admits everyone."""

    async def connect(
        self, token: str, connection: HTTPConnection, session: Annotated[str, Security(APIKeyCookie(name="sid"))] = ""
    ) -> Identity | None:
        return Identity(user="ada")


def unreadable(token: "Nowhere", connection: HTTPConnection) -> Any:  # type: ignore[name-defined]  # noqa: F821
    """Admit no one."""


@pytest.mark.parametrize(
    ("authenticate", "scheme", "required"),
    [
        (plain, {"HTTPBearer": {"type": "http", "scheme": "bearer"}}, [{"HTTPBearer": []}]),
        (unreadable, {"HTTPBearer": {"type": "http", "scheme": "bearer"}}, [{"HTTPBearer": []}]),
        (
            by_password,
            {"OAuth2PasswordBearer": {"type": "oauth2", "flows": {"password": {"scopes": {}, "tokenUrl": "login"}}}},
            [{"OAuth2PasswordBearer": ["read"]}],
        ),
        (ByCookie(), {"APIKeyCookie": {"type": "apiKey", "in": "cookie", "name": "sid"}}, [{"APIKeyCookie": []}]),
    ],
)
def test_security_schemes(app: FastAPI, authenticate: Any, scheme: Any, required: Any) -> None:
    """Operations that identify their client, ours and the app's own, have the schemes of ``authenticate``."""
    live = Live(app, authenticate=authenticate)
    guards = [Depends(current_identity)]
    router, other = LiveRouter(prefix="/in", dependencies=guards), APIRouter()
    for kind, declare in enumerate(KINDS):
        declare(live, f"/{kind}", dependencies=guards)
        declare(router, f"/{kind}")
        declare(live, f"/open/{kind}")

    @other.get("/own")
    def own(identity: Annotated[Identity, Depends(current_identity)]) -> str:
        return identity.user

    app.include_router(router)
    app.include_router(other)
    for _ in range(2):  # the document is made once, and asked for often
        document = app.openapi()
        assert document["components"]["securitySchemes"] == scheme
        guarded = {path for path in document["paths"] if described(app, path).get("security") == required}
        assert guarded == {"/own"} | {f"{place}/{kind}" for place in ("", "/in") for kind in range(4)}
    assert "security" not in described(app, "/open/0")


def test_no_security_schemes(app: FastAPI, live: Live) -> None:
    """An app without ``authenticate`` has none, whatever its dependencies are."""
    declare_call(live, "/price", dependencies=[Depends(current_identity)])
    assert "securitySchemes" not in app.openapi().get("components", {})


async def test_marked_token_is_passed_as_it_is(app: FastAPI) -> None:
    """The mark of a parameter describes it; ``authenticate`` still gets the client's token."""
    seen: list[str] = []

    async def authenticate(
        token: Annotated[str, Security(OAuth2PasswordBearer("login"))], connection: HTTPConnection
    ) -> Identity | None:
        seen.append(token)
        return Identity()

    live = Live(app, authenticate=authenticate)
    declare_call(live, "/price", dependencies=[Depends(current_identity)])
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.connected(token="t")
        assert await speaker.ask({"rpc": {"method": "price"}}) == {"rpc": {"data": 1}}
    assert TestClient(app).post("/price", headers={"authorization": "Bearer u"}).json() == 1
    assert seen == ["t", "u"]


# Calls without a value


class Note(BaseModel):
    text: str


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_calls_without_a_value(app: FastAPI, live: Live, side: Side) -> None:
    """A call may return None: ``null``, and 204 over HTTP; a call that may return a value as well answers 200."""
    seen: list[str] = []

    @live.call("/keep")
    async def keep(note: Note) -> None:
        seen.append(note.text)

    @live.call("/drop")
    def drop(text: Annotated[str, Message()]) -> "None":
        seen.append(text)

    @live.call("/find")
    async def find(note: Note) -> str | None:
        return None

    async with lifespan(app), connect(app, "/keep") as client, speaking(app, side) as speaker:
        await client.send_json({"text": "a"})
        assert await client.receive() == "null"
        rpc = {"method": "keep", "data": {"text": "b"}}
        assert await speaker.ask({"rpc": rpc}) == {"rpc": {"data": None}}
        assert await speaker.ask({"rpc": {"method": "drop", "data": "c"}}) == {"rpc": {"data": None}}
    http = TestClient(app)
    answer = http.post("/keep", json={"text": "d"})
    assert (answer.status_code, answer.content, answer.headers.get("content-length")) == (204, b"", None)
    assert http.post("/drop", content="e").status_code == 204
    found = http.post("/find", json={"text": "f"})
    assert (found.status_code, found.json()) == (200, None)
    assert seen == ["a", "b", "c", "d", "e"]
    responses = described(app, "/keep")["responses"]
    assert set(responses) == {"204", "422"}
    assert "content" not in responses["204"]


# Refused


async def test_a_topic_without_the_function_of_its_key(app: FastAPI, live: Live) -> None:
    """The app does not start; with the function, it does."""
    orders = live.topic("/orders/{user_id}", str)
    with pytest.raises(RuntimeError, match=r"topic '/orders/\{user_id\}': its path has parameters; decorate"):
        async with lifespan(app):
            pass
    for key in ({}, {"user_id": 1}):
        with pytest.raises(DeclarationError, match="decorate a function"):
            orders.publish("tea", **key)

    @orders
    def of_user(user_id: int) -> None:
        """Orders."""

    async with lifespan(app):
        of_user.publish("tea", user_id=1)


async def test_a_topic_of_a_router_without_the_function_of_its_key(app: FastAPI, live: Live) -> None:
    """The same holds for routers, however deep they are included."""
    inner, outer = LiveRouter(prefix="/in"), APIRouter()
    inner.topic("/orders/{user_id}", str)
    outer.include_router(inner)
    app.include_router(outer)
    with pytest.raises(RuntimeError, match="decorate a function"):
        async with lifespan(app):
            pass


@pytest.mark.parametrize("declare", [declare_feed, declare_topic])
def test_more_to_replay_than_is_kept(live: Live, declare: Declare) -> None:
    """The log could never have as much."""
    declare(live, "/all", keep=10, replay=10)
    with pytest.raises(DeclarationError, match=r"replay= is more than the 10 entries that keep= retains: raise keep="):
        declare(live, "/more", keep=10, replay=11)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_two_definitions_of_one_path(live: Live, first: Declare, second: Declare) -> None:
    """A path leads to one definition, whatever the kinds; the error names the other one."""
    first(live, "/chat")
    with pytest.raises(DeclarationError, match=r"\w+ '/chat' has the path '/chat' already|\) has the path '/chat'"):
        second(live, "/chat")


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x:int}", "/a/{y:int}", True),
        ("/a/{x:int}", "/a/{y}", False),
        ("/a/{x}", "/a/me", False),
        ("/a/me", "/a/{x}", False),
        ("/a", "/a/", False),
    ],
)
def test_paths_of_one_shape(live: Live, first: str, second: str, is_refused: bool) -> None:
    """Paths that match the same requests are one; a path that matches more may come later, as in FastAPI."""

    def declare(path: str) -> None:
        if "{" not in path:
            declare_stream(live, path)
        elif "x" in path:
            live.stream(path)(with_x)
        else:
            live.stream(path)(with_y)

    declare(first)
    if is_refused:
        with pytest.raises(DeclarationError, match="choose another path"):
            declare(second)
    else:
        declare(second)


async def with_x(x: int) -> AsyncIterator[int]:
    """Yield the parameter."""
    yield x


async def with_y(y: int) -> AsyncIterator[int]:
    """Yield the parameter."""
    yield y


async def test_two_definitions_of_one_path_in_two_routers(app: FastAPI, live: Live) -> None:
    """Prefixes count: the app does not start if two paths are the same with them."""
    declare_call(live, "/a/chat")
    router = LiveRouter(prefix="/a")
    declare_topic(router, "/chat")
    app.include_router(router)
    with pytest.raises(RuntimeError, match=r"has the path '/a/chat' already"):
        async with lifespan(app):
            pass
    with pytest.raises(DeclarationError, match=r"has the path '/a/chat' already"):
        declare_call(router, "/chat")


async def test_a_router_may_be_included_twice(app: FastAPI, live: Live) -> None:
    """Even under the same prefix: its definitions are the same ones."""
    router = LiveRouter()
    declare_topic(router, "/chat")
    for prefix in ("/a", "/b", "/a"):
        app.include_router(router, prefix=prefix)
    async with lifespan(app), connect(app, "/a/chat"), connect(app, "/b/chat"):
        pass


def test_a_topic_may_be_declared_in_steps(live: Live) -> None:
    """The function of its key and its handler do not make it another one."""

    @live.topic("/rooms/{name}", str)
    def rooms(name: str) -> None:
        """Rooms."""

    @rooms.on_message
    async def say(name: str, text: Annotated[str, Message()]) -> None:
        rooms.publish(text, name)
