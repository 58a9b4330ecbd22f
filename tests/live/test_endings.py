"""Endings: however user code ends, on whatever surface, its client is answered, and the log and figures record it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from fastapi.telemetry import TelemetryConfig
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from pydantic import AfterValidator

from tests.centrifuge.sides import SIDES, Side
from tests.live.multiplexing import Speaker, speaking
from wirespeed import Authenticator, Grant, Identity, Live, Message, Unavailable, current_identity, isolation
from wirespeed.isolation import Errors
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

FAILED = 100
"""Code of the protocol for a failure without details."""


class Odd(BaseException):
    """An exception of an app that is not an ``Exception``."""


class NotAllowed(HTTPException):
    """An exception of an app that has none of its base class's attributes."""

    def __init__(self) -> None:
        """Forget the base class."""


class Nameless(Exception):
    """An exception of an app whose text cannot be read."""

    def __str__(self) -> str:
        raise AttributeError


@dataclass(frozen=True)
class Frozen(Exception):
    """An exception of an app that nothing can be noted on."""

    item: str = "a secret"


class Closing(Unavailable):
    """An exception of an app that says nothing about itself."""


def raised(how: str) -> BaseException:
    """Return the exception that ends the code."""
    return {
        "bug": RuntimeError("a secret"),
        "cancelled": asyncio.CancelledError(),
        "closed": GeneratorExit(),
        "exit": SystemExit(3),
        "odd": Odd("a secret"),
        "group": BaseExceptionGroup("a secret", [GeneratorExit(), SystemExit(3)]),
        "stop": StopAsyncIteration(),
        "status 0": HTTPException(0, "a secret"),
        "status -5": HTTPException(-5, "a secret"),
        "status 2000": HTTPException(2000, "a secret"),
        "status 100": HTTPException(100),
        "headers": HTTPException(400, headers="a secret"),  # type: ignore[arg-type]
        "code": WebSocketException("4001"),  # type: ignore[arg-type]
        "no code": WebSocketException(None),  # type: ignore[arg-type]
        "reason": WebSocketException(4001, ["a secret"]),  # type: ignore[arg-type]
        "not allowed": NotAllowed(),
        "nameless": Nameless(),
        "frozen": Frozen(),
        "closing": Closing(),
        "half an emoji": HTTPException(400, "\ud83d"),
    }[how]


HOWS = ["bug", "cancelled", "closed", "exit", "odd", "group", "stop", "not allowed", "nameless", "frozen"]
UNFIT = ["status 0", "status -5", "status 2000", "status 100", "headers", "code", "no code", "reason"]
"""Refusals that cannot be sent."""


async def end(how: str) -> None:
    """End the code after a wait; return normally if asked to."""
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
    if how == "thread":  # it would close the whole task
        await asyncio.to_thread(end_now, "closed")
    if how == "future":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_exception, GeneratorExit())
        try:
            await future
        finally:
            await asyncio.sleep(0)
    if how != "fine":
        raise raised(how)


def end_now(how: str) -> str:
    """End the code at once; return normally if asked to."""
    if how != "fine":
        raise raised(how)
    return how


Text = Annotated[str, Message()]
Checked = Annotated[str, Message(), AfterValidator(end_now)]
ASYNC = [*HOWS, "other", "itself", "thread", "future"]


class Door(Authenticator):
    """Admits clients and grants them channels in the way that their tokens say."""

    async def connect(self, token: str, connection: object) -> Identity | None:
        if token == "type":
            return "ann"  # type: ignore[return-value]
        await end(token or "fine")
        return Identity(user="ann")

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        """Grant everything, or refuse."""
        if token == "type":
            return "yes"  # type: ignore[return-value]
        await end(token)
        return Grant()


def guarded(how: str = "fine") -> None:
    """Guard in a worker thread."""
    end_now(how)


async def guarded_in_the_loop(later: str = "fine") -> None:
    """Guard in the loop."""
    await end(later)


