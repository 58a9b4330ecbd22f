"""Several workers without a broker: the log says that they share nothing."""

import logging
import sys

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from wirespeed import Live, LiveRouter
from wirespeed.live.siblings import workers
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


async def unchanged(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


async def warnings(caplog: pytest.LogCaptureFixture, *, with_topic: bool = True) -> list[str]:
    """Return the warnings about processes that an app logs at startup."""
    app = FastAPI()
    live = Live(app)
    if with_topic:
        live.topic("/news", str)
    async with lifespan(app):
        pass
    return [record.message for record in caplog.records if "worker processes" in record.message]


async def test_several_workers_are_warned_of(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has the number of workers: one line says what is lost and what to do."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    (warning,) = await warnings(caplog)
    assert "4 worker processes" in warning
    assert 'Live(app, broker="redis://...")' in warning
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("value", [None, "1", "", "many", "-2"])
async def test_one_worker_is_not_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """Nothing is logged for a single worker, nor if the environment makes no sense."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    if value is not None:
        monkeypatch.setenv("WEB_CONCURRENCY", value)
    assert await warnings(caplog) == []


@pytest.mark.parametrize(
    ("arguments", "environment", "count"),
    [
        (["/bin/granian", "main:app", "--workers", "3"], {}, 3),
        (["/bin/granian", "--workers=3", "main:app"], {}, 3),
        (["/bin/granian", "main:app"], {"GRANIAN_WORKERS": "3"}, 3),
        (["/bin/granian", "main:app", "--workers", "1"], {"GRANIAN_WORKERS": "3"}, 1),
        (["/bin/granian", "main:app"], {"WEB_CONCURRENCY": "3"}, 1),
        (["/bin/granian", "main:app", "--workers"], {}, 1),
        (["/bin/other", "--workers", "3"], {}, 1),
    ],
)
def test_command_line_of_a_granian_that_spawns(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], count: int
) -> None:
    """Its workers see the command line and the environment, but not its settings."""
    for name in ("WEB_CONCURRENCY", "GRANIAN_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", arguments)
    assert workers() == count


async def test_app_without_feeds_and_topics_is_not_warned(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream belongs to one client: any number of workers may serve it."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert await warnings(caplog, with_topic=False) == []


@pytest.mark.parametrize("path", ["/inner/news/latest", "/inner/live/websocket"])
async def test_mounted_app_is_warned_of_when_it_is_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """No lifespan runs in a mounted app: its first client makes it log what others log at startup, once."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    inner, app = FastAPI(), FastAPI()
    router = LiveRouter(prefix="/news")
    router.topic("/latest", str)
    Live(inner)
    inner.include_router(router)
    inner.add_middleware(BaseHTTPMiddleware, dispatch=unchanged)
    app.mount("/inner", inner)
    async with lifespan(app):
        assert caplog.messages == []
        for _ in range(2):
            async with connect(app, path):
                pass
    middleware, siblings = caplog.messages
    assert middleware.startswith("Middleware that sees only HTTP: tests.live.test_siblings.unchanged.")
    assert siblings.startswith("This server runs 4 worker processes")


def test_commands_for_another_process_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Only the first is logged, whatever clients send; the line has no text of theirs."""
    app = FastAPI()
    live = Live(app)
    client = TestClient(app)
    for node in ("a process\n", "\x1b[2J", "third"):
        command = {"node": node, "session": "s", "data": "{}"}
        assert client.post("/live/emulation", json=command).status_code == 404
    (warning,) = [record.message for record in caplog.records if "another process" in record.message]
    assert warning.isprintable()
    assert live.statistics().refused["emulation"] == 3


def test_own_process_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that has ended causes no warning."""
    app = FastAPI()
    Live(app)
    command = {"node": app.state.wirespeed.site.node, "session": "gone", "data": "{}"}
    assert TestClient(app).post("/live/emulation", json=command).status_code == 404
    assert not [record for record in caplog.records if "another process" in record.message]
