"""The multiplexed surface, in process: streams as subscriptions of one client, and calls."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketException
from pydantic import BaseModel, JsonValue
from starlette.requests import HTTPConnection

from tests.centrifuge.sides import JSON_SIDE, SIDES, Fields, Side
from tests.lanes.turns import until
from tests.live.multiplexing import Speaker, speaking
from wirespeed import Live, Message, Settings
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Repeat(BaseModel):
    text: str
    times: int = 2


class Streams:
    """Streams of all kinds, with records of their runs."""

    def __init__(self, live: Live) -> None:
        self.log: list[str] = []
        self.going = asyncio.Event()
        for function in (self.repeat, self.talk, self.now, self.sleeps, self.fails):
            live.stream(f"/{function.__name__}")(function)

    async def repeat(self, message: Repeat) -> AsyncIterator[str]:
        """Repeat a text as often as the message says."""
        for number in range(message.times):
            yield f"{message.text} {number + 1}"

    async def talk(self, messages: AsyncIterator[Repeat]) -> AsyncIterator[JsonValue]:
        """Answer each message, until the client asks to stop."""
        try:
            async for message in messages:
                if message.text == "stop":
                    return
                yield {"text": message.text.upper()}
        finally:
            self.log.append("talk ended")

    async def now(self) -> AsyncIterator[int]:
        """Take no message."""
        yield 1

    async def sleeps(self, name: str = "") -> AsyncIterator[int]:
        """Yield once, and then nothing."""
        self.log.append(f"{name} begun")
        try:
            yield 1
            await self.going.wait()
            yield 2
        finally:
            self.log.append(f"{name} ended")

    async def fails(self, how: str) -> AsyncIterator[int]:
        """End in some way after the first value."""
        yield 1
        raise {
            "refused": HTTPException(409, "No more."),
            "unavailable": HTTPException(503, "Later."),
            "closed": WebSocketException(4001, "Enough."),
            "bug": RuntimeError("a secret"),
            "exit": SystemExit(3),
            "cancelled": asyncio.CancelledError(),
        }[how]


@pytest.fixture
async def streams(live: Live) -> Streams:
    """The app's streams."""
    return Streams(live)


async def until_end(speaker: Speaker, channel: str) -> tuple[list[Any], Fields]:
    """Return the values of a run, and its end."""
    values: list[Any] = []
    while True:
        push = await speaker.push()
        assert push["channel"] == channel
        if "unsubscribe" in push:
            return values, push["unsubscribe"]
        values.append(push["pub"]["data"])


COMPLETE = {"code": 2000, "reason": "complete"}

# One run for each subscription


async def test_stream(app: FastAPI, streams: Streams, side: Side) -> None:
    """A stream runs with the data of the subscribe; its values have no offsets, and its end is sent."""
    async with lifespan(app), speaking(app, side) as speaker:
        assert await speaker.subscribed("repeat", data={"text": "hi"}) == {}
        assert await speaker.push() == {"channel": "repeat", "pub": {"data": "hi 1"}}
        assert await until_end(speaker, "repeat") == (["hi 2"], COMPLETE)
        assert (await speaker.subscribed("repeat", data={"text": "again", "times": 1})) == {}
        assert await until_end(speaker, "repeat") == (["again 1"], COMPLETE)


async def test_stream_without_message(app: FastAPI, streams: Streams, side: Side) -> None:
    """It runs with any data."""
    async with lifespan(app), speaking(app, side) as speaker:
        for fields in ({}, {"data": {"any": "thing"}}, {"recover": True, "offset": 7, "epoch": "e"}):
            assert await speaker.subscribed("now", **fields) == {}
            assert await until_end(speaker, "now") == ([1], COMPLETE)


@pytest.mark.parametrize("data", [{}, {"data": {"times": 2}}, {"data": "text"}, {"data": None}])
async def test_first_message_that_does_not_fit(
    app: FastAPI, live: Live, streams: Streams, data: Fields, side: Side
) -> None:
    """The subscription is refused with the field, and nothing runs."""
    async with lifespan(app), speaking(app, side) as speaker:
        seen = (await speaker.subscribe("repeat", **data))["error"]
        assert seen["code"] == 107
        assert seen["message"]
    assert live.statistics().failed == 0


