"""The private parts of FastAPI and Starlette: the installed versions have them, and each has a fallback."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette._utils import get_route_path
from starlette.types import Scope
from starlette.websockets import WebSocket

from wirespeed import Live, Message, frameworks
from wirespeed.testing import connect, lifespan


def test_installed_versions_have_every_part(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is missing, so nothing is logged."""
    assert list(frameworks.missing()) == []
    Live(FastAPI())
    assert caplog.text == ""


def test_missing_parts_are_logged_with_their_effect(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A version that is built otherwise is named in one warning per part, when a ``Live`` is made."""
    for name in ("APIRouter", "RouteContext", "AsyncExitStack", "WebSocket"):
        monkeypatch.setattr(frameworks, name, lambda *_: SimpleNamespace())
    Live(FastAPI())
    assert [record.args for record in caplog.records] == [(part,) for part in frameworks.missing()]
    assert "it has no WebSocket._receive (connections take the portable lane" in caplog.text
    assert len(caplog.records) == 5


def test_routes_are_counted_without_a_version() -> None:
    """Routes that are added to an included router change the count, too."""
    app, router = FastAPI(), APIRouter()
    app.include_router(router)
    without: Any = SimpleNamespace(router=object(), routes=app.routes)
    before = frameworks.routes_version(app), frameworks.routes_version(without)
    router.add_api_route("/x", lambda: None)
    assert frameworks.routes_version(app) != before[0]
    assert frameworks.routes_version(without) != before[1]


def test_route_itself_is_shown_without_a_copy() -> None:
    """Without the copy that an included router has, the route itself decides what OpenAPI shows."""
    context: Any = SimpleNamespace(original_route="route")
    assert frameworks.shown_in_openapi(context) == "route"


def test_included_routes_have_no_documentation_of_inclusions_that_cannot_be_seen() -> None:
    """Without its inclusions, an app's routes have the documentation of their own routers only."""
    without: Any = SimpleNamespace(routes=[object(), SimpleNamespace(include_context=object())])
    assert frameworks.inclusions(without) == {}


@pytest.mark.parametrize("stack", [None, object()])
def test_dependencies_may_be_open_if_they_cannot_be_seen(stack: object) -> None:
    """An unknown stack counts as one with open dependencies, so that none is closed too early."""
    assert frameworks.has_open_dependencies({"fastapi_inner_astack": stack, "fastapi_function_astack": None})


@pytest.mark.parametrize("root", ["", "/", "/api", "/api/", "/other"])
@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/apis", "/api/x", ""])
def test_route_path_is_that_of_starlette(root: str, path: str) -> None:
    """A path is found where Starlette's router looks for it."""
    scope: Scope = {"path": path, "root_path": root}
    assert frameworks.route_path(scope) == get_route_path(scope)


@pytest.mark.anyio
async def test_connections_work_with_the_public_receive(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams, feeds and the multiplexed connection need no private ``receive``."""

    def public(websocket: WebSocket) -> Any:
        return websocket.receive

    for module in ("websocket", "watch", "multiplex.websocket"):
        monkeypatch.setattr(f"wirespeed.surfaces.{module}.receive_of", public)
    live = Live(app)

    @live.stream("/echo")
    async def echo(text: Annotated[str, Message()]) -> AsyncIterator[str]:
        yield text

    news = live.topic("/news", str, replay=1)
    async with lifespan(app):
        news.publish("a")
        async with connect(app, "/echo") as client:
            await client.send_text("hi")
            assert await client.receive() == "hi"
        async with connect(app, "/news") as client:
            assert await client.receive() == "a"
        async with connect(app, "/live/websocket") as client:
            await client.send_text('{"id":1,"connect":{}}')
            assert '"connect"' in str(await client.receive())
