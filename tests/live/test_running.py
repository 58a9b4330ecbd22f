"""The figures of streams and calls: each run is counted once, however it is reached and however it ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Annotated

import pytest
from fastapi import FastAPI, HTTPException
from starlette.exceptions import WebSocketException

from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.waiting import NEVER, until
from wirespeed import Live, LiveRouter, Message, RunStatistics
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Scene:
    """An app with streams and calls that end as a message says."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.live = Live(self.app)
        self.live.stream("/run")(run)
        self.live.stream("/newest", overlap="replace")(run)
        self.live.stream("/thread")(run_in_thread)
        self.live.stream("/only")(only)
        self.live.stream("/kept", resume=NEVER)(only)
        self.live.call("/call")(call)
        router = LiveRouter(prefix="/inner")
        router.call("/call")(call_in_thread)
        self.app.include_router(router, prefix="/outer")

    def counted(self, path: str) -> RunStatistics:
        """Return the figures, without the durations of runs, after a look at these."""
        figures = self.live.running()[path]
        ends = figures.completed + figures.refused + figures.failed + figures.cancelled
        assert sum(figures.durations.counts) == ends
        assert (figures.durations.total > 0) == (ends > 0)
        return figures._replace(durations=RunStatistics().durations)


async def run(text: Text) -> AsyncIterator[str]:
    try:
        yield text
        await ending(text)
    finally:
        if text == "fail at the end":
            raise ValueError(text)


async def only(end: str = "") -> AsyncIterator[str]:
    yield "first"
    await ending(end)


def run_in_thread(text: Text) -> Iterator[str]:
    yield text
    end(text)


async def call(text: Text) -> str:
    await ending(text)
    return text


def call_in_thread(text: Text) -> str:
    end(text)
    return text


async def ending(text: str) -> None:
    if text == "stay":
        await asyncio.Event().wait()
    end(text)


