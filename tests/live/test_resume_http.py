"""Streams with ``resume=`` over HTTP: a POST that is sent again resumes its run."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

from tests.live.posting import Posted, post
from tests.waiting import NEVER, until
from wirespeed import Live, RawJSON
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

EVENTS = {"accept": "text/event-stream"}


class Question(BaseModel):
    text: str


class Scene:
    """An app whose stream yields what the test says."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.live = Live(self.app)
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.ended: list[str] = []
        self.runs = 0

        async def resource() -> AsyncIterator[int]:
            yield 1
            self.ended.append("dependency")

        @self.live.stream("/words", resume=NEVER)
        async def words(question: Question, thing: Annotated[int, Depends(resource)]) -> AsyncIterator[str]:
            self.runs += 1
            try:
                while (word := await self.said.get()) is not None:
                    if word == "fail":
                        raise HTTPException(409, "no more")
                    yield word
            finally:
                self.ended.append("run")

    def say(self, *words: str | None) -> None:
        for word in words:
            self.said.put_nowait(word)

    def post(self, query: str = "?resume=1", **headers: str) -> Posted:
        return post(self.app, f"/words{query}", json.dumps({"text": "hello"}).encode(), headers)


async def test_resumes_json_lines() -> None:
    """A client that names its run and counts its lines gets what it has missed, and the end."""
    scene = Scene()
    async with lifespan(scene.app):
        first = scene.post()
        scene.say("a", "b")
        assert await first.lines(2) == [b'"a"', b'"b"']
        run = first.headers["wirespeed-run"]
        first.lose()
        scene.say("c", None)
        await until(lambda: scene.ended == ["run", "dependency"])
        async with scene.post(f"?run={run}&since=1") as second:
            assert await second.lines(2) == [b'"b"', b'"c"']
            assert await second.rest() == b""
        await first.ended()
    assert scene.runs == 1


async def test_resumes_events() -> None:
    """A library that sends the last id again resumes; the run goes on meanwhile, with its dependencies."""
    scene = Scene()
    async with lifespan(scene.app):
        first = scene.post(**EVENTS)
        scene.say("a\nb")
        seen = await first.lines(4)
        run = first.headers["wirespeed-run"]
        assert seen == [f"id: {run}:1".encode(), b"data: a", b"data: b", b""]
        first.lose()
        scene.say("c")
        async with scene.post("?resume=1", **EVENTS, **{"last-event-id": f"{run}:1"}) as second:
            assert await second.lines(3) == [f"id: {run}:2".encode(), b"data: c", b""]
            assert scene.ended == []
            scene.say("fail")
            assert b"event: error" in await second.rest()
        await first.ended()
    assert scene.runs == 1


async def test_refuses_what_it_cannot_resume() -> None:
    """An unknown run is 410; the stream does not run again."""
    scene = Scene()
    async with lifespan(scene.app):
        async with scene.post("?run=guess&since=0") as client:
            assert await client.status() == 410
        async with scene.post("", **{"last-event-id": "guess:3"}) as client:
            assert await client.status() == 410
    assert scene.runs == 0


async def test_refuses_before_the_first_value() -> None:
    """A run that refuses its client before it yields anything is answered with its status."""
    scene = Scene()
    async with lifespan(scene.app):
        scene.say("fail")
        async with scene.post() as client:
            assert await client.status() == 409


async def test_last_response_wins() -> None:
    """The later one of two requests that resume one run gets it; the other response ends."""
    scene = Scene()
    async with lifespan(scene.app):
        first = scene.post()
        scene.say("a")
        await first.lines(1)
        async with scene.post(f"?run={first.headers['wirespeed-run']}&since=1") as second:
            assert b"Another connection has resumed the run." in await first.rest()
            scene.say("b", None)
            assert await second.lines(1) == [b'"b"']
        await first.ended()


async def test_stop_ends_runs() -> None:
    """When the app stops, runs that wait for their clients end."""
    scene = Scene()
    async with lifespan(scene.app):
        first = scene.post()
        scene.say("a")
        await first.lines(1)
        first.lose()
    await first.ended()
    assert scene.ended == ["run", "dependency"]


async def test_ends_at_once_without_the_wish() -> None:
    """A client that does not ask for a run that it may resume ends its run with its response."""
    scene = Scene()
    async with lifespan(scene.app):
        async with scene.post("") as client:
            scene.say("a")
            await client.lines(1)
            assert "wirespeed-run" not in client.headers
        assert scene.ended == ["run", "dependency"]


async def test_a_client_that_has_left_already_does_not_keep_a_run_for_ever() -> None:
    """The run of a client that left before its response began ends after its time, as any other without a client."""
    app, ended = FastAPI(), asyncio.Event()
    live = Live(app)

    @live.stream("/endless", resume=0.01)
    async def endless() -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            ended.set()

    async with lifespan(app):
        client = post(app, "/endless?resume=1", b"", {})
        client.lose()
        await ended.wait()
        await client.ended()


async def test_keeps_no_run_whose_response_is_not_sent() -> None:
    """A dependency that ends before the response, and fails, leaves no run behind."""
    app, ran = FastAPI(), []
    live = Live(app)

    async def failing() -> AsyncIterator[None]:
        yield
        raise HTTPException(409, "changed meanwhile")

    @live.stream("/words", resume=NEVER, dependencies=[Depends(failing, scope="function")])
    async def words() -> AsyncIterator[str]:
        ran.append("run")
        yield "a"

    async with lifespan(app):
        async with post(app, "/words?resume=1", b"", {}) as client:
            assert await client.status() == 409
        assert await live.revoke(feed=words) == 0
    assert ran == []


async def test_raw_json_stays_on_its_line() -> None:
    """Each value is one line, whose number is its place, however its JSON is laid out."""
    app = FastAPI()
    live = Live(app)

    @live.stream("/raw", resume=NEVER)
    async def raw() -> AsyncIterator[RawJSON]:
        yield RawJSON('{\n  "a": -0\n}')
        yield RawJSON("[1,\r\n1]")

    async with lifespan(app), post(app, "/raw?resume=1", b"", {}) as client:
        assert await client.rest() == b'{  "a": -0}\n[1,1]\n'
