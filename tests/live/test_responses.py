"""Responses with a continuing body: all of them have the headers that proxies and middleware need."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from tests.exchanges import Exchange
from wirespeed import Live
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

EVENTS = "text/event-stream"
CONNECT = "/live/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D"
REQUESTS = [
    ("POST", "/numbers", {}),
    ("POST", "/numbers", {"accept": EVENTS}),
    ("POST", "/octets", {}),
    ("GET", "/feed", {"accept": EVENTS}),
    ("GET", "/topic", {"accept": EVENTS}),
    ("POST", "/live/http_stream", {}),
    ("POST", "/live/http_stream", {"content-type": "application/octet-stream"}),
    ("GET", CONNECT, {}),
]


def app() -> FastAPI:
    """Return an app with one definition of each kind, behind a middleware that compresses whatever it may."""
    app = FastAPI()
    live = Live(app)
    live.topic("/topic", int)

    @live.stream("/numbers")
    async def numbers() -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    @live.stream("/octets")
    async def octets() -> AsyncIterator[bytes]:
        yield b"x" * 1000

    @live.feed("/feed")
    async def feed() -> AsyncIterator[str]:
        yield "x" * 1000

    app.add_middleware(GZipMiddleware)
    return app


@pytest.mark.parametrize(("method", "path", "headers"), REQUESTS)
async def test_nothing_on_the_way_may_hold_values_back(method: str, path: str, headers: dict[str, str]) -> None:
    """Proxies may not cache, buffer or compress a continuing body, and middleware does not compress it."""
    served = app()
    given = {"accept-encoding": "gzip", **headers}
    async with lifespan(served), Exchange(served, path, given, method=method) as exchange:
        control = exchange.headers["cache-control"].split(", ")
        assert exchange.status == 200
        assert control in (["no-cache", "no-transform"], ["no-store", "no-transform"])
        assert exchange.headers["x-accel-buffering"] == "no"
        assert exchange.headers.get("content-encoding", "identity") == "identity"
