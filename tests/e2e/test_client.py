"""The Python client, against a real server behind a gate that can be shut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, ValidationError

from tests import waiting
from tests.apps.protocol import Row
from tests.apps.tokens import token
from tests.sdk.stage import Site, tell
from tests.waiting import PATIENCE, PAUSE
from wirespeed import Position, RawJSON
from wirespeed.client import (
    ClientConnection,
    ConnectionChange,
    ServerRefused,
    SourceHealth,
    TooSlow,
    ValuesLost,
    address_of,
    connect,
    watch,
)

T = TypeVar("T")


class Note(BaseModel):
    """A published value."""

    number: int


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Start a server behind a gate."""
    with Site() as made:
        yield made


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test in its own loop, with a timeout."""

    async def limited() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(limited())


async def publish(site: Site, channel: str, *values: Any) -> None:
    """Publish values."""
    await asyncio.to_thread(tell, site.server, "publish", {"channel": channel, "values": values})


def test_stored_values(site: Site) -> None:
    """Stored rows come first and in order, then changes; a refusal by the loader has its status and detail."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            rows = connection.watch("stored/a")
            assert [each["key"] for each in await take(rows, 3)] == ["B", "C", "A"]
            await publish(site, "stored/a", {"symbol": "D", "price": 9})
            assert [each["key"] for each in await take(rows, 1)] == ["D"]
            with pytest.raises(ServerRefused) as raised:
                await take(connection.watch("stored/missing"), 1)
            assert (raised.value.status, raised.value.detail) == (404, {"nothing": "missing"})

    run(main)


async def append(site: Site, channel: str, *values: Any) -> None:
    """Append texts."""
    await asyncio.to_thread(tell, site.server, "append", {"channel": channel, "values": values})


async def take(values: AsyncIterator[T], count: int) -> list[T]:
    """Return the next values."""
    return [await anext(values) for _ in range(count)]


def test_values_are_of_the_type(site: Site) -> None:
    """Models, rows and bytes arrive as such; a value of another type is an error."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            await publish(site, "price/typed", {"number": 1})
            assert await take(connection.watch("price/typed", Note), 1) == [Note(number=1)]
            await publish(site, "table/typed", {"symbol": "A", "price": 1})
            (row,) = await take(connection.watch("/table/typed"), 1)
            assert Row(**row["value"]) == Row(symbol="A", price=1)
            with pytest.raises(ValidationError):
                await take(connection.watch("price/typed", int), 1)

    run(main)


def test_json_is_relayed_unchanged(site: Site) -> None:
    """Raw JSON of one client reaches another one byte for byte."""

    async def main() -> None:
        raw = RawJSON('{"i": 1, "i":\r\n2, "zero": -0, "price": 1.10}')
        async with connect(site.gate.url) as connection, connect(site.gate.url) as other:
            await other.publish("relay/raw", raw)
            assert await take(connection.watch("relay/raw", RawJSON), 1) == [raw]

    run(main)


def test_a_run_of_a_stream_ends(site: Site) -> None:
    """The loop ends with the run; a run that fails is an error."""

    async def main() -> None:
        message = {"text": "hi", "times": 3}
        values = [value async for value in watch(site.gate.url, "repeat", str, message=message)]
        assert values == ["hi 1", "hi 2", "hi 3"]
        with pytest.raises(ServerRefused, match="refuses: No more") as raised:
            [value async for value in watch(site.gate.url, "refuses", int)]
        assert (raised.value.code, raised.value.status, raised.value.detail) == (2409, 409, "No more.")

    run(main)


def test_a_run_goes_on_after_the_connection_was_lost(site: Site) -> None:
    """A stream with resume= continues where it left off: every value arrives once."""

    async def main() -> None:
        values: list[int] = []
        async for value in watch(site.gate.url, "lasting", int):
            values.append(value)
            if value in (5, 40):
                site.gate.shut()
                site.gate.open()
        assert values == list(range(100))

    run(main)


def test_what_the_server_refuses_is_an_error(site: Site) -> None:
    """The error has the code; other subscriptions of the connection continue."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            other = connection.watch("note/beside", int)
            begun = asyncio.create_task(anext(other))
            for path, code, status in (("guarded/x", 101, 401), ("nowhere", 102, None), ("number/x", 107, 422)):
                with pytest.raises(ServerRefused) as raised:
                    await take(connection.watch(path), 1)
                assert (raised.value.code, raised.value.status) == (code, status)
            assert [each["loc"] for each in raised.value.detail] == [["path", "number"]]
            await publish(site, "note/beside", 5)
            assert await begun == 5

    run(main)


