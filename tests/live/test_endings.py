"""Endings: however user code ends, on whatever surface, its client is answered, and the log and the figures have it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import AfterValidator

from tests.live.multiplexing import Speaker, speaking
from wirespeed import Grant, Identity, Live, Message
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

FAILED = 100
"""The protocol's code for what a client need not know more about."""


class Odd(BaseException):
    """An exception of the user's that is not an ``Exception``."""


def raised(how: str) -> BaseException:
    """What ends the code."""
    return {
        "bug": RuntimeError("a secret"),
        "cancelled": asyncio.CancelledError(),
        "closed": GeneratorExit(),
        "exit": SystemExit(3),
        "odd": Odd("a secret"),
        "group": BaseExceptionGroup("a secret", [GeneratorExit(), SystemExit(3)]),
        "stop": StopAsyncIteration(),
    }[how]


HOWS = ["bug", "cancelled", "closed", "exit", "odd", "group", "stop"]
ending = pytest.mark.parametrize("how", HOWS)


async def end(how: str) -> None:
    """Ends the code, after a wait; fine if it says so."""
    await asyncio.sleep(0)
    if how == "other":  # a task that is cancelled elsewhere
        task = asyncio.create_task(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(task.cancel)
        await task
    if how == "itself":
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(0)
    if how != "fine":
        raise raised(how)


def end_now(how: str) -> str:
    """Ends the code at once; fine if it says so."""
    if how != "fine":
        raise raised(how)
    return how


Text = Annotated[str, Message()]
Checked = Annotated[str, Message(), AfterValidator(end_now)]
ASYNC = [*HOWS, "other", "itself"]
COMMANDS = ["bug", "cancelled", "closed", "exit", "odd", "other", "itself"]


class Door:
    """Lets clients in, and grants them channels, in the way that their tokens say."""

    async def __call__(self, token: str, connection: object) -> Identity | None:
        if token == "type":
            return "ann"  # type: ignore[return-value]
        await end(token or "fine")
        return Identity(user="ann")

    async def subscription(self, token: str, channel: str, identity: Identity) -> Grant:
        """Grants everything, or not."""
        if token == "type":
            return "yes"  # type: ignore[return-value]
        await end(token)
        return Grant()


def guarded(how: str = "fine") -> None:
    """A dependency in a worker thread."""
    end_now(how)


async def guarded_in_the_loop(later: str = "fine") -> None:
    """A dependency in the loop."""
    await end(later)


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Everything that there is to declare, of a kind that ends as its message says."""
    live = Live(app, authenticate=Door())
    guards = [Depends(guarded), Depends(guarded_in_the_loop)]

    @live.stream("/stream")
    async def stream(how: Text) -> AsyncIterator[str]:
        yield "first"
        await end(how)

    @live.stream("/once")
    async def once(then: str) -> AsyncIterator[str]:
        yield "first"
        await end(then)

    @live.stream("/thread")
    def thread(how: Text) -> Iterator[str]:
        yield "first"
        end_now(how)

    @live.call("/call", dependencies=guards)
    async def call(then: Text) -> str:
        await end(then)
        return then

    @live.call("/call-thread")
    def call_thread(then: Text) -> str:
        return end_now(then)

    @live.call("/checked")
    async def checked(then: Checked) -> str:
        return then

    topic = live.topic("/topic", str, dependencies=guards, presence=True)

    @topic.on_message
    async def take(text: Text) -> None:
        await end(text)

    topic_thread = live.topic("/topic-thread", str)

    @topic_thread.on_message
    def take_in_a_thread(text: Text) -> None:
        end_now(text)

    topic_checked = live.topic("/topic-checked", str)

    @topic_checked.on_message
    async def take_checked(text: Checked) -> None:
        pass

    return live


@pytest.fixture
def app() -> FastAPI:
    """An app."""
    return FastAPI()


class Told:
    """What the figures and the log have been told since the start of a test."""

    def __init__(self, live: Live, caplog: pytest.LogCaptureFixture) -> None:
        self._live = live
        self._caplog = caplog

    def once(self) -> None:
        """One failure, with its traceback."""
        errors = [each for each in self._caplog.records if each.levelno >= logging.ERROR]
        assert [each.exc_info is not None for each in errors] == [True]
        assert self._live.statistics().failed == 1
        assert self._live.statistics().runs == 0


@pytest.fixture
def told(live: Live, caplog: pytest.LogCaptureFixture) -> Told:
    """What is told of a failure."""
    return Told(live, caplog)


# Raw WebSockets


def paths(of: str) -> list[tuple[str, str]]:
    """Each path with each way in which its code can end."""
    ways = HOWS if of.endswith("thread") or "checked" in of else ASYNC
    return [(of, how) for how in ways]


@pytest.mark.parametrize(
    ("path", "how"),
    [
        *paths("/stream"),
        *paths("/thread"),
        *paths("/call"),
        *paths("/call-thread"),
        *paths("/checked"),
        *paths("/topic"),
        *paths("/topic-thread"),
        *paths("/topic-checked"),
    ],
)
async def test_raw_websocket(app: FastAPI, told: Told, path: str, how: str) -> None:
    """The message is answered with an error, and the next message as if nothing had happened."""
    firsts = ["first"] if path in ("/stream", "/thread") else []
    async with lifespan(app), connect(app, path) as client:
        await client.send_text(how)
        for first in firsts:
            assert await client.receive() == first
        assert (await client.receive_json())["error"]["code"] == 500
        told.once()
        await client.send_text("fine")
        if "topic" not in path:
            assert await client.receive() == (firsts or ["fine"])[0]


@pytest.mark.parametrize("how", ASYNC)
async def test_raw_websocket_of_one_run(app: FastAPI, live: Live, how: str) -> None:
    """The connection closes with 1011, and the exception goes on to FastAPI and the server."""
    async with lifespan(app):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is depends on the way
            await spoken_once(app, how)
    assert caught.value.__notes__[-1].startswith("in stream '/once'")
    assert live.statistics().failed == 1
    assert live.statistics().runs == 0


async def spoken_once(app: FastAPI, how: str) -> None:
    """A client of a stream that runs once."""
    async with connect(app, f"/once?then={how}") as client:
        assert await client.receive() == "first"
        assert (await client.receive_json())["error"]["code"] == 500
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 1011


# HTTP


@pytest.mark.parametrize("accept", ["application/jsonl", "text/event-stream"])
@pytest.mark.parametrize(("path", "how"), [*paths("/stream"), *paths("/thread")])
def test_post_of_a_stream(app: FastAPI, live: Live, path: str, how: str, accept: str) -> None:
    """The body ends with an error, and never says that it is complete."""
    client = TestClient(app, raise_server_exceptions=False)
    response = client.post(path, content=f'"{how}"', headers={"accept": accept, "content-type": "application/json"})
    assert "first" in response.text
    assert '{"error":{"code":500' in response.text
    assert "complete" not in response.text
    assert live.statistics().failed == 1


# Without "itself": a request that cancels its own task cannot be told from one that the server cancels.
@pytest.mark.parametrize(("path", "how"), [*paths("/call")[:-1], *paths("/call-thread")])
def test_post_of_a_call(app: FastAPI, live: Live, path: str, how: str) -> None:
    """It is answered with 500."""
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post(path, json=how).status_code == 500
    assert live.statistics().failed == 1


# The multiplexed connection


Ask = Callable[[Speaker], Awaitable[dict[str, Any]]]


def asking(command: dict[str, Any]) -> Ask:
    """Says a command."""
    return lambda speaker: speaker.ask(command)


def after(channel: str, command: dict[str, Any]) -> Ask:
    """Says a command about a channel that the client is subscribed to."""

    async def ask(speaker: Speaker) -> dict[str, Any]:
        await speaker.subscribed(channel)
        return await speaker.ask(command)

    return ask


def commands(how: str, later: list[str]) -> dict[str, Ask]:
    """Commands whose code ends in some way, in a thread or in the loop; by their names."""
    found: dict[str, Ask] = (
        {}
        if how in ("other", "itself")
        else {
            "rpc": asking({"rpc": {"method": "call-thread", "data": how}}),
            "rpc validator": asking({"rpc": {"method": "checked", "data": how}}),
            "visit": asking({"publish": {"channel": "topic-thread", "data": how}}),
            "visit validator": asking({"publish": {"channel": "topic-checked", "data": how}}),
            "publish": after("topic-thread", {"publish": {"channel": "topic-thread", "data": how}}),
            "publish validator": after("topic-checked", {"publish": {"channel": "topic-checked", "data": how}}),
            "rpc dependency": asking({"rpc": {"method": f"call?how={how}", "data": "fine"}}),
        }
    )
    for name in ("subscribe", "history", "presence") if found else ():
        found[f"{name} dependency"] = asking({name: {"channel": f"topic?how={how}"}})
    if how in later:
        found |= {
            "rpc in the loop": asking({"rpc": {"method": "call", "data": how}}),
            "visit in the loop": asking({"publish": {"channel": "topic", "data": how}}),
            "publish in the loop": after("topic", {"publish": {"channel": "topic", "data": how}}),
            "rpc dependency in the loop": asking({"rpc": {"method": f"call?later={how}", "data": "fine"}}),
            "visit dependency": asking({"publish": {"channel": f"topic?later={how}", "data": "fine"}}),
            "subscribe dependency in the loop": asking({"subscribe": {"channel": f"topic?later={how}"}}),
            "refresh": asking({"refresh": {"token": how}}),
            "subscription token": asking({"subscribe": {"channel": "topic", "token": how}}),
            "sub_refresh": after("topic", {"sub_refresh": {"channel": "topic", "token": how}}),
        }
    return found


@pytest.mark.parametrize(("how", "name"), [(how, name) for how in COMMANDS for name in commands(how, ASYNC)])
async def test_commands(app: FastAPI, told: Told, how: str, name: str) -> None:
    """Each is answered with 100, and the connection goes on."""
    async with lifespan(app), speaking(app) as speaker:
        answer = await commands(how, ASYNC)[name](speaker)
        assert answer["error"]["code"] == FAILED, answer
        told.once()
        assert await speaker.ask({"rpc": {"method": "call", "data": "fine"}}) == {"rpc": {"data": "fine"}}


@pytest.mark.parametrize("name", ["refresh", "subscription token", "sub_refresh"])
async def test_wrong_types(app: FastAPI, told: Told, name: str) -> None:
    """An ``authenticate`` that returns something else has failed."""
    async with lifespan(app), speaking(app) as speaker:
        answer = await commands("type", ["type"])[name](speaker)
        assert answer["error"]["code"] == FAILED, answer
        told.once()


@pytest.mark.parametrize("how", [*ASYNC, "type"])
async def test_connect(app: FastAPI, told: Told, how: str) -> None:
    """A connect whose ``authenticate`` fails is answered."""
    async with lifespan(app), speaking(app, connects=False) as speaker:
        assert (await speaker.ask({"connect": {"token": how}}))["error"]["code"] == FAILED
        told.once()


@pytest.mark.parametrize(("path", "how"), [*paths("/stream"), *paths("/thread")])
async def test_multiplexed_run(app: FastAPI, told: Told, path: str, how: str) -> None:
    """It ends with 2001, and the connection goes on."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed(path, data=how)
        assert await speaker.pub(path) == "first"
        assert (await speaker.push())["unsubscribe"]["code"] == 2001
        assert await speaker.ask({"rpc": {"method": "call", "data": "fine"}}) == {"rpc": {"data": "fine"}}
        told.once()


# Feeds


@pytest.mark.parametrize("how", ASYNC)
async def test_feed(
    app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is started again."""
    monkeypatch.setattr("wirespeed.hub.producer.FIRST_DELAY", 0.0)
    runs = 0

    @live.feed("/feed", keep=10)
    async def feed() -> AsyncIterator[int]:
        nonlocal runs
        runs += 1
        yield runs
        if runs == 1:
            await end(how)
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/feed") as client:
        assert [await client.receive_json() for _ in range(2)] == [1, 2]
        assert feed.statistics().restarts == 1
    assert len([each for each in caplog.records if each.exc_info]) == 1
