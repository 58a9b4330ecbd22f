"""HTTP routes of definitions yield to the app's own, in routing and in OpenAPI, whatever the order."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.websockets import WebSocket

from wirespeed import Live, LiveRouter, Message

Declare = Callable[[], None]


async def ours() -> AsyncIterator[str]:
    """Ours."""
    yield "ours"


def theirs() -> str:
    """Theirs."""
    return "theirs"


def post(app: FastAPI, path: str) -> Any:
    """Return the route that answers a POST: its value, or the status of an error."""
    response = TestClient(app).post(path)
    return response.json() if response.is_success else response.status_code


def documented(app: FastAPI) -> dict[str, str]:
    """Return the POSTs of the OpenAPI document, with the first word of each description."""
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    return {path: methods["post"]["description"] for path, methods in paths.items() if "post" in methods}


@pytest.fixture(params=["ours first", "theirs first"])
def both(request: pytest.FixtureRequest) -> Callable[[Declare, Declare], None]:
    """Return a function that declares two routes in each order."""

    def both(our: Declare, their: Declare) -> None:
        for declare in (our, their) if request.param == "ours first" else (their, our):
            declare()

    return both


Both = Callable[[Declare, Declare], None]


def test_stream_answers_a_post(app: FastAPI, live: Live) -> None:
    """Without a route of the app's own, the stream answers and is documented."""
    live.stream("/x")(ours)
    assert (post(app, "/x"), documented(app)) == ("ours", {"/x": "Ours."})


@pytest.mark.parametrize(
    ("our_path", "their_path"), [("/x", "/x"), ("/x/{a}", "/x/{b}"), ("/x/{a:int}/y", "/x/{b:int}/y")]
)
def test_users_route_wins(app: FastAPI, live: Live, both: Both, our_path: str, their_path: str) -> None:
    """The app's route of the same method and shape takes all requests, and OpenAPI shows only that one."""
    both(lambda: void(live.stream(our_path)(ours)), lambda: void(app.post(their_path)(theirs)))
    path = "/x" if our_path == "/x" else our_path.replace("{a}", "7").replace("{a:int}", "7")
    assert post(app, path) == "theirs"
    assert list(documented(app).values()) == ["Theirs."]
    with TestClient(app).websocket_connect(path) as client:
        assert client.receive_text() == "ours"


def void(value: object) -> None:
    """Ignore a value."""


@pytest.mark.parametrize(
    ("our_path", "their_path", "request_path"),
    [("/x/{a:int}", "/x/{b:float}", "/x/7"), ("/x/y", "/x/z", "/x/y"), ("/x/{a:int}", "/y/{a:int}", "/x/7")],
)
def test_other_shapes_do_not_matter(
    app: FastAPI, live: Live, our_path: str, their_path: str, request_path: str
) -> None:
    """A route with another converter, or of another path, changes nothing: the first match answers."""
    live.stream(our_path)(ours)
    app.post(their_path)(theirs)
    assert post(app, request_path) == "ours"
    assert set(documented(app).values()) == {"Ours.", "Theirs."}


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_other_methods_do_not_matter(app: FastAPI, live: Live, both: Both, method: str) -> None:
    """The app's route of another method answers that method, and the stream answers the POST."""
    both(lambda: void(live.stream("/x")(ours)), lambda: void(getattr(app, method)("/x")(theirs)))
    assert post(app, "/x") == "ours"
    assert TestClient(app).request(method, "/x").json() == "theirs"
    assert set(TestClient(app).get("/openapi.json").json()["paths"]["/x"]) == {"post", method}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_post_is_the_only_method(app: FastAPI, live: Live, method: str) -> None:
    """Every other method gets a 405 that names POST, as for any FastAPI route."""
    live.stream("/x")(ours)
    response = TestClient(app).request(method, "/x")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_yielding_route_is_no_obstacle_for_405(app: FastAPI, live: Live, both: Both) -> None:
    """If the app's own POST takes over, other methods still get a 405."""
    both(lambda: void(live.stream("/x")(ours)), lambda: void(app.post("/x")(theirs)))
    response = TestClient(app).get("/x")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_nested_routers_with_prefixes(app: FastAPI, live: Live, both: Both) -> None:
    """The prefixes of both routes are added before their paths are compared."""
    mine, yours = LiveRouter(prefix="/b"), APIRouter(prefix="/a/b")
    mine.stream("/{number}")(ours)
    mine.stream("/other/{number}")(ours)
    yours.post("/{it}")(theirs)
    outer = APIRouter(prefix="/a")
    outer.include_router(mine)
    both(lambda: app.include_router(outer, prefix="/v1"), lambda: app.include_router(yours, prefix="/v1"))
    assert (post(app, "/v1/a/b/7"), post(app, "/v1/a/b/other/7")) == ("theirs", "ours")
    assert documented(app) == {"/v1/a/b/{it}": "Theirs.", "/v1/a/b/other/{number}": "Ours."}