def test_calls(site: Site) -> None:
    """A call returns a value of the type, or raises an error with the code."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            assert await connection.call("add", {"a": 1, "b": 2}, int) == 3
            with pytest.raises(ServerRefused, match="add: I am a teapot") as raised:
                await connection.call("/add", {"a": 418, "b": 2})
            assert (raised.value.code, raised.value.status, raised.value.detail) == (418, 418, "I am a teapot.")
            with pytest.raises(ServerRefused, match="add: b: ") as raised:
                await connection.call("/add", {"a": 1})
            assert (raised.value.status, raised.value.detail[0]["loc"]) == (422, ["body", "b"])

    run(main)


def test_history_and_presence(site: Site) -> None:
    """History has the values of the type and the log's position, in pages; presence has the clients."""

    async def main() -> None:
        ann = token("ann", info={"name": "Ann"})
        async with connect(site.gate.url, token=ann) as connection:
            watching = await subscribed(site, connection, "room/past")
            await publish(site, "room/past", {"number": 1}, {"number": 2}, {"number": 3})
            history = await connection.history("/room/past", Note, limit=1, reverse=True)
            assert [each.value for each in history] == [Note(number=3)]
            assert history.position == history[0].position
            older = await connection.history("room/past", Note, limit=2, since=history[0].position, reverse=True)
            assert [each.value.number for each in older] == [2, 1]
            (member,) = await connection.presence("room/past")
            assert (member.user, member.info, member.grant) == ("ann", {"name": "Ann"}, None)
            for request in (connection.history("price/x"), connection.presence("price/x")):
                with pytest.raises(ServerRefused) as raised:
                    await request
                assert raised.value.code == 108
            assert await until(watching, {"number": 3})

    run(main)


def test_further_messages_of_a_stream(site: Site) -> None:
    """A duplex stream gets all messages in order; one that is refused, or an iterator that fails, ends the loop."""

    async def words(*texts: str) -> AsyncIterator[dict[str, Any]]:
        for text in texts:
            yield {"text": text}
        if texts[-1] == "fail":
            raise LookupError("no more words")

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            talk = connection.watch("talk/py", message={"text": "first"}, messages=words("a", "b", "stop"))
            assert [value["text"] async for value in talk] == ["FIRST", "A", "B"]
            with pytest.raises(LookupError, match="no more words"):
                [value async for value in connection.watch("talk/py", messages=words("fail"))]
            with pytest.raises(ServerRefused, match="this stream takes one message"):
                [value async for value in connection.watch("sleeps", message="x", messages=words("a"))]

    run(main)


@pytest.mark.parametrize("end", [asyncio.CancelledError(), BaseExceptionGroup("", [GeneratorExit()]), SystemExit(1)])
def test_further_messages_with_an_odd_end(site: Site, end: BaseException) -> None:
    """Messages that end by a cancellation that was not requested, or in another odd way, end the loop with an error."""

    async def words() -> AsyncIterator[dict[str, Any]]:
        yield {"text": "a"}
        raise end

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            with pytest.raises(RuntimeError, match=f"the code ended with {type(end).__name__}"):
                [value async for value in connection.watch("talk/py", messages=words())]

    run(main)


def test_a_run_is_complete_before_all_messages_were_sent(site: Site) -> None:
    """A duplex stream that ends by itself ends the loop without an error, whatever message is under way."""

    async def endless() -> AsyncIterator[dict[str, Any]]:
        for _ in range(3):
            yield {"text": "a"}
        while True:
            yield {"text": "stop"}

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            for _ in range(50):
                talk = connection.watch("talk/py", messages=endless())
                assert [value["text"] async for value in talk] == ["A", "A", "A"]

    run(main)


def test_further_messages_wait_for_a_connection(site: Site) -> None:
    """A message waits while the connection is lost, for longer than answers may take, and reaches the next run."""
    goes_on = asyncio.Event()

    async def words() -> AsyncIterator[dict[str, Any]]:
        yield {"text": "a"}
        await goes_on.wait()
        yield {"text": "b"}

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            talk = connection.watch("talk/py", messages=words())
            assert (await anext(talk))["text"] == "A"
            site.gate.shut()
            await waiting.until(lambda: connection._client.state.value == "connecting")
            connection._client._timeout = 0.01  # of the SDK; five seconds would be long for a test
            goes_on.set()
            following = asyncio.ensure_future(anext(talk))
            done, _ = await asyncio.wait([following], timeout=10 * PAUSE)
            site.gate.open()
            connection._client._timeout = PATIENCE
            assert not done
            assert (await following)["text"] == "B"
            await talk.aclose()

    run(main)