async def test_runs_of_one_path(app: FastAPI, streams: Streams, side: Side) -> None:
    """The text after a # separates runs, and so does the query; each has its own values and end."""
    channels = ["repeat", "repeat#1", "repeat#2", "/repeat?x=1"]
    async with lifespan(app), speaking(app, side) as speaker:
        ids = await speaker.say(
            *({"subscribe": {"channel": each, "data": {"text": each, "times": 3}}} for each in channels)
        )
        for id_ in ids:
            assert await speaker.reply(id_) == {"subscribe": {}}
        seen: dict[str, list[Any]] = {each: [] for each in channels}
        for _ in range(4 * len(channels)):
            push = await speaker.push()
            seen[push["channel"]].append(push.get("unsubscribe") or push["pub"]["data"])
        assert seen == {each: [f"{each} 1", f"{each} 2", f"{each} 3", COMPLETE] for each in channels}


async def test_same_run_twice(app: FastAPI, streams: Streams) -> None:
    """A run in progress cannot be subscribed again; a finished one can."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("sleeps")
        assert await speaker.refused("sleeps") == 105
        streams.going.set()
        assert await until_end(speaker, "sleeps") == ([1, 2], COMPLETE)
        await speaker.subscribed("sleeps")


async def test_unsubscribing_ends_the_run(app: FastAPI, live: Live, streams: Streams, side: Side) -> None:
    """Its ``finally`` blocks run, other runs continue, and none of its values follow the answer."""
    async with lifespan(app), speaking(app, side) as speaker:
        for channel in ("sleeps?name=a", "sleeps?name=b"):
            await speaker.subscribed(channel)
            assert await speaker.pub(channel) == 1
        assert await speaker.ask({"unsubscribe": {"channel": "sleeps?name=a"}}) == {"unsubscribe": {}}
        await until(lambda: streams.log == ["a begun", "b begun", "a ended"])
        assert live.statistics().runs == 1
        assert await speaker.quiet() == []
        streams.going.set()
        assert await until_end(speaker, "sleeps?name=b") == ([2], COMPLETE)
    assert live.statistics().failed == 0


@pytest.mark.parametrize("is_slow", [False, True])
async def test_unsubscribing_at_once(
    app: FastAPI, live: Live, streams: Streams, side: Side, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is unsubscribed in the frame that starts it never sends anything, however slow the machine is."""
    if is_slow:  # each command takes a turn of the loop for itself
        monkeypatch.setattr("wirespeed.surfaces.multiplex.inbound.SLICE", 0)
    both: list[Fields] = [{"subscribe": {"channel": "sleeps"}}, {"unsubscribe": {"channel": "sleeps"}}]
    async with lifespan(app), speaking(app, side) as speaker:
        ids = await speaker.say(*both, *both)
        assert [next(iter(await speaker.reply(id_))) for id_ in ids] == ["subscribe", "unsubscribe"] * 2
        streams.going.set()
        assert await speaker.quiet() == []
        assert (live.statistics().runs, streams.log) == (0, [])


async def test_leaving_ends_all_runs(app: FastAPI, live: Live, streams: Streams, side: Side) -> None:
    """When the connection has ended, so have all of its runs."""
    async with lifespan(app), speaking(app, side) as speaker:
        for number in range(5):
            await speaker.subscribed(f"sleeps?name={number}")
        assert live.statistics().runs == 5
        await speaker.client.disconnect()
        assert sorted(streams.log) == sorted(f"{number} {what}" for number in range(5) for what in ("begun", "ended"))
        assert (live.statistics().runs, live.statistics().failed) == (0, 0)


