"""Middleware that cannot guard WebSockets."""

import pytest
from fastapi import FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from tests.exchanges import Exchange
from wirespeed import Live, LiveRouter
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse the paths under /private."""
    return JSONResponse({}, 403) if request.url.path.startswith("/private") else await call_next(request)


class Guard(BaseHTTPMiddleware):
    """The same as a class."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await guard(request, call_next)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of guards."""
    return [record.getMessage() for record in caplog.records if record.name == "wirespeed.guards"]


@pytest.mark.parametrize("declared", ["before", "after", "in a router"])
async def test_guard_that_leaves_websockets_open(
    app: FastAPI, live: Live, declared: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning at startup names each middleware that sees HTTP only, wherever the definitions are."""
    if declared == "before":
        live.topic("/private/news", str)
    app.middleware("http")(guard)
    app.add_middleware(Guard)
    if declared == "after":
        live.topic("/private/news", str)
    if declared == "in a router":
        router = LiveRouter(prefix="/private")
        router.topic("/news", str)
        app.include_router(router)
    async with lifespan(app):
        async with Exchange(app, "/private/news") as exchange:
            assert exchange.status == 403
        async with connect(app, "/private/news"):  # which is why
            pass
    [warning] = warnings(caplog)
    assert "tests.live.test_guards.guard" in warning
    assert "tests.live.test_guards.Guard" in warning
    assert "dependencies=[Depends(...)]" in warning


async def test_other_middleware_is_fine(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Middleware that sees WebSockets is not mentioned."""
    live.topic("/news", str)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    async with lifespan(app):
        assert warnings(caplog) == []


async def test_app_without_definitions_is_fine(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Without definitions there is nothing to guard."""
    app.middleware("http")(guard)
    async with lifespan(app):
        assert warnings(caplog) == []