def test_a_watch_that_is_cancelled_twice(site: Site) -> None:
    """A watch that is cancelled again, while its messages end, leaves no subscription on the connection."""
    ending, ends = asyncio.Event(), asyncio.Event()

    async def words() -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"text": "a"}
            await asyncio.Event().wait()
        finally:
            ending.set()
            await ends.wait()

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            talk = connection.watch("talk/py", messages=words())
            assert (await anext(talk))["text"] == "A"
            following = asyncio.ensure_future(anext(talk))
            await asyncio.sleep(0)
            following.cancel()
            await ending.wait()
            following.cancel()
            ends.set()
            await asyncio.wait([following])
            assert not connection._client.subscriptions()

    run(main)


def test_channels_of_the_identity(site: Site) -> None:
    """A channel that comes with the client's token can be watched like any other."""

    async def main() -> None:
        async with connect(site.gate.url, token=token("ann", channels=["note/own"])) as connection:
            notes = await subscribed(site, connection, "note/own")
            await publish(site, "note/own", 5)
            assert await until(notes, 5)

    run(main)


def test_messages_to_a_topic(site: Site) -> None:
    """A message to a topic's handler is published; a refusal is an error."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = connection.watch("room/client", Note)
            first = asyncio.create_task(anext(values))
            while first not in (await asyncio.wait([first], timeout=PAUSE))[0]:
                await connection.publish("room/client", {"number": 7})
            assert first.result() == Note(number=7)
            with pytest.raises(ServerRefused, match=r"room/client: Not that\. \(409\)") as raised:
                await connection.publish("room/client", {"refuse": True})
            assert (raised.value.status, raised.value.detail) == (409, "Not that.")

    run(main)


async def subscribed(site: Site, connection: ClientConnection, channel: str) -> AsyncIterator[Any]:
    """Watch a channel until one value has arrived."""
    values = connection.watch(channel)
    first = asyncio.create_task(anext(values))
    while not first.done():
        await publish(site, channel, 0)
        await asyncio.wait([first], timeout=PAUSE)
    return values


async def until(values: AsyncIterator[Any], last: Any) -> list[Any]:
    """Return the values up to the given one."""
    taken = [await anext(values)]
    while taken[-1] != last:
        taken.append(await anext(values))
    return [value for value in taken if value != 0]


def test_a_lost_connection_loses_nothing(site: Site) -> None:
    """Values published while the gate was shut arrive when it opens, once and in order."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = await subscribed(site, connection, "note/resumes")
            site.gate.shut()
            await publish(site, "note/resumes", *range(1, 500))
            site.gate.open()
            assert await until(values, 499) == list(range(1, 500))

    run(main)