def test_router_that_is_included_twice(app: FastAPI, live: Live, both: Both) -> None:
    """A route yields only where it is included next to a route of the app."""
    router = LiveRouter()
    router.stream("/x")(ours)

    def include() -> None:
        app.include_router(router, prefix="/a")
        app.include_router(router, prefix="/b")

    both(include, lambda: void(app.post("/a/x")(theirs)))
    assert (post(app, "/a/x"), post(app, "/b/x")) == ("theirs", "ours")
    assert documented(app) == {"/a/x": "Theirs.", "/b/x": "Ours."}


def test_router_in_two_apps() -> None:
    """A route yields in the app that has its own route, and answers in the other app."""
    router = LiveRouter()
    router.stream("/x")(ours)
    first, second = FastAPI(), FastAPI()
    for each in (first, second):
        Live(each)
        each.include_router(router)
    first.post("/x")(theirs)
    assert (post(first, "/x"), post(second, "/x")) == ("theirs", "ours")
    assert (documented(first), documented(second)) == ({"/x": "Theirs."}, {"/x": "Ours."})


def test_routes_of_starlette_count(app: FastAPI, live: Live, both: Both) -> None:
    """A plain Starlette route takes precedence, too."""

    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse('"theirs"')

    both(
        lambda: void(live.stream("/x")(ours)),
        lambda: app.router.routes.append(Route("/x", plain, methods=["POST"])),
    )
    assert post(app, "/x") == "theirs"


def test_route_that_comes_later_wins(app: FastAPI, live: Live) -> None:
    """A route of the app takes precedence from the moment it is added, even after requests were served."""
    live.stream("/x")(ours)
    with TestClient(app):
        assert (post(app, "/x"), documented(app)) == ("ours", {"/x": "Ours."})
        app.post("/x")(theirs)
        assert (post(app, "/x"), documented(app)) == ("theirs", {"/x": "Theirs."})


def test_openapi_of_the_users_own_making(app: FastAPI, live: Live, both: Both) -> None:
    """An ``openapi`` function of the app's own shows the app's routes, too, once the app has started."""
    both(lambda: void(live.stream("/x/{a}")(ours)), lambda: void(app.post("/x/{b}")(theirs)))
    app.openapi = lambda: {"paths": FastAPI.openapi(app)["paths"]}  # type: ignore[method-assign]
    with TestClient(app):
        assert documented(app) == {"/x/{b}": "Theirs."}


@pytest.mark.parametrize("http", [True, False])
def test_http_can_be_left_to_the_user(app: FastAPI, live: Live, http: bool) -> None:
    """With ``http=False``, the definition has only its WebSocket route."""
    live.stream("/x", http=http)(ours)
    assert post(app, "/x") == ("ours" if http else 404)
    with TestClient(app).websocket_connect("/x") as client:
        assert client.receive_text() == "ours"


async def with_websocket(websocket: WebSocket) -> AsyncIterator[str]:
    """Take the connection itself."""
    yield "ours"


async def duplex(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Take all messages."""
    yield "ours"


async def takes_bytes(data: Annotated[bytes, Message()]) -> AsyncIterator[str]:
    """Take bytes."""
    yield "ours"


def wants_websocket(websocket: WebSocket) -> None:
    """A dependency that no request can fill."""


@pytest.mark.parametrize("function", [with_websocket, duplex, takes_bytes])
def test_stream_that_http_cannot_serve(app: FastAPI, live: Live, function: Any) -> None:
    """It has no POST, neither for clients nor in OpenAPI."""
    live.stream("/x")(function)
    assert (post(app, "/x"), documented(app)) == (404, {})


@pytest.mark.parametrize("where", ["stream", "router", "include", "app"])
def test_dependency_that_wants_a_websocket(where: str) -> None:
    """With such a dependency from any place there is no POST, and the WebSocket works."""
    guards = {where: [Depends(wants_websocket)]}
    app = FastAPI(dependencies=guards.get("app"))
    Live(app)
    router = LiveRouter(dependencies=guards.get("router"))
    router.stream("/x", dependencies=guards.get("stream"))(ours)
    app.include_router(router, dependencies=guards.get("include"))
    assert post(app, "/x") == 404
    with TestClient(app).websocket_connect("/x") as client:
        assert client.receive_text() == "ours"


def test_dependency_of_the_app_that_wants_a_websocket() -> None:
    """The same holds for a stream that is declared on the app itself."""
    app = FastAPI(dependencies=[Depends(wants_websocket)])
    Live(app).stream("/x")(ours)
    assert post(app, "/x") == 404


def test_mounted_app_is_for_itself(app: FastAPI, live: Live) -> None:
    """A route of an outer app does not affect the same path of a mounted app."""
    inner = FastAPI()
    Live(inner).stream("/x")(ours)
    app.mount("/inner", inner)
    app.post("/x")(theirs)
    assert (post(app, "/inner/x"), post(app, "/x")) == ("ours", "theirs")