async def early(how: Text) -> AsyncIterator[str]:
    """End before the first value."""
    await end(how)
    yield "first"


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Declare one definition of each kind, which ends as its message says."""
    live = Live(app, authenticate=Door())
    guards = [Depends(guarded), Depends(guarded_in_the_loop)]

    @live.stream("/stream")
    async def stream(how: Text) -> AsyncIterator[str]:
        yield "first"
        await end(how)

    live.stream("/early")(early)
    live.stream("/kept", resume=30)(early)
    live.stream("/replacing", overlap="replace")(early)

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
    """Return an app that is traced."""
    return FastAPI(telemetry=TelemetryConfig(tracer_provider=TracerProvider()))


class Records:
    """Records of the figures and the log since the last look."""

    def __init__(self, live: Live, caplog: pytest.LogCaptureFixture) -> None:
        self._live = live
        self._caplog = caplog
        self._failed = 0

    def once(self, how: str, *, is_logged: bool = True) -> None:
        """Expect one failure, with its traceback unless the server logs it."""
        errors = [each for each in self._caplog.records if each.levelno >= logging.ERROR]
        assert [each.exc_info is not None for each in errors] == [True] * is_logged, how
        self._caplog.clear()
        isolation._errors = Errors()  # the next one has its traceback, too, although it is like this one
        self._failed += 1
        assert self._live.statistics().failed == self._failed, how
        assert self._live.statistics().runs == 0, how


@pytest.fixture
def seen(live: Live, caplog: pytest.LogCaptureFixture) -> Records:
    """Return the records of a failure."""
    return Records(live, caplog)


# Raw WebSockets


def ways(path: str) -> list[str]:
    """Return the ways in which the code of a path can end."""
    return HOWS if path.endswith("thread") or "checked" in path else ASYNC


@pytest.mark.parametrize(
    "path",
    ["/stream", "/thread", "/call", "/call-thread", "/checked", "/topic", "/topic-thread", "/topic-checked"],
)
async def test_raw_websocket(app: FastAPI, seen: Records, path: str) -> None:
    """However its code ends, a message gets an error, and the next one is handled normally."""
    firsts = ["first"] if path in ("/stream", "/thread") else []
    async with lifespan(app), connect(app, path) as client:
        for how in ways(path):
            await client.send_text(how)
            for first in firsts:
                assert await client.receive() == first
            assert (await client.receive_json())["error"]["code"] == 500, how
            seen.once(how)
        await client.send_text("fine")
        if "topic" not in path:
            assert await client.receive() == (firsts or ["fine"])[0]


async def test_raw_websocket_of_one_run(app: FastAPI, seen: Records) -> None:
    """The connection closes with 1011, and the exception reaches FastAPI and the server."""
    async with lifespan(app):
        for how in ASYNC:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - the kind depends on how it ends
                await spoken_once(app, how)
            if how != "frozen":
                assert caught.value.__notes__[-1].startswith("in stream '/once'"), how
            seen.once(how, is_logged=False)


async def spoken_once(app: FastAPI, how: str) -> None:
    """Return a client of a stream that runs once."""
    async with connect(app, f"/once?then={how}") as client:
        assert await client.receive() == "first"
        assert (await client.receive_json())["error"]["code"] == 500
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 1011


# HTTP


@pytest.mark.parametrize("accept", ["application/jsonl", "text/event-stream"])
@pytest.mark.parametrize("path", ["/stream", "/thread"])
def test_post_of_a_stream(app: FastAPI, seen: Records, path: str, accept: str) -> None:
    """The body ends with an error, and never with the event of completion."""
    client = TestClient(app, raise_server_exceptions=False)
    for how in ways(path):
        headers = {"accept": accept, "content-type": "application/json"}
        response = client.post(path, content=f'"{how}"', headers=headers)
        assert "first" in response.text, how
        assert '{"error":{"code":500' in response.text, how
        assert "complete" not in response.text, how
        seen.once(how, is_logged=False)


@pytest.mark.parametrize("path", ["/call", "/call-thread"])
def test_post_of_a_call(app: FastAPI, seen: Records, path: str) -> None:
    """It is answered with 500."""
    client = TestClient(app, raise_server_exceptions=False)
    for how in ways(path):
        assert client.post(path, json=how).status_code == 500, how
        seen.once(how, is_logged=False)


def test_post_with_an_identity(app: FastAPI, seen: Records) -> None:
    """However ``authenticate`` ends, a request that needs an identity is answered with 500."""

    @app.get("/who")
    async def who(identity: Annotated[Identity, Depends(current_identity)]) -> str:
        return identity.user

    client = TestClient(app, raise_server_exceptions=False)
    for how in [*ASYNC, "type"]:
        assert client.get("/who", headers={"authorization": f"Bearer {how}"}).status_code == 500, how
        seen.once(how)
    assert client.get("/who").json() == "ann"


# Runs that end beside their outcomes


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an error come to pass that no code of ours foresees."""

    async def fail(*args: object, **options: object) -> None:
        raise ArithmeticError

    for name in ("websocket.run_counted", "http.run_counted", "handling.run_for_client"):
        monkeypatch.setattr(f"wirespeed.surfaces.{name}", fail)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("path", ["/stream", "/once?then=", "/replacing", "/kept?resume=1", "/call", "/topic"])
