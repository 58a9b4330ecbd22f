"""Streams with ``resume=`` on the multiplexed connection: SDKs resume a run as they recover a subscription."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from weakref import ref

import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from tests.centrifuge.sides import SIDES, Fields, Side
from tests.lanes.turns import turns
from tests.live.multiplexing import Speaker, speaking
from tests.live.posting import post
from tests.waiting import NEVER, until
from wirespeed import Identity, Live, Message, Settings, identify
from wirespeed.surfaces.multiplex import window
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]
BATCHES = {"wirespeed": {"batches": True, "acknowledges": True}}


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Scene:
    """An app whose stream yields what the test says."""

    def __init__(self, resume: float = NEVER, **settings: Any) -> None:
        self.app = FastAPI()
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.ended: list[str] = []
        self.runs = 0

        async def authenticate(token: str, connection: object) -> Identity:
            return Identity(user=token)

        self.live = Live(self.app, authenticate=authenticate, settings=Settings(**settings))

        async def resource() -> AsyncIterator[None]:
            yield
            self.ended.append("dependency")

        @self.live.stream("/words", resume=resume, dependencies=[Depends(resource)])
        async def words(topic: str = "") -> AsyncIterator[str]:
            self.runs += 1
            try:
                while (word := await self.said.get()) is not None:
                    if word == "fail":
                        raise HTTPException(409, "no more")
                    yield word
            finally:
                self.ended.append("run")

        self.words = words

        @self.live.stream("/echo", resume=resume)
        async def echo(messages: AsyncIterator[Text]) -> AsyncIterator[str]:
            async for message in messages:
                yield f"{message}!"

    def say(self, *words: str | None) -> None:
        for word in words:
            self.said.put_nowait(word)


def resuming(reply: Fields, offset: int) -> dict[str, Any]:
    """Return the fields by which an SDK recovers a subscription."""
    return {"recover": True, "epoch": reply["epoch"], "offset": offset}


async def pubs(client: Speaker, count: int) -> list[tuple[Any, int]]:
    """Return the data and the offsets of the next publications."""
    pushes = [await client.push() for _ in range(count)]
    return [(each["pub"]["data"], each["pub"]["offset"]) for each in pushes]


async def ended(client: Speaker) -> tuple[int, str]:
    """Return the code and the reason of the next push, which ends a subscription."""
    seen = (await client.push())["unsubscribe"]
    return seen["code"], seen["reason"]


async def begun(client: Speaker, scene: Scene, *words: str, **fields: Any) -> Fields:
    """Begin a run, and receive some words; return the reply to the subscribe."""
    reply = await client.subscribed("words", **fields)
    assert reply["recoverable"]
    assert reply["positioned"]
    scene.say(*words)
    assert await pubs(client, len(words)) == [(word, at + 1) for at, word in enumerate(words)]
    return reply


async def test_resumes_where_it_left_off(side: Side) -> None:
    """A client that reconnects gets what it has missed, and nothing twice; then the completion."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app, side) as first:
            reply = await begun(first, scene, "a", "b")
        scene.say("c")
        async with speaking(scene.app, side) as second:
            resumed = await second.subscribed("words", **resuming(reply, 1))
            assert resumed["was_recovering"]
            assert resumed["recovered"]
            assert (resumed["epoch"], resumed["offset"]) == (reply["epoch"], 1)
            assert await pubs(second, 2) == [("b", 2), ("c", 3)]
            assert scene.ended == []
            scene.say("d", None)
            assert await pubs(second, 1) == [("d", 4)]
            assert await ended(second) == (2000, "complete")
        await until(lambda: sorted(scene.ended) == ["dependency", "dependency", "run"])
    assert scene.runs == 1