async def test_disconnecting_a_client_ends_its_runs(app: FastAPI, live: Live, streams: Streams) -> None:
    """Runs end with the connection, whichever side closes it."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("sleeps")
        for client in live.clients():
            client.disconnect(3001, "shutdown")
        assert await speaker.farewell() == (3001, "shutdown")
    assert streams.log == [" begun", " ended"]


@pytest.mark.parametrize(
    ("how", "end", "failed"),
    [
        ("refused", {"code": 2409, "reason": "No more."}, 0),
        ("closed", {"code": 2403, "reason": "Enough."}, 0),
        ("unavailable", {"code": 2001, "reason": "Later."}, 0),
        ("bug", {"code": 2001, "reason": "The stream failed."}, 1),
        ("exit", {"code": 2001, "reason": "The stream failed."}, 1),
        ("cancelled", {"code": 2001, "reason": "The stream failed."}, 1),
    ],
)
async def test_run_that_does_not_end_well(
    app: FastAPI,
    live: Live,
    streams: Streams,
    side: Side,
    how: str,
    end: Fields,
    failed: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client receives the values and the reason of the end; a bug is logged, and the client sees no details."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed(f"fails?how={how}")
        assert await until_end(speaker, f"fails?how={how}") == ([1], end)
        await speaker.subscribed("now")
        assert await until_end(speaker, "now") == ([1], COMPLETE)
    assert live.statistics().failed == failed
    assert (how != "bug") or "a secret" in caplog.text
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == (1 if failed else 0)


# Duplex


async def test_duplex(app: FastAPI, streams: Streams, side: Side) -> None:
    """The data of the subscribe is the first message, publications are the others; the run ends by itself."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("talk", data={"text": "a"})
        assert await speaker.pub("talk") == {"text": "A"}
        for text in ("b", "c"):
            assert await speaker.ask({"publish": {"channel": "talk", "data": {"text": text}}}) == {"publish": {}}
            assert await speaker.pub("talk") == {"text": text.upper()}
        await speaker.ask({"publish": {"channel": "talk", "data": {"text": "stop"}}})
        assert await until_end(speaker, "talk") == ([], COMPLETE)
        assert (await speaker.ask({"publish": {"channel": "talk", "data": {"text": "d"}}}))["error"]["code"] in (
            103,
            404 - 302,
        )


async def test_duplex_without_a_first_message(app: FastAPI, streams: Streams, side: Side) -> None:
    """It is optional; an invalid one refuses the subscription, or its own publication only."""
    async with lifespan(app), speaking(app, side) as speaker:
        assert await speaker.refused("talk", data={"wrong": 1}) == 107
        await speaker.subscribed("talk")
        assert (await speaker.ask({"publish": {"channel": "talk", "data": {"wrong": 1}}}))["error"]["code"] == 107
        assert await speaker.ask({"publish": {"channel": "talk", "data": {"text": "a"}}}) == {"publish": {}}
        assert await speaker.pub("talk") == {"text": "A"}
        await speaker.client.disconnect()
    assert streams.log == ["talk ended"]


async def test_publishing_to_other_streams(app: FastAPI, streams: Streams, side: Side) -> None:
    """A stream that takes its message with the subscribe accepts no more, from any client."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("sleeps")
        seen = (await speaker.ask({"publish": {"channel": "sleeps", "data": 1}}))["error"]
        assert seen["code"] == 103
        for kind in ("history", "presence", "presence_stats"):
            assert (await speaker.ask({kind: {"channel": "sleeps"}}))["error"]["code"] == 108


async def test_full_inbox(app: FastAPI) -> None:
    """Messages beyond the inbox's bound are refused; those that were accepted are answered."""
    live, going = Live(app, settings=Settings(max_inbox_messages=3)), asyncio.Event()

    @live.stream("/slow")
    async def slow(messages: AsyncIterator[Annotated[str, Message()]]) -> AsyncIterator[str]:
        await going.wait()
        async for message in messages:
            yield message

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("slow")
        ids = await speaker.say(*({"publish": {"channel": "slow", "data": str(each)}} for each in range(5)))
        seen = [await speaker.reply(id_) for id_ in ids]
        assert [each.get("error", {}).get("code") for each in seen] == [None, None, None, 111, 111]
        going.set()
        assert [await speaker.pub("slow") for _ in range(3)] == ["0", "1", "2"]


# Kinds of values, threads and pace