def end(text: str) -> None:
    if text == "refuse":
        raise HTTPException(409)
    if text == "close":
        raise WebSocketException(4000)
    if text == "fail":
        raise ValueError(text)
    if text == "exit":
        raise SystemExit


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Return a running app."""
    scene = Scene()
    async with lifespan(scene.app):
        yield scene


async def test_paths(scene: Scene) -> None:
    """All streams and calls have figures from the start, under their full paths."""
    nothing = RunStatistics()
    paths = ["/call", "/kept", "/newest", "/only", "/outer/inner/call", "/run", "/thread"]
    assert sorted(scene.live.running()) == paths
    assert set(scene.live.running().values()) == {nothing}


@pytest.mark.parametrize("path", ["/run", "/thread", "/call", "/outer/inner/call"])
async def test_ends_on_raw_websockets(scene: Scene, path: str) -> None:
    """A completed, a refused, a failed and an exiting run are counted, and their values."""
    async with connect(scene.app, path) as client:
        for text in ("complete", "refuse", "fail", "exit"):
            await client.send_text(text)
        await until(lambda: sum(scene.counted(path)[1:4]) == 4)
    written = 1 if path.endswith("call") else 4
    assert scene.counted(path) == RunStatistics(completed=1, refused=1, failed=2, messages=written)


async def test_replaced_and_abandoned_runs(scene: Scene) -> None:
    """A run that a newer message replaces is cancelled, and so is that of a client that leaves."""
    async with connect(scene.app, "/newest") as client:
        for number in (1, 2):
            await client.send_text("stay")
            assert await client.receive_text() == "stay"
            assert scene.counted("/newest") == RunStatistics(active=1, cancelled=number - 1, messages=number)
    assert scene.counted("/newest") == RunStatistics(cancelled=2, messages=2)


@pytest.mark.parametrize("path", ["/call", "/outer/inner/call"])
async def test_answered_calls_are_complete(scene: Scene, path: str) -> None:
    """A call is complete with its answer, though its client leaves at that moment; without one, it is cancelled."""
    for _ in range(20):
        async with connect(scene.app, path) as client:
            await client.send_text("complete")
            assert await client.receive_text() == "complete"
    await until(lambda: not scene.counted(path).active)
    assert scene.counted(path) == RunStatistics(completed=20, messages=20)
    if path == "/call":
        async with connect(scene.app, path) as client:
            await client.send_text("stay")
            await until(lambda: scene.counted(path).active)
        assert scene.counted(path).cancelled == 1


async def test_failure_of_the_cleanup(scene: Scene) -> None:
    """A generator that raises in its ``finally`` block has failed, not completed."""
    async with connect(scene.app, "/run") as client:
        await client.send_text("fail at the end")
        await until(lambda: scene.counted("/run").failed == 1)
    assert scene.counted("/run") == RunStatistics(failed=1, messages=1)


@pytest.mark.parametrize("path", ["/only", "/kept", "/kept?resume=1"])
@pytest.mark.parametrize(("how", "ended"), [("", "completed"), ("refuse", "refused"), ("fail", "failed")])
async def test_responses(scene: Scene, path: str, how: str, ended: str) -> None:
    """Runs over HTTP are counted, those that may be resumed included."""
    url = f"{path}{'&' if '?' in path else '?'}end={how}"
    request = Exchange(scene.app, url, method="POST", headers={"accept": "text/event-stream"})
    with nullcontext() if how != "fail" else pytest.raises(ValueError, match="fail"):  # the server logs it
        async with request:
            await until(lambda: getattr(scene.counted(path.partition("?")[0]), ended) == 1)
    found = scene.counted(path.partition("?")[0])
    assert (getattr(found, ended), sum(found[:5]), found.messages) == (1, 1, 1)


async def test_multiplexed_connection(scene: Scene) -> None:
    """Subscriptions to streams and remote procedure calls are counted, under the same paths."""
    async with speaking(scene.app) as speaker:
        for how in ("", "refuse", "fail"):
            await speaker.subscribed(f"only?end={how}#1")
            await speaker.pub(f"only?end={how}#1")
            await speaker.push()
            await speaker.ask({"rpc": {"method": "outer/inner/call", "data": how}})
        await speaker.subscribed("kept?end=stay")
        await speaker.pub("kept?end=stay")
        assert scene.counted("/kept") == RunStatistics(active=1, messages=1)
        await speaker.ask({"unsubscribe": {"channel": "kept?end=stay"}})
        await until(lambda: scene.counted("/kept") == RunStatistics(cancelled=1, messages=1))
    assert scene.counted("/only") == RunStatistics(completed=1, refused=1, failed=1, messages=3)
    assert scene.counted("/outer/inner/call") == RunStatistics(completed=1, refused=1, failed=1, messages=1)


async def test_kept_run_is_one_run(scene: Scene) -> None:
    """A run that outlives its connection is one run, which stays active; to resume it is not another."""
    async with connect(scene.app, "/kept?end=stay&resume=1") as client:
        started = await client.receive_json()
        assert await client.receive_text() == "first"
        client.lose()
        async with connect(scene.app, f"/kept?end=stay&run={started['run']}&since=0") as again:
            await again.receive_json()
            assert await again.receive_text() == "first"
            assert scene.counted("/kept") == RunStatistics(active=1, messages=1)
            await again.disconnect(1000)
            await until(lambda: scene.counted("/kept") == RunStatistics(cancelled=1, messages=1))


async def test_stop_and_second_start() -> None:
    """A run that the app's stop ends is cancelled; the figures go on after a second start."""
    scene = Scene()
    async with lifespan(scene.app):
        client = await connect(scene.app, "/only?end=stay").__aenter__()
        assert await client.receive_text() == "first"
    await client.disconnect()
    assert scene.counted("/only") == RunStatistics(cancelled=1, messages=1)
    async with lifespan(scene.app):
        async with connect(scene.app, "/only") as client:
            assert await client.receive_text() == "first"
            await until(lambda: scene.counted("/only").completed == 1)
        assert scene.counted("/only") == RunStatistics(completed=1, cancelled=1, messages=2)


async def test_without_a_lifespan() -> None:
    """An app that is served without its lifespan counts, too."""
    scene = Scene()
    assert scene.live.running() == {}
    async with connect(scene.app, "/call") as client:
        await client.send_text("hello")
        assert await client.receive_text() == "hello"
    assert list(scene.live.running()) == ["/call"]
    assert scene.counted("/call") == RunStatistics(completed=1, messages=1)
