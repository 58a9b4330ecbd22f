"""Values that are not of the declared ``str`` or ``bytes``: no surface sends them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.centrifuge.sides import SIDES
from tests.live.multiplexing import speaking
from wirespeed import Live
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Misleading:
    """A value that is neither text nor bytes."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


TEXTS: list[Any] = [None, 5, b"x", ["x"], Misleading()]
BYTES: list[Any] = [None, 5, "x", ["x"], Misleading()]
WRONG = [("text", value) for value in TEXTS] + [("octets", value) for value in BYTES]
wrong = pytest.mark.parametrize(("kind", "value"), WRONG, ids=lambda each: each if isinstance(each, str) else None)


@pytest.fixture
def app() -> FastAPI:
    """Return an app."""
    return FastAPI()


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Declare one definition of each kind, of text and of bytes, which sends the test's value."""
    live = Live(app)

    @live.stream("/text")
    async def text() -> AsyncIterator[str]:
        yield app.state.value

    @live.stream("/text-thread")
    def text_in_a_thread() -> Iterator[str]:
        yield app.state.value

    @live.stream("/octets")
    async def octets() -> AsyncIterator[bytes]:
        yield app.state.value

    @live.stream("/octets-thread")
    def octets_in_a_thread() -> Iterator[bytes]:
        yield app.state.value

    @live.call("/text-call")
    async def text_call() -> str:
        value: str = app.state.value
        return value

    @live.call("/octets-call")
    async def octets_call() -> bytes:
        value: bytes = app.state.value
        return value

    return live


@pytest.mark.parametrize("accept", ["application/jsonl", "text/event-stream"])
@pytest.mark.parametrize("thread", ["", "-thread"])
@wrong
def test_post_of_a_stream(app: FastAPI, live: Live, kind: str, value: Any, thread: str, accept: str) -> None:
    """The run has failed before its first value."""
    app.state.value = value
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post(f"/{kind}{thread}", headers={"accept": accept}).status_code == 500
    assert live.statistics().failed == 1


@wrong
def test_post_of_a_call(app: FastAPI, live: Live, kind: str, value: Any) -> None:
    """The call has failed."""
    app.state.value = value
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post(f"/{kind}-call").status_code == 500
    assert live.statistics().failed == 1


@pytest.mark.parametrize("thread", ["", "-thread"])
@wrong
async def test_raw_websocket(app: FastAPI, live: Live, kind: str, value: Any, thread: str) -> None:
    """The first frame is the error."""
    app.state.value = value
    with pytest.raises((TypeError, UnicodeEncodeError)):  # which the server logs
        async with lifespan(app), connect(app, f"/{kind}{thread}") as client:
            assert (await client.receive_json())["error"]["code"] == 500
    assert live.statistics().failed == 1


@pytest.mark.parametrize("batches", [False, True])
@wrong
async def test_multiplexed_run(app: FastAPI, live: Live, kind: str, value: Any, *, batches: bool) -> None:
    """The run ends with 2001, in batches, too."""
    app.state.value = value
    side = SIDES[0 if kind == "text" else 1]
    wants = {"data": {"wirespeed": {"batches": True}}} if batches and kind == "text" else {}
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed(kind, **wants)
        assert (await speaker.push())["unsubscribe"]["code"] == 2001
    assert live.statistics().failed == 1


@wrong
async def test_rpc(app: FastAPI, live: Live, kind: str, value: Any) -> None:
    """The answer is an error."""
    app.state.value = value
    side = SIDES[0 if kind == "text" else 1]
    async with lifespan(app), speaking(app, side) as speaker:
        assert (await speaker.ask({"rpc": {"method": f"{kind}-call"}}))["error"]["code"] == 100
    assert live.statistics().failed == 1


@wrong
async def test_feed(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch, kind: str, value: Any) -> None:
    """The run has failed, and the feed is started again."""
    monkeypatch.setattr("wirespeed.hub.producer.FIRST_DELAY", 0.0)
    values = iter([value])

    @live.feed("/text-feed", keep=10)
    async def text_feed() -> AsyncIterator[str]:
        yield next(values, "fine")

    @live.feed("/octets-feed", keep=10)
    async def octets_feed() -> AsyncIterator[bytes]:
        yield next(values, b"fine")

    async with lifespan(app), connect(app, f"/{kind}-feed") as client:
        assert await client.receive() in ("fine", b"fine")
        feed = text_feed if kind == "text" else octets_feed
        assert feed.statistics().restarts == 1