async def test_bytes(app: FastAPI, live: Live, side: Side) -> None:
    """A stream of bytes is for Protobuf clients; JSON clients are refused with the reason."""

    @live.stream("/bytes")
    async def octets() -> AsyncIterator[bytes]:
        yield b"\xff\n"

    async with lifespan(app), speaking(app, side) as speaker:
        if side is JSON_SIDE:
            assert await speaker.refused("bytes") == 108
            return
        await speaker.say({"subscribe": {"channel": "bytes"}})
        message: Any = b""
        while b"\xff\n" not in message:
            message = await speaker.client.receive()


@pytest.mark.parametrize("kind", ["each", "all", "nothing"])
async def test_in_threads(app: FastAPI, live: Live, side: Side, kind: str) -> None:
    """Sync generators run in worker threads, like other streams."""
    threads: set[int] = set()

    @live.stream("/each")
    def each(text: Annotated[str, Message()]) -> Iterator[str]:
        threads.add(threading.get_ident())
        yield from text

    @live.stream("/all")
    def all_(messages: Iterator[Annotated[str, Message()]]) -> Iterator[str]:
        threads.add(threading.get_ident())
        for message in messages:
            yield from message
            break

    @live.stream("/nothing")
    def nothing() -> Iterator[str]:
        threads.add(threading.get_ident())
        yield from "abc"

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed(kind, data="abc")
        assert await until_end(speaker, kind) == (["a", "b", "c"], COMPLETE)
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


async def test_many_values(app: FastAPI, live: Live, side: Side) -> None:
    """10,000 values arrive in order, in few frames; a client that does not read slows its run down."""
    reached = 0

    @live.stream("/count")
    async def count() -> AsyncIterator[list[Any]]:
        nonlocal reached
        for reached in range(1, 10_001):
            yield [reached, "x" * 500]

    async with lifespan(app), speaking(app, side, max_waiting=4) as speaker:
        await speaker.subscribed("count")
        assert await stands_still(lambda: reached) < 10_000
        values, end = await until_end(speaker, "count")
        assert ([each[0] for each in values], end) == (list(range(1, 10_001)), COMPLETE)
        assert len(speaker.frames) < 1000


async def stands_still(number: Any) -> int:
    """Return a number once it has not changed for some turns of the loop."""
    before, same = number(), 0
    while same < 100:
        await asyncio.sleep(0)
        before, same = number(), same + 1 if number() == before else 0
    return int(before)


async def test_stream_that_wants_its_websocket(app: FastAPI, live: Live) -> None:
    """It receives the virtual one, which has its path and no peer."""

    @live.stream("/own")
    async def own(websocket: WebSocket) -> AsyncIterator[str]:
        yield websocket.url.path

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("own?x=1")
        assert await until_end(speaker, "own?x=1") == (["/own"], COMPLETE)


# Calls


@pytest.fixture
def calls(live: Live) -> list[str]:
    """Declare calls of all kinds; return records of them."""
    log: list[str] = []

    @live.call("/add/{number}")
    async def add(numbers: list[int], number: int, factor: int = 1) -> int:
        return (sum(numbers) + number) * factor

    @live.call("/shout")
    def shout(text: Annotated[str, Message()]) -> str:
        return text.upper()

    @live.call("/now")
    async def now() -> int | None:
        return None

    @live.call("/octets")
    async def octets(data: Annotated[bytes, Message()]) -> bytes:
        return data[::-1]

    @live.call("/fails")
    async def fails(how: Annotated[str, Message()]) -> str:
        failures = {
            "refused": HTTPException(409, "No."),
            "unknown": HTTPException(404),
            "closed": WebSocketException(4001, "Enough."),
            "bug": RuntimeError("a secret"),
            "exit": SystemExit(3),
        }
        raise failures[how]

    @live.call("/waits")
    async def waits() -> int:
        log.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")
        return 1

    return log


def rpc(method: str, *data: Any) -> Fields:
    """Return a call."""
    return {"rpc": {"method": method, **({"data": data[0]} if data else {})}}