async def test_broken_run(app: FastAPI, seen: Records, path: str) -> None:
    """The connection of a run without an outcome is closed, and the error is logged and counted."""
    async with lifespan(app), connect(app, path) as client:
        if "kept" in path:
            assert "run" in await client.receive_json()
        await client.send_text("")
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 1011
        seen.once(path)


@pytest.mark.usefixtures("broken")
def test_broken_run_over_http(app: FastAPI, seen: Records) -> None:
    """The request of a run without an outcome fails, and not as one that the server has cut."""
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post("/stream", json="").status_code == 500
    seen.once("stream", is_logged=False)


@pytest.mark.usefixtures("broken")
async def test_broken_handler(app: FastAPI, seen: Records) -> None:
    """A multiplexed connection is closed when a publication has no answer."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("topic")
        await speaker.say({"publish": {"channel": "topic", "data": ""}})
        assert (await speaker.farewell())[0] == 3004
        seen.once("publish")


# The multiplexed connection


Ask = Callable[[Speaker], Awaitable[dict[str, Any]]]


def asking(command: dict[str, Any]) -> Ask:
    """Return a command."""
    return lambda speaker: speaker.ask(command)


def after(channel: str, command: dict[str, Any]) -> Ask:
    """Return a command about a subscribed channel."""

    async def ask(speaker: Speaker) -> dict[str, Any]:
        await speaker.subscribed(channel)
        return await speaker.ask(command)

    return ask


def commands_in_threads(how: str) -> dict[str, Ask]:
    """Return commands whose code ends in a thread or without a wait, by name."""
    dependent = ("subscribe", "history", "presence")
    return {
        "rpc": asking({"rpc": {"method": "call-thread", "data": how}}),
        "rpc validator": asking({"rpc": {"method": "checked", "data": how}}),
        "visit": asking({"publish": {"channel": "topic-thread", "data": how}}),
        "visit validator": asking({"publish": {"channel": "topic-checked", "data": how}}),
        "publish": after("topic-thread", {"publish": {"channel": "topic-thread", "data": how}}),
        "publish validator": after("topic-checked", {"publish": {"channel": "topic-checked", "data": how}}),
        "rpc dependency": asking({"rpc": {"method": f"call?how={how}", "data": "fine"}}),
        **{f"{name} dependency": asking({name: {"channel": f"topic?how={how}"}}) for name in dependent},
    }


def commands_in_the_loop(how: str) -> dict[str, Ask]:
    """Return commands whose code ends in the loop, by name."""
    return {
        "rpc": asking({"rpc": {"method": "call", "data": how}}),
        "visit": asking({"publish": {"channel": "topic", "data": how}}),
        "publish": after("topic", {"publish": {"channel": "topic", "data": how}}),
        "rpc dependency": asking({"rpc": {"method": f"call?later={how}", "data": "fine"}}),
        "visit dependency": asking({"publish": {"channel": f"topic?later={how}", "data": "fine"}}),
        "subscribe dependency": asking({"subscribe": {"channel": f"topic?later={how}"}}),
        **tokens(how),
    }


def tokens(how: str) -> dict[str, Ask]:
    """Return commands whose token ends in some way, by name."""
    return {
        "refresh": asking({"refresh": {"token": how}}),
        "subscription token": asking({"subscribe": {"channel": "topic", "token": how}}),
        "sub_refresh": after("topic", {"sub_refresh": {"channel": "topic", "token": how}}),
    }


@pytest.mark.parametrize(
    ("commands", "name", "hows"),
    [
        *((commands_in_threads, name, HOWS) for name in commands_in_threads("")),
        *((commands_in_the_loop, name, ASYNC) for name in commands_in_the_loop("")),
        *((tokens, name, ["type"]) for name in tokens("")),
    ],
)
async def test_commands(
    app: FastAPI, seen: Records, commands: Callable[[str], dict[str, Ask]], name: str, hows: list[str]
) -> None:
    """However its code ends, a command is answered with 100, once; the connection stays open."""
    async with lifespan(app):
        for how in hows:
            async with speaking(app) as speaker:
                answer = await commands(how)[name](speaker)
                assert answer["error"]["code"] == FAILED, (how, answer)
                seen.once(how)
                assert await speaker.ask({"rpc": {"method": "call", "data": "fine"}}) == {"rpc": {"data": "fine"}}


async def test_dependency_that_fails_after_the_answer(app: FastAPI, live: Live, seen: Records) -> None:
    """A command whose dependency fails after the answer gets no second answer."""

    async def left(how: str) -> AsyncIterator[None]:
        yield
        await end(how)

    live.topic("/left", str, dependencies=[Depends(left)], presence=True)
    async with lifespan(app), speaking(app) as speaker:
        for how in ASYNC:
            assert "presence" in await speaker.ask({"presence": {"channel": f"left?how={how}"}}), how
            assert await speaker.ask({"rpc": {"method": "call", "data": "fine"}}) == {"rpc": {"data": "fine"}}
            seen.once(how)


async def test_connect(app: FastAPI, seen: Records) -> None:
    """A connect whose ``authenticate`` fails is answered."""
    async with lifespan(app):
        for how in [*ASYNC, "type"]:
            async with speaking(app, connects=False) as speaker:
                assert (await speaker.ask({"connect": {"token": how}}))["error"]["code"] == FAILED, how
                seen.once(how)


@pytest.mark.parametrize("path", ["/stream", "/thread"])
async def test_multiplexed_run(app: FastAPI, seen: Records, path: str) -> None:
    """It ends with 2001, and the connection stays open."""
    async with lifespan(app), speaking(app) as speaker:
        for how in ways(path):
            await speaker.subscribed(path, data=how)
            assert await speaker.pub(path) == "first"
            assert (await speaker.push())["unsubscribe"]["code"] == 2001, how
            assert await speaker.ask({"rpc": {"method": "call", "data": "fine"}}) == {"rpc": {"data": "fine"}}
            seen.once(how)


# Refusals that cannot be sent unchanged


async def test_refusal_with_an_unknown_status(app: FastAPI, seen: Records) -> None:
    """It is a failure, because its number would mean something else to the client."""
    async with lifespan(app), speaking(app) as speaker, connect(app, "/stream") as client:
        for how in UNFIT:
            await client.send_text(how)
            assert await client.receive() == "first"
            assert (await client.receive_json())["error"]["code"] == 500
            seen.once(how)
            for ask in (commands_in_the_loop(how)["rpc"], commands_in_the_loop(how)["visit"], tokens(how)["refresh"]):
                assert (await ask(speaker))["error"]["code"] == FAILED
                seen.once(how)
            await speaker.subscribed("stream", data=how)
            assert await speaker.pub("stream") == "first"
            assert (await speaker.push())["unsubscribe"]["code"] == 2001
            seen.once(how)


@pytest.mark.parametrize("accept", ["application/jsonl", "text/event-stream"])
def test_post_with_an_unknown_status(app: FastAPI, seen: Records, accept: str) -> None:
    """It is a failure over HTTP as well."""
    client = TestClient(app, raise_server_exceptions=False)
    for how in UNFIT:
        response = client.post("/stream", json=how, headers={"accept": accept})
        assert '{"error":{"code":500' in response.text, how
        seen.once(how, is_logged=False)
        assert client.post("/early", json=how, headers={"accept": accept}).status_code == 500, how
        seen.once(how, is_logged=False)
        assert client.post("/call", json=how).status_code == 500, how
        seen.once(how, is_logged=False)


async def test_refusal_that_says_nothing_about_itself(app: FastAPI, live: Live) -> None:
    """An app's own ``Unavailable`` asks clients to try again."""
    async with lifespan(app), connect(app, "/stream") as client:
        await client.send_text("closing")
        assert await client.receive() == "first"
        assert (await client.receive_json())["error"] == {"code": 503, "message": "Not available now."}
    assert live.statistics().failed == 0


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_refusal_with_half_an_emoji(app: FastAPI, live: Live, side: Side) -> None:
    """It is sent with a question mark in its place."""
    async with lifespan(app), speaking(app, side) as speaker:
        error = (await commands_in_the_loop("half an emoji")["visit"](speaker))["error"]
        assert (error["code"], error["message"]) == (400, "?")
        await speaker.subscribed("stream", data="half an emoji")
        assert await speaker.pub("stream") == "first"
        assert (await speaker.push())["unsubscribe"] == {"code": 2400, "reason": "?"}
        live.clients()[0].disconnect(4000, "half \ud83d")
        assert await speaker.farewell() == (4000, "half ?")
    assert live.statistics().failed == 0


# Feeds


async def test_feed(
    app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its run ends, it is started again."""
    monkeypatch.setattr("wirespeed.hub.producer.FIRST_DELAY", 0.0)
    ends = iter(ASYNC)

    @live.feed("/feed", keep=100)
    async def feed() -> AsyncIterator[str]:
        how = next(ends, "fine")
        yield how
        if how != "fine":
            await end(how)
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/feed") as client:
        assert [await client.receive() for _ in [*ASYNC, "fine"]] == [*ASYNC, "fine"]
        assert feed.statistics().restarts == len(ASYNC)
    failures = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(failures) == len(ASYNC)
    assert failures[0].exc_info is not None