async def test_resumes_batches() -> None:
    """Our own clients get arrays, whose offsets count values; a run without a connection leaves its end, too."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app) as first:
            reply = await first.subscribed("words", data=BATCHES)
            scene.say("a")
            assert await pubs(first, 1) == [(["a"], 1)]
        scene.say("b", "c", "fail")
        await until(lambda: scene.ended)
        async with speaking(scene.app) as second:
            await second.subscribed("words", data=BATCHES, **resuming(reply, 1))
            assert await pubs(second, 1) == [(["b", "c"], 3)]
            assert await ended(second) == (2409, "no more")


async def test_never_runs_again_for_a_client_that_resumes() -> None:
    """A run that is over, or another user's, is refused with 112: it does not begin again."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app, connects=False) as first:
            await first.connected(token="ann")
            reply = await begun(first, scene, "a")
        async with speaking(scene.app, connects=False) as other:
            await other.connected(token="bob")
            assert await other.refused("words", **resuming(reply, 1)) == 112
        async with speaking(scene.app, connects=False) as second:
            await second.connected(token="ann")
            assert await second.refused("words?topic=x", **resuming(reply, 1)) == 112
            assert await second.refused("words", **resuming(reply, 9)) == 112
            assert await second.refused("words", recover=True, epoch="guess", offset=0) == 112
            await second.subscribed("words", **resuming(reply, 1))
            scene.say("b")
            assert await pubs(second, 1) == [("b", 2)]
    assert scene.runs == 1


async def test_unsubscribe_ends_at_once() -> None:
    """A client that unsubscribes has left for good. If it subscribes again, that is a new run."""
    scene = Scene()
    async with lifespan(scene.app), speaking(scene.app) as client:
        reply = await begun(client, scene, "a")
        await client.ask({"unsubscribe": {"channel": "words"}})
        await until(lambda: scene.ended == ["run", "dependency"])
        again = await client.subscribed("words", **resuming(reply, 1))
        assert again["was_recovering"]
        assert not again.get("recovered")
        assert again["epoch"] != reply["epoch"]
        scene.say("b")
        assert await pubs(client, 1) == [("b", 1)]


async def test_unsubscribes_at_once() -> None:
    """A client that unsubscribes in the frame of its subscribe gets both answers, and nothing waits for the run."""
    scene = Scene()
    async with lifespan(scene.app), speaking(scene.app) as client:
        for _ in range(3):
            ids = await client.say({"subscribe": {"channel": "words"}}, {"unsubscribe": {"channel": "words"}})
            replies = [await client.reply(each) for each in ids]
            assert ["subscribe" in replies[0], "unsubscribe" in replies[1]] == [True, True]
        await until(lambda: scene.ended.count("dependency") == 3)


async def test_revocation_ends_runs_without_a_client() -> None:
    """A run whose client is away ends when its user is revoked, and not when another one is."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app, connects=False) as client:
            await client.connected(token="ann")
            await begun(client, scene, "a")
        await scene.live.revoke(user="bob")
        assert scene.ended == []
        await scene.live.revoke(user="ann")
        await until(lambda: scene.ended == ["run", "dependency"])


async def test_ends_when_its_time_is_over() -> None:
    """Without a client, the run is cancelled after its time."""
    scene = Scene(resume=0.01)
    async with lifespan(scene.app):
        async with speaking(scene.app) as client:
            await begun(client, scene, "a")
        await until(lambda: scene.ended == ["run", "dependency"])


async def test_ends_with_a_final_disconnect() -> None:
    """A client that the app disconnects for good does not leave its runs behind; one that may return does."""
    scene = Scene()
    async with lifespan(scene.app), speaking(scene.app) as client:
        await begun(client, scene, "a")
        scene.live.connections()[0].close(3503, "out")
        await client.farewell()
        await until(lambda: scene.ended == ["run", "dependency"])


async def test_last_subscription_wins() -> None:
    """The later one of two clients that resume one run gets it; the other is unsubscribed."""
    scene = Scene()
    async with lifespan(scene.app), speaking(scene.app) as first, speaking(scene.app) as second:
        reply = await begun(first, scene, "a")
        await second.subscribed("words", **resuming(reply, 1))
        assert (await ended(first))[0] == 2409
        scene.say("b")
        assert await pubs(second, 1) == [("b", 2)]


async def test_duplex_continues() -> None:
    """Messages to a duplex stream continue after it was resumed."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app) as first:
            reply = await first.subscribed("echo", data="a")
            assert await pubs(first, 1) == [("a!", 1)]
        async with speaking(scene.app) as second:
            await second.subscribed("echo", data="a", **resuming(reply, 1))
            assert "error" not in await second.ask({"publish": {"channel": "echo", "data": "b"}})
            assert await pubs(second, 1) == [("b!", 2)]
            await second.ask({"unsubscribe": {"channel": "echo"}})