def test_positions_resume_a_watch_in_another_process(site: Site) -> None:
    """A watch that begins at a position has everything since, and fails if the log does not have it any more."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            await publish(site, "note/placed", 1, 2, 3)
            first, *_ = await connection.history("note/placed", int)
            later = connection.publications("note/placed", int, since=first.position)
            assert [each.value for each in await take(later, 2)] == [2, 3]
            await publish(site, "note/placed", 4)
            (last,) = await take(later, 1)
            assert last == (first.position._replace(offset=first.position.offset + 3), 4, {})
            gone = Position("gone", 7)
            with pytest.raises(ValuesLost):
                await take(connection.publications("note/placed", int, since=gone), 1)
            rest = connection.publications("note/placed", int, since=gone, lossy=True)
            assert [each.value for each in await take(rest, 4)] == [1, 2, 3, 4]

    run(main)


@pytest.mark.parametrize("name", ["few", "resumed", "withheld"])
def test_a_lossy_watch_goes_on(site: Site, name: str) -> None:
    """After its position is lost, a lossy watch gets later values, whether or not the server shows earlier ones."""
    channel = f"{name}/lossy"

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = connection.publications(channel, since=Position("gone", 7), lossy=True)
            for number in (1, 2):
                arrival = asyncio.create_task(until((each.value async for each in values), number))
                while not arrival.done():
                    await publish(site, channel, number)
                    await asyncio.wait([arrival], timeout=PAUSE)
                assert arrival.result()[-1] == number
                site.gate.shut()
                await publish(site, channel, *range(10, 60))
                site.gate.open()

    run(main)


def test_changes_of_the_connection_are_reported(site: Site) -> None:
    """The application learns that the connection is made, lost, made again, and closed."""
    states: list[str] = []

    async def main() -> None:
        async with connect(site.gate.url, on_connection=lambda change: states.append(change.state)) as connection:
            values = await subscribed(site, connection, "note/states")
            site.gate.shut()
            await waiting.until(lambda: "connecting" in states)
            site.gate.open()
            await waiting.until(lambda: states[-1] == "connected")
            await publish(site, "note/states", 9)
            await until(values, 9)
        assert (states[0], states[-1]) == ("connected", "closed")

    run(main)


def test_what_on_connection_raises(site: Site) -> None:
    """It ends all watches, also later ones; while the connection is made, it ends that."""
    bad = {"connected"}

    def check(change: ConnectionChange) -> None:
        if change.state in bad:
            raise LookupError(change.state)

    async def main() -> None:
        with pytest.raises(LookupError, match="connected"):
            await anext(watch(site.gate.url, "note/checked", on_connection=check))
        bad.clear()
        async with connect(site.gate.url, on_connection=check) as connection:
            values = await subscribed(site, connection, "note/checked")
            bad.add("connecting")
            site.gate.cut()
            for watched in (values, connection.watch("note/checked"), connection.watch("note/other")):
                with pytest.raises(LookupError, match="connecting"):
                    await until(watched, None)

    run(main)


@pytest.mark.parametrize("newest", [False, True])
def test_a_text_that_grows(site: Site, newest: bool) -> None:
    """Each value is the whole text, whatever was appended, and also after a lost connection."""

    async def main() -> None:
        channel = f"answer/{newest}"
        await publish(site, channel, "Once ")
        async with connect(site.gate.url) as connection:
            values = connection.watch(channel, str, newest=newest)
            assert await anext(values) == "Once "
            await append(site, channel, "upon ", 'a "time"')
            assert (await until(values, 'Once upon a "time"'))[-1].startswith("Once ")
            site.gate.shut()
            await append(site, channel, ", ", "…")
            site.gate.open()
            assert (await until(values, 'Once upon a "time", …'))[-1].startswith("Once ")
            await publish(site, channel, "The end")
            await append(site, channel, ".")
            assert (await until(values, "The end."))[-1] == "The end."

    run(main)


def test_rows_that_grow(site: Site) -> None:
    """Each value is the change of a whole row."""

    async def main() -> None:
        await publish(site, "chat/grows", {"id": 1, "text": "a"}, {"id": 2, "text": "x"})
        async with connect(site.gate.url) as connection:
            values = connection.watch("chat/grows")
            assert [each["key"] for each in await take(values, 2)] == [1, 2]
            await append(site, "chat/grows", [1, "b"])
            assert await anext(values) == {"key": 1, "value": {"id": 1, "text": "ab"}}
            await append(site, "chat/grows", [2, "y"])
            assert await anext(values) == {"key": 2, "value": {"id": 2, "text": "xy"}}

    run(main)


def test_what_is_lost_for_good_is_an_error(site: Site) -> None:
    """More values than the log holds have passed."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = await subscribed(site, connection, "few/lost")
            site.gate.shut()
            await publish(site, "few/lost", *range(1, 50))
            site.gate.open()
            with pytest.raises(ValuesLost, match="lossy=True"):
                await until(values, None)

    run(main)


def test_the_newest_after_a_cut(site: Site) -> None:
    """With a log of the newest value, that arrives, and the loop continues."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = await subscribed(site, connection, "price/resumes")
            site.gate.shut()
            await publish(site, "price/resumes", 1, 2, 3)
            site.gate.open()
            assert await until(values, 3) == [3]

    run(main)


def test_who_does_not_take_values(site: Site) -> None:
    """More values than may wait are an error, unless only the newest counts."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            slow = connection.watch("note/slow", int, backlog=10)
            newest = connection.watch("note/slow", int, newest=True)
            first = [asyncio.create_task(anext(each)) for each in (slow, newest)]
            while not all(each.done() for each in first):
                await publish(site, "note/slow", 0)
                await asyncio.wait(first, timeout=PAUSE)
            await publish(site, "note/slow", *range(1, 1000))
            taken = await until(newest, 999)
            assert taken == sorted(set(taken))
            assert len(taken) < 500
            with pytest.raises(TooSlow, match="over 10 values"):
                await until(slow, None)

    run(main)