async def test_calls(app: FastAPI, calls: list[str], side: Side) -> None:
    """Calls are answered with their values; path and query are parameters."""
    async with lifespan(app), speaking(app, side) as speaker:
        assert await speaker.ask(rpc("add/5?factor=2", [1, 2])) == {"rpc": {"data": 16}}
        assert await speaker.ask(rpc("/add/5", [])) == {"rpc": {"data": 5}}
        assert await speaker.ask(rpc("shout", "grüße")) == {"rpc": {"data": "GRÜSSE"}}
        assert await speaker.ask(rpc("now")) == {"rpc": {"data": None}}


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (rpc("add/x", [1]), 107, "number: "),
        (rpc("add/5", ["x"]), 107, ""),
        (rpc("add/5", {}), 107, ""),
        (rpc("add/5"), 107, ""),
        (rpc("shout", 7), 107, "JSON string"),
        (rpc("shout"), 107, ""),
        (rpc("none"), 104, ""),
        (rpc(""), 104, ""),
        (rpc("add"), 104, ""),
        (rpc("fails", "refused"), 409, "No."),
        (rpc("fails", "unknown"), 102, ""),
        (rpc("fails", "closed"), 103, "Enough."),
        (rpc("fails", "bug"), 100, "internal server error"),
        (rpc("fails", "exit"), 100, "internal server error"),
    ],
)
async def test_calls_that_are_refused(
    app: FastAPI, calls: list[str], side: Side, command: Fields, code: int, said: str
) -> None:
    """Each is answered with its error, and the next one is served."""
    async with lifespan(app), speaking(app, side) as speaker:
        seen = (await speaker.ask(command))["error"]
        assert seen["code"] == code
        assert said in seen["message"]
        assert "secret" not in seen["message"]
        assert await speaker.ask(rpc("add/1", [1])) == {"rpc": {"data": 2}}


async def test_calls_of_bytes(app: FastAPI, calls: list[str], side: Side) -> None:
    """Calls of bytes are for Protobuf clients."""
    async with lifespan(app), speaking(app, side) as speaker:
        if side is JSON_SIDE:
            assert (await speaker.ask(rpc("octets", "ab")))["error"]["code"] == 108
        else:
            (id_,) = await speaker.say(rpc("octets", b"ab"))
            assert await speaker.reply(id_) == {"rpc": {"data": "ba"}}


async def test_calls_at_the_same_time(app: FastAPI, calls: list[str], side: Side) -> None:
    """A slow call does not delay others."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(rpc("waits"), rpc("waits"))
        assert await speaker.ask(rpc("add/1", [1])) == {"rpc": {"data": 2}}
        assert calls == ["begun", "begun"]


async def test_leaving_cancels_calls(app: FastAPI, live: Live, calls: list[str], side: Side) -> None:
    """Calls of a client that has left are cancelled."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(rpc("waits"))
        await until(lambda: calls == ["begun"])
        await speaker.client.disconnect()
        assert calls == ["begun", "ended"]
    assert (live.statistics().runs, live.statistics().failed) == (0, 0)


async def test_what_a_call_publishes_comes_first(app: FastAPI, live: Live, side: Side) -> None:
    """A client that watches receives its call's publications before the answer."""
    topic = live.topic("/news", str)

    @live.call("/tell")
    async def tell(text: Annotated[str, Message()]) -> int:
        topic.publish(text)
        return len(text)

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news")
        (id_,) = await speaker.say(rpc("tell", "hi"))
        assert (await speaker.hear())["push"]["pub"]["data"] == "hi"
        assert await speaker.hear() == {"id": id_, "rpc": {"data": 2}}


async def test_dependencies_of_calls(app: FastAPI, live: Live, side: Side) -> None:
    """They are resolved for each call, and end after it."""
    log: list[str] = []

    async def session(connection: HTTPConnection) -> AsyncIterator[str]:
        log.append("open")
        yield connection.url.path
        log.append("close")

    @live.call("/where")
    async def where(session: Annotated[str, Depends(session)]) -> str:
        log.append("call")
        return session

    async with lifespan(app), speaking(app, side) as speaker:
        for _ in range(2):
            assert await speaker.ask(rpc("where")) == {"rpc": {"data": "/where"}}
        assert log == ["open", "call", "close"] * 2