async def test_stop_ends_runs() -> None:
    """When the app stops, runs that wait for their clients end, and their dependencies with them."""
    scene = Scene()
    async with lifespan(scene.app):
        async with speaking(scene.app) as client:
            await begun(client, scene, "a")
        assert scene.ended == []
    assert scene.ended == ["run", "dependency"]


@pytest.mark.parametrize("way", ["unsubscribe", "revoke", "time", "stop"])
async def test_thread_that_waits_for_a_message(way: str) -> None:
    """A synchronous generator that waits for its client's next message ends with its run, however that ends."""
    scene = Scene()

    @scene.live.stream("/sync", resume=0.01 if way == "time" else NEVER)
    def sync(messages: Iterator[Text]) -> Iterator[str]:
        for message in messages:
            yield f"{message}!"
        scene.ended.append("sync")

    async with lifespan(scene.app):
        async with speaking(scene.app, connects=False) as client:
            await client.connected(token="ann")
            await client.subscribed("sync", data="a")
            assert await pubs(client, 1) == [("a!", 1)]
            if way == "unsubscribe":
                await client.ask({"unsubscribe": {"channel": "sync"}})
                await until(lambda: scene.ended == ["sync"])
            if way == "revoke":
                await scene.live.revoke(user="ann")
        if way != "stop":
            await until(lambda: scene.ended == ["sync"])
    assert scene.ended == ["sync"]