def test_leaving_the_loop_ends_the_subscription(site: Site) -> None:
    """The same path can be watched again on the connection, even twice at a time."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            async with aclosing(connection.watch("talk/leaves", message={"text": "a"})) as answers:
                assert (await anext(answers))["text"] == "A"
            async with aclosing(connection.watch("talk/leaves", message={"text": "b"})) as answers:
                assert (await anext(answers))["text"] == "B"
                async with aclosing(connection.watch("talk/leaves", message={"text": "c"})) as others:
                    assert (await anext(others))["text"] == "C"

    run(main)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:1", "ws://h:1/live/websocket"),
        ("https://h/", "wss://h/live/websocket"),
        ("ws://h/connection/websocket?a=b", "ws://h/connection/websocket?a=b"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    """A server's URL is enough."""
    assert address_of(url) == address


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://", ""])
def test_what_is_no_address(url: str) -> None:
    """The error shows a valid URL."""
    with pytest.raises(ValueError, match="http://localhost:8000"):
        address_of(url)


def test_a_connection_that_is_refused_for_good(site: Site) -> None:
    """Everything started on it fails with the code, and does not wait."""

    async def main() -> None:
        async with connect(site.gate.url, token="no token at all") as connection:
            for _ in range(2):
                with pytest.raises(ServerRefused) as raised:
                    await take(connection.watch("note/refused"), 1)
                assert raised.value.code == 3500
            with pytest.raises(ServerRefused):
                await connection.call("add", {"a": 1, "b": 2})

    run(main)


def test_a_client_that_the_app_unsubscribes(site: Site) -> None:
    """The loop ends with an error: neither the feed nor the run is complete."""

    async def main() -> None:
        async with connect(site.gate.url, token=token("eve")) as connection:
            for channel, message in (("talk/eve", {"text": "a"}), ("ticks/eve", None)):
                values = connection.watch(channel, message=message)
                await anext(values)
                does = {"user": "eve", "does": "unsubscribe", "given": {"channel": channel}}
                await asyncio.to_thread(tell, site.server, "clients", does)
                with pytest.raises(ServerRefused, match=rf"{channel}: server unsubscribe \(2000\)"):
                    [value async for value in values]

    run(main)


def test_status_of_the_source(site: Site) -> None:
    """The client learns that the source fails and why, and that it is live again; the end ends the loop, also later."""

    async def main() -> None:
        told: list[SourceHealth] = []
        async with connect(site.gate.url) as connection:
            assert [each async for each in connection.watch("unsteady/a", int, on_status=told.append)] == [1, 2]
            assert [(each.state, each.reason) for each in told] == [("failing", "closed for maintenance"), ("live", "")]
            assert told[0].since <= told[1].since
            assert [each async for each in connection.watch("unsteady/a", int, on_status=told.append)] == [1, 2]
            assert len(told) == 2

    run(main)


def test_refusal_by_the_generator(site: Site) -> None:
    """A generator that raises an ``HTTPException`` ends the loop after its values, and refuses later ones."""

    async def main() -> None:
        async with connect(site.gate.url) as connection:
            values = connection.watch("unsteady/refuses", int)
            assert await take(values, 1) == [1]
            with pytest.raises(ServerRefused) as caught:
                await take(values, 1)
            assert caught.value.code == 2410
            assert (caught.value.status, caught.value.detail) == (410, {"left": "refuses"})
            with pytest.raises(ServerRefused) as caught:
                await take(connection.watch("unsteady/refuses", int), 1)
            assert (caught.value.code, caught.value.detail) == (410, {"left": "refuses"})

    run(main)


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
def test_status_that_the_code_cannot_take(site: Site, kind: type[BaseException]) -> None:
    """An exception of ``on_status`` ends the watch, whatever its type."""

    def fail(status: SourceHealth) -> None:
        raise kind(status.reason)

    async def main() -> None:
        with pytest.raises((LookupError, RuntimeError), match=f"closed for maintenance|{kind.__name__}"):
            await take(watch(site.gate.url, f"unsteady/{kind.__name__}", int, on_status=fail), 3)

    run(main)