@pytest.mark.parametrize("leaves", [True, False])
async def test_values_that_wait_for_an_acknowledgement(monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    """A client that acknowledges nothing keeps neither its run nor the dependencies of that when it leaves."""
    monkeypatch.setattr(window, "FIRST_ROUND_TRIP", -1.0)
    scene = Scene(resume=0.01 if leaves else NEVER)
    async with lifespan(scene.app):
        async with speaking(scene.app) as client:
            await client.subscribed("words", data=BATCHES)
            scene.say("a")
            assert await client.pub("words") == ["a"]
            scene.say("b")
            assert await client.quiet() == []
            if not leaves:
                await client.ask({"unsubscribe": {"channel": "words"}})
                await until(lambda: scene.ended == ["run", "dependency"])
        await until(lambda: scene.ended == ["run", "dependency"])


async def test_values_that_wait_for_room() -> None:
    """A client that reads nothing keeps neither its run nor the dependencies of that when these are revoked."""
    scene = Scene(max_waiting_bytes=4096)
    async with lifespan(scene.app), speaking(scene.app, max_waiting=2) as client:
        await client.subscribed("words")
        for _ in range(50):
            scene.say(*["x" * 1000] * 10)
            await turns(20)
        assert scene.said.qsize()
        await scene.live.revoke(feed=scene.words)
        await until(lambda: scene.ended == ["run", "dependency"])


async def test_middleware_that_ends_a_subscription() -> None:
    """A middleware that cancels the subscription of a run ends the run, although its client has another connection."""
    scene = Scene()
    tasks: list[asyncio.Task[Any] | None] = []

    class Noting:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope.get("path") == "/words":
                tasks.append(asyncio.current_task())
            await self.app(scope, receive, send)

    scene.app.add_middleware(Noting)
    async with lifespan(scene.app):
        async with speaking(scene.app) as first:
            reply = await begun(first, scene, "a")
        async with speaking(scene.app) as second:
            await second.subscribed("words", **resuming(reply, 1))
            task = tasks[0]
            assert task is not None
            task.cancel()
            assert (await ended(second))[0] == 2001
            assert scene.ended == ["run", "dependency"]


async def test_messages_that_a_run_has_not_read_do_not_count_after_its_end(side: Side) -> None:
    """Messages that wait for a run count against all of a connection's messages, and no longer when the run ends."""
    scene = Scene()

    @scene.live.stream("/deaf", resume=NEVER)
    async def deaf(messages: AsyncIterator[Text]) -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            scene.ended.append("deaf")

    most = {"publish": {"channel": "deaf", "data": "x" * 60_000}}
    async with lifespan(scene.app), speaking(scene.app, side) as client:
        for runs in range(3):
            await client.subscribed("deaf")
            for _ in range(4):
                assert "error" not in await client.ask(most)
            await client.ask({"unsubscribe": {"channel": "deaf"}})
            await until(lambda: len(scene.ended) == runs + 1)  # noqa: B023


async def test_another_user_of_the_same_guard_cannot_resume() -> None:
    """A run belongs to the user whom its guard has found, also in an app without ``authenticate``."""
    app = FastAPI()
    live = Live(app)

    def guard(connection: HTTPConnection) -> None:
        identify(connection, Identity(user=connection.cookies["user"]))

    @live.stream("/words", resume=NEVER, dependencies=[Depends(guard)])
    async def words() -> AsyncIterator[str]:
        yield "secret"
        await asyncio.Event().wait()

    async with lifespan(app):
        async with speaking(app, headers={"cookie": "user=ada"}) as ada:
            reply = await ada.subscribed("words")
            await ada.push()
        async with speaking(app, headers={"cookie": "user=bob"}) as bob:
            assert await bob.refused("words", **resuming(reply, 0)) == 112
        async with speaking(app, headers={"cookie": "user=ada"}) as ada:
            await ada.subscribed("words", **resuming(reply, 0))
            assert await pubs(ada, 1) == [("secret", 1)]


class Question(BaseModel):
    text: str


async def test_run_that_has_ended_keeps_no_message() -> None:
    """The end of a run waits for its client, but not the message that it has begun with."""
    scene, asked = Scene(), list[ref[Question]]()

    @scene.live.stream("/answers", resume=NEVER)
    async def answers(question: Question) -> AsyncIterator[str]:
        asked.append(ref(question))
        yield "answer"

    async with lifespan(scene.app), speaking(scene.app) as client:
        reply = await client.subscribed("answers", data={"text": "?"})
        assert await pubs(client, 1) == [("answer", 1)]
        assert await ended(client) == (2000, "complete")
        await turns(5)
        gc.collect()
        assert asked[0]() is None
        async with speaking(scene.app) as other:
            await other.subscribed("answers", data={"text": "?"}, **resuming(reply, 0))
            assert await pubs(other, 1) == [("answer", 1)]


async def test_message_of_a_run_counts_while_its_client_is_away() -> None:
    """On each surface, a run whose client is away counts its message, and that of one more client ends it."""
    app, ended = FastAPI(), list[str]()
    live = Live(app, settings=Settings(max_kept_bytes=3000))

    @live.stream("/answers", resume=NEVER)
    async def answers(question: Question) -> AsyncIterator[str]:
        try:
            yield "answer"
            await asyncio.Event().wait()
        finally:
            ended.append(question.text[:4])

    def asked(name: str) -> dict[str, str]:
        return {"text": name + "x" * 1000}

    async with lifespan(app):
        async with speaking(app) as speaker:
            await speaker.subscribed("answers", data=asked("mux "))
            await speaker.push()
        async with connect(app, "/answers?resume=1") as client:
            await client.send_json(asked("raw "))
            await client.receive()
            assert await client.receive() == "answer"
            client.lose()
            await until(lambda: ended == ["mux "])
            posted = post(app, "/answers?resume=1", json.dumps(asked("post")).encode(), {})
            await posted.lines(1)
            posted.lose()
            await until(lambda: ended == ["mux ", "raw "])
        async with speaking(app) as speaker:
            await speaker.subscribed("answers", data=asked("mux "))
            await speaker.push()
        await until(lambda: ended == ["mux ", "raw ", "post"])
        await posted.ended()
