"""The multiplexed surface, end to end in process: connections, bad requests, and the order of commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, SIDES, Fields, Frame, Side
from tests.exchanges import Exchange
from tests.lanes.turns import counting_turns, turns, until
from tests.live.multiplexing import Speaker, speaking
from wirespeed import Live, Message, Settings, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Gate:
    """A dependency that waits until it is opened, and counts the clients that have reached it."""

    def __init__(self) -> None:
        self.came = 0
        self.ended = 0
        self._open = asyncio.Event()

    async def __call__(self) -> None:
        self.came += 1
        try:
            await self._open.wait()
        finally:
            self.ended += 1

    def open(self) -> None:
        """Let all clients through."""
        self._open.set()


def news_of(live: Live, path: str = "/news", **options: Any) -> Topic[[], str]:
    """Declare a topic of texts."""
    topic: Topic[[], str] = live.topic(path, str, **options)
    return topic


def echo_of(live: Live, path: str = "/room", **options: Any) -> Topic[[], str]:
    """Declare a topic that publishes its watchers' messages in capitals."""
    room = news_of(live, path, **options)

    @room.on_message
    async def say(text: Annotated[str, Message()]) -> None:
        if text == "no":
            raise HTTPException(409, "Not that.")
        room.publish(text.upper())

    return room


# Connections


async def test_connect(app: FastAPI, live: Live, side: Side) -> None:
    """The client receives its id, the server's name, and the interval of pings."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        seen = await speaker.connected(name="test", version="1", data={"a": 1})
    assert UUID(seen.pop("client")).version == 4
    assert seen.pop("version").startswith("wirespeed ")
    assert seen == {"ping": 25, "pong": True}


async def test_first_frame_may_have_everything(app: FastAPI, live: Live, side: Side) -> None:
    """Commands after the connect in the same frame are processed after it, and answered in order."""
    news_of(live)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.say({"connect": {}}, {"subscribe": {"channel": "news"}}, {"unsubscribe": {"channel": "news"}})
        seen = [await speaker.hear() for _ in range(3)]
    assert [set(each) - {"id"} for each in seen] == [{"connect"}, {"subscribe"}, {"unsubscribe"}]


@pytest.mark.parametrize(
    ("offered", "chosen", "kind"),
    [
        ([], None, str),
        (["centrifuge-json"], "centrifuge-json", str),
        (["centrifuge-protobuf"], "centrifuge-protobuf", bytes),
        (["centrifuge-protobuf", "centrifuge-json"], "centrifuge-json", str),
        (["other", "centrifuge-protobuf"], "centrifuge-protobuf", bytes),
        (["other"], None, str),
    ],
)
def test_subprotocols(app: FastAPI, live: Live, offered: list[str], chosen: str | None, kind: type[Any]) -> None:
    """The format is the one that is offered, JSON before Protobuf; without an offer it is JSON."""
    side = PROTOBUF_SIDE if kind is bytes else JSON_SIDE
    frame = side.frame([{"id": 1, "connect": {}}])
    with TestClient(app) as client, client.websocket_connect("/live/websocket", subprotocols=offered) as websocket:
        assert websocket.accepted_subprotocol == chosen
        websocket.send({"type": "websocket.receive", "text" if kind is str else "bytes": frame})
        seen = websocket.receive()
        assert "connect" in side.framed(seen["text"] if kind is str else seen["bytes"])[0]


@pytest.mark.parametrize(
    "query", ["format=protobuf", "cf_protocol=protobuf", "cf_protocol=protobuf&cf_protocol_version=v2"]
)
async def test_protobuf_by_query(app: FastAPI, live: Live, query: str) -> None:
    """The query names the format if no subprotocol can be offered."""
    async with lifespan(app), connect(app, f"/live/websocket?{query}") as client:
        speaker = Speaker(client, PROTOBUF_SIDE)
        assert "client" in await speaker.connected()


async def test_pings_of_the_transport(app: FastAPI, live: Live) -> None:
    """A client that asks for WebSocket pings receives none by the protocol, and no interval."""
    async with lifespan(app), connect(app, "/live/websocket?cf_ws_frame_ping_pong=true") as client:
        assert set(await Speaker(client, JSON_SIDE).connected()) == {"client", "version"}


async def test_clients_have_ids(app: FastAPI, live: Live) -> None:
    """Each client has a unique id, by which the app knows it."""
    async with lifespan(app), speaking(app) as one, speaking(app, connects=False) as other:
        seen = await other.connected()
        ids = [each.id for each in live.clients()]
        assert len(set(ids)) == 2
        assert seen["client"] == ids[1]
        await one.client.disconnect()
        assert [each.id for each in live.clients()] == ids[1:]


async def test_many_commands_at_once(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are processed in slices, other tasks run in between, and all are answered in order."""
    monkeypatch.setattr("wirespeed.surfaces.multiplex.inbound.SLICE", 0.0)
    async with lifespan(app), speaking(app, JSON_SIDE) as speaker:
        ids = range(1000, 1100)
        frames = [ids[:50], ids[50:]]
        async with counting_turns() as had:
            for frame in frames:
                lines = [json.dumps({"id": id_, "unsubscribe": {"channel": "a"}}) for id_ in frame]
                await speaker.send("\n".join(lines))
            for id_ in ids:
                assert "unsubscribe" in await speaker.reply(id_)
            assert had() >= 100


# Violations of the protocol


CONNECT: Fields = {"id": 1, "connect": {}}

BROKEN: list[tuple[Frame | list[Fields], int]] = [
    ("", 3501),
    ("\n", 3501),
    ("{bad", 3501),
    ("[]", 3501),
    ("1", 3501),
    ('{"id":1,"connect":{}}\n\n', 3501),
    ('{"id":"1","connect":{}}', 3501),
    ('{"id":1.5,"connect":{}}', 3501),
    ('{"id":-1,"connect":{}}', 3501),
    ('{"id":4294967296,"connect":{}}', 3501),
    ('{"connect":{}}', 3501),
    (b'{"id":1,"connect":{}}', 3501),
    ([{"id": 1, "subscribe": {"channel": "news"}}], 3501),
    ([{"id": 1, "rpc": {"method": "call"}}], 3501),
    ([{"send": {"data": 1}}], 3501),
    ([{}], 3501),
    ([CONNECT, CONNECT], 3501),
    ([CONNECT, {}], 3501),
    ([CONNECT, {"id": 2, "ping": {}}], 3501),
    ([CONNECT, {"send": {"data": 1}}], 3508),
]


MALFORMED = [
    '{"id":2}',
    '{"id":2,"subscribe":{"channel":""}}',
    '{"id":2,"publish":{"data":1}}',
    '{"id":2,"subscribe":{"channel":"news","delta":"other"}}',
    '{"id":2,"refresh":{"token":""}}',
    '{"id":2,"connect":[]}',
    '{"id":2,"subscribe":{"channel":7}}',
    '{"id":2,"subscribe":{"channel":"note","data":"\\ud83d"}}',
    '{"id":2,"subscribe":{"channel":"\\ud83d"}}',
    '{"publish":{"channel":"note","data":"\\ud83d"},"id":2}',
    '{"id":2,"rpc":{"method":"call","data":1e999}}',
    '{"id":2,"rpc":{"method":"call","data":NaN}}',
    '{"rpc":{"method":"call","data":' + "[" * 1000 + "]" * 1000 + '},"id":2}',
    '\ufeff{"id":2,"rpc":{"method":"call"}}',
]


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_commands(app: FastAPI, live: Live, line: str) -> None:
    """A command that cannot be read is answered with an error; the rest of its frame is processed."""
    news_of(live)
    async with lifespan(app), speaking(app, JSON_SIDE) as speaker:
        await speaker.send(line + '\n{"id":3,"unsubscribe":{"channel":"other"}}')
        assert (await speaker.reply(2))["error"]["code"] == 107
        assert "unsubscribe" in await speaker.reply(3)


@pytest.mark.parametrize(
    "connect",
    [
        "[]",
        '{"token":7}',
        '{"token":"\\ud800"}',
        '{"data":1e999}',
        '{"headers":{"Authorization":"Bearer \\ud800"}}',
        '{"subs":{"\\ud800":{}}}',
        '{"data":' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"subs":{"news":{"tf":{"op":"not"}}}}',
        '{"subs":{"news":{"tf":{"key":"t","cmp":"lt","val":"x"}}}}',
        '{"subs":{"news":{"tf":{"key":"t","cmp":"ex"},"delta":"fossil"}}}',
    ],
    ids=range(10),
)
async def test_malformed_connects(app: FastAPI, live: Live, connect: str) -> None:
    """A connect that cannot be read is answered with an error as well."""
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.send('{"id":1,"connect":' + connect + "}")
        assert (await speaker.reply(1))["error"]["code"] == 107


@pytest.mark.parametrize(("frame", "code"), BROKEN, ids=range(len(BROKEN)))
async def test_broken_protocol(app: FastAPI, live: Live, frame: Frame | list[Fields], code: int) -> None:
    """A broken frame ends the connection with a code that forbids reconnecting; other clients are not affected."""
    news = news_of(live)
    async with lifespan(app), speaking(app) as other:
        await other.subscribed("news")
        async with speaking(app, connects=False) as speaker:
            await speaker.send(JSON_SIDE.frame(frame) if isinstance(frame, list) else frame)
            assert (await speaker.farewell())[0] == code
        news.publish("still here")
        assert await other.pub("news") == "still here"
        assert live.statistics().connections == 1
        assert sum(live.statistics().refused.values()) == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", 3501),
        (b"\x05abc", 3501),
        (b"\xff" * 11, 3501),
        (b"\x02\x08\x01", 3501),
        (b"\x04\x22\x02\x0a\x05", 3501),
        ("text", 3501),
        (PROTOBUF_SIDE.frame([CONNECT, {}]), 3501),
        (PROTOBUF_SIDE.frame([CONNECT, {"send": {"data": 1}}]), 3508),
    ],
)
async def test_broken_protobuf(app: FastAPI, live: Live, frame: Frame, code: int) -> None:
    """The same holds in the other format."""
    async with lifespan(app), speaking(app, PROTOBUF_SIDE, connects=False) as speaker:
        await speaker.send(frame)
        assert (await speaker.farewell())[0] == code


async def test_commands_before_a_broken_one_are_done(app: FastAPI, live: Live, side: Side) -> None:
    """Their answers precede the end, as far as they are known by then."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.say(
            {"connect": {}}, {"unsubscribe": {"channel": "a"}}, {"ping": {}}, {"unsubscribe": {"channel": "b"}}
        )
        assert "connect" in await speaker.reply(1)
        assert "unsubscribe" in await speaker.reply(2)
        assert await speaker.farewell() == (3501, "bad request")


async def test_too_large(app: FastAPI, side: Side) -> None:
    """A message beyond the limit ends the connection; one of exactly that size is read."""
    Live(app, settings=Settings(max_message_bytes=1000))
    for size, ends in ((1000, False), (1001, True)):
        async with lifespan(app), speaking(app, side, connects=False) as speaker:
            await speaker.send(padded(side, size))
            if ends:
                assert await speaker.farewell() == (3501, "bad request")
            else:
                assert "connect" in await speaker.reply(1)


def padded(side: Side, size: int) -> Frame:
    """Return a connect command in a message of the given size."""
    for length in range(size):
        frame = side.frame([{"id": 1, "connect": {"name": "x" * length}}])
        if len(frame) == size:
            return frame
    raise ValueError(size)


async def test_too_many(app: FastAPI) -> None:
    """A client that sends more messages per second than the limit is disconnected for a while."""
    live = Live(app, settings=Settings(max_messages_per_second=10))
    async with lifespan(app), speaking(app) as speaker:
        for _ in range(20):
            await speaker.say({"unsubscribe": {"channel": "a"}})
        assert await speaker.farewell() == (3013, "too many requests")
    assert live.statistics().refused == {"rate": 1}


async def test_too_many_in_one_message(app: FastAPI, side: Side) -> None:
    """Each command of a message counts: if there are too many, none is processed, and all are counted."""
    live = Live(app, settings=Settings(max_messages_per_second=10))
    calls: list[int] = []

    @live.call("/count")
    async def count() -> int:
        calls.append(1)
        return len(calls)

    async with lifespan(app), speaking(app, side) as speaker:
        for id_ in await speaker.say(*[{"rpc": {"method": "count"}}] * 5):
            await speaker.reply(id_)
        await speaker.say(*[{"rpc": {"method": "count"}}] * 300)
        assert await speaker.farewell() == (3013, "too many requests")
    assert len(calls) == 5
    assert live.statistics().refused == {"rate": 300}


async def test_too_many_are_not_read(app: FastAPI, side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message with more commands than the rate and all excused subscribes is refused without a look into it."""
    live = Live(app, settings=Settings(max_messages_per_second=10, max_subscriptions=20))
    monkeypatch.setattr(type(side.codec), "subscribes", None)  # reading them would fail
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(*[{"subscribe": {"channel": "news"}}] * 300)
        assert await speaker.farewell() == (3013, "too many requests")
    assert live.statistics().refused == {"rate": 300}


async def test_get_with_many_commands(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work of the loop runs while the commands of a GET are checked, which may only connect."""
    Live(app)
    monkeypatch.setattr("wirespeed.hub.turns.SLICE", 0.0)
    commands = [{"id": 1}] * 500 + [{"id": 2, "rpc": {"method": "count"}}]
    path = f"/live/sse?cf_connect={quote(str(JSON_SIDE.frame(commands)))}"
    async with lifespan(app), counting_turns() as had, Exchange(app, path) as response:
        assert (response.status, had() > 500) == (400, True)


async def test_return_with_many_subscriptions(app: FastAPI, side: Side) -> None:
    """A reconnecting client may subscribe to all of its channels at once, whatever the rate, but only once."""
    live = Live(app, settings=Settings(max_messages_per_second=5, max_subscriptions=20))
    news_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        for id_ in await speaker.say(*[{"subscribe": {"channel": f"news?{at}"}} for at in range(20)]):
            assert "subscribe" in await speaker.reply(id_)
        await speaker.say(*[{"subscribe": {"channel": f"news?{at}"}} for at in range(20)])
        assert await speaker.farewell() == (3013, "too many requests")
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(*[{"subscribe": {"channel": "news"}}] * 5, *[{"rpc": {"method": "none"}}] * 6)
        assert await speaker.farewell() == (3013, "too many requests")
    assert live.statistics().refused == {"rate": 31}


async def test_filters_are_bounded(app: FastAPI, side: Side) -> None:
    """The filters of one connection have a total size; one that ends makes room for another."""
    live = Live(app, settings=Settings(max_subscription_bytes=2000))
    news_of(live)
    wanted: Fields = {"tf": {"key": "k", "cmp": "in", "vals": ["a", "b"] * 5}}
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news", **wanted)
        await speaker.subscribed("/news", **wanted)
        assert await speaker.refused("news?1", **wanted) == 106
        assert await speaker.refused("news?1", data=[0] * 100) == 106
        await speaker.ask({"unsubscribe": {"channel": "news"}})
        await speaker.subscribed("news?1", **wanted)


@pytest.mark.parametrize("wanted", [{"token": "t" * 900}, {"recover": True, "epoch": "e" * 900}])
async def test_tokens_are_bounded(app: FastAPI, side: Side, wanted: Fields) -> None:
    """Tokens and epochs count as filters do: they are kept as long."""
    live = Live(app, settings=Settings(max_subscription_bytes=2000))
    news_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news", **wanted)
        await speaker.subscribed("/news", **wanted)
        assert await speaker.refused("news?1", **wanted) == 106


async def test_messages_of_streams_that_end_slowly_are_bounded(app: FastAPI, side: Side) -> None:
    """They count beyond the unsubscribe, until the run has ended; a subscription can be replaced all the same."""
    live, may_end = Live(app, settings=Settings(max_subscription_bytes=2000)), asyncio.Event()

    @live.stream("/slow")
    async def slow(text: Annotated[str, Message()]) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    async def replace() -> None:
        await speaker.subscribed("slow", data="x" * 1500)
        await speaker.push()
        await speaker.ask({"unsubscribe": {"channel": "slow"}})

    async with lifespan(app), speaking(app, side) as speaker:
        await replace()
        await replace()
        assert await speaker.refused("slow", data="x") == 106
        may_end.set()
        await turns(5)
        await replace()


@pytest.mark.parametrize("says", [[], [{"connect": {"token": "refused"}}]])
async def test_no_connect(app: FastAPI, says: list[Fields]) -> None:
    """A client that sends no connect, or stays although it was refused, is disconnected."""

    async def nobody(token: str, connection: HTTPConnection) -> None:
        raise HTTPException(403)

    Live(app, settings=Settings(connect_timeout=0.05), authenticate=nobody)
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.say(*says) if says else None
        assert await speaker.farewell() == (3502, "stale")


async def test_pings(app: FastAPI, side: Side) -> None:
    """Pings continue as long as they are answered; a client that does not answer is disconnected and may reconnect."""
    Live(app, settings=Settings(ping_interval=0.1, pong_timeout=0.05))
    async with lifespan(app), speaking(app, side) as speaker:
        for _ in range(2):
            assert await speaker.push() == {}
            await speaker.send(side.frame([{}]))
        assert await speaker.push() == {}
        assert await speaker.farewell() == (3012, "no pong")


# Refusals that affect nothing else


REFUSED: list[tuple[Fields, int]] = [
    ({"subscribe": {"channel": "nothing"}}, 102),
    ({"subscribe": {"channel": "news"}}, 105),
    ({"subscribe": {"channel": "x" * 256}}, 107),
    ({"subscribe": {"channel": "number/x"}}, 107),
    ({"subscribe": {"channel": "/news", "tf": {"key": "a", "cmp": "like"}}}, 107),
    ({"subscribe": {"channel": "/news", "tf": {"key": "a", "cmp": "ex"}, "delta": "fossil"}}, 107),
    ({"subscribe": {"channel": "members"}}, 103),
    ({"subscribe": {"channel": "fails"}}, 100),
    ({"subscribe": {"channel": "/news", "recover": True, "epoch": "gone", "offset": 3, "flag": 2}}, 112),
    ({"subscribe": {"channel": "add"}}, 102),
    ({"subscribe": {"channel": "repeat", "data": {"wrong": 1}}}, 107),
    ({"publish": {"channel": "news", "data": "x"}}, 103),
    ({"publish": {"channel": "nothing", "data": "x"}}, 102),
    ({"publish": {"channel": "room", "data": 7}}, 107),
    ({"publish": {"channel": "room", "data": "no"}}, 409),
    ({"publish": {"channel": "members", "data": "x"}}, 103),
    ({"history": {"channel": "price", "limit": 1}}, 108),
    ({"history": {"channel": "news", "limit": 1, "since": {"epoch": "gone"}}}, 112),
    ({"history": {"channel": "news", "limit": 1, "since": {}, "reverse": True}}, 107),
    ({"history": {"channel": "nothing"}}, 102),
    ({"history": {"channel": "members"}}, 103),
    ({"presence": {"channel": "news"}}, 108),
    ({"presence_stats": {"channel": "news"}}, 108),
    ({"presence": {"channel": "nothing"}}, 102),
    ({"rpc": {"method": "nothing", "data": 1}}, 104),
    ({"rpc": {"data": 1}}, 104),
    ({"rpc": {"method": "add", "data": "x"}}, 107),
    ({"rpc": {"method": "add", "data": 418}}, 418),
    ({"rpc": {"method": "add", "data": 500}}, 100),
    ({"refresh": {"token": "t"}}, 108),
    ({"sub_refresh": {"channel": "news", "token": "t"}}, 108),
    ({"sub_refresh": {"channel": "none", "token": "t"}}, 103),
]


def everything(live: Live) -> Topic[[], str]:
    """Declare one definition of each kind; return the topic without guards."""

    def members() -> None:
        raise HTTPException(403)

    def fails() -> None:
        raise RuntimeError("a secret")

    @live.topic("/number/{number}", str)
    def number(number: int) -> None: ...

    @live.call("/add")
    async def add(number: Annotated[int, Message()]) -> int:
        if number == 418:
            raise HTTPException(418, "I am a teapot.")
        if number == 500:
            raise RuntimeError("a secret")
        return number + 1

    @live.stream("/repeat")
    async def repeat(message: list[str]) -> AsyncIterator[str]:
        for each in message:
            yield each

    news_of(live, "/members", dependencies=[Depends(members)])
    news_of(live, "/fails", dependencies=[Depends(fails)])
    news_of(live, "/price", keep="latest")
    echo_of(live)
    return news_of(live)


async def test_refusals(app: FastAPI, live: Live, side: Side) -> None:
    """Each refusal has its code and reason, and affects neither the connection, its subscriptions nor other clients."""
    news = everything(live)
    async with lifespan(app), speaking(app, side) as speaker:
        epoch = (await speaker.subscribed("news"))["epoch"]
        for at, (command, code) in enumerate(REFUSED, start=1):
            (seen,) = [(await speaker.ask(command))["error"]]
            assert (seen["code"], command) == (code, command)
            assert seen["message"]
            assert "secret" not in seen["message"]
            news.publish(str(at))
            assert await speaker.pub("news") == str(at)
        assert (await speaker.ask({"history": {"channel": "news"}}))["history"]["epoch"] == epoch
        (client,) = live.clients()
        assert client.channels == ["news"]


async def test_refusals_in_one_frame(app: FastAPI, live: Live, side: Side) -> None:
    """Refusals and valid commands in one frame each get their own answer."""
    everything(live)
    good: Fields = {"rpc": {"method": "add", "data": 1}}
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news")
        ids = await speaker.say(*[each for command, _ in REFUSED for each in (command, good)])
        seen = [await speaker.reply(each) for each in ids]
    assert [each["error"]["code"] for each in seen[::2]] == [code for _, code in REFUSED]
    assert seen[1::2] == [{"rpc": {"data": 2}}] * len(REFUSED)


async def test_ten_thousand_subscribes(app: FastAPI) -> None:
    """A client gets at most its number of subscriptions, and an answer to each; others are served meanwhile."""
    live = Live(app, settings=Settings(max_messages_per_second=10_000))
    channel = live.topic("/number/{number}", str)

    @channel
    def number(number: int) -> None: ...

    news = news_of(live)
    async with lifespan(app), speaking(app, max_waiting=20_000) as speaker, speaking(app) as other:
        await other.subscribed("news")
        for first in range(0, 10_000, 500):
            await speaker.say(*({"subscribe": {"channel": f"number/{at}"}} for at in range(first, first + 500)))
        news.publish("meanwhile")
        assert await other.pub("news") == "meanwhile"
        seen = [await speaker.reply(id_) for id_ in range(2, 10_002)]
        assert sum("subscribe" in each for each in seen) == Settings().max_subscriptions
        assert {each["error"]["code"] for each in seen if "error" in each} == {106}
        assert channel.statistics().watchers == Settings().max_subscriptions
    assert channel.statistics().watchers == 0


async def test_too_many_at_a_time(app: FastAPI) -> None:
    """Only a limited number of slow commands runs at once; the client is asked to try again, and may."""
    live = Live(app, settings=Settings(max_subscriptions=3, max_inbox_messages=2))
    gate = Gate()

    @live.call("/wait")
    async def wait(gate: Annotated[None, Depends(gate)]) -> int:
        return 1

    async with lifespan(app), speaking(app) as speaker:
        ids = await speaker.say(*[{"rpc": {"method": "wait"}}] * 8)
        assert [(await speaker.reply(each))["error"]["code"] for each in ids[5:]] == [111] * 3
        gate.open()
        assert [await speaker.reply(each) for each in ids[:5]] == [{"rpc": {"data": 1}}] * 5
        assert await speaker.ask({"rpc": {"method": "wait"}}) == {"rpc": {"data": 1}}


# Commands about a channel keep their order


async def test_slow_subscription_keeps_nobody_waiting(app: FastAPI, live: Live, side: Side) -> None:
    """Subscriptions of one connection are resolved concurrently."""
    gate = Gate()
    news_of(live, "/slow", dependencies=[Depends(gate)])
    news = news_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        slow, quick = await speaker.say({"subscribe": {"channel": "slow"}}, {"subscribe": {"channel": "news"}})
        assert "subscribe" in await speaker.reply(quick)
        news.publish("a")
        assert await speaker.pub("news") == "a"
        gate.open()
        assert "subscribe" in await speaker.reply(slow)


async def test_commands_wait_for_the_subscription(app: FastAPI, live: Live, side: Side) -> None:
    """Commands about a channel that is being subscribed are processed afterwards, in order."""
    gate = Gate()
    echo_of(live, dependencies=[Depends(gate)], presence=True)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(
            {"subscribe": {"channel": "room"}},
            {"publish": {"channel": "room", "data": "a"}},
            {"publish": {"channel": "room", "data": "b"}},
            {"presence_stats": {"channel": "room"}},
            {"unsubscribe": {"channel": "room"}},
        )
        await until(lambda: gate.came)
        assert await speaker.quiet() == []
        gate.open()
        seen = [set(await speaker.reply(id_)) for id_ in range(2, 7)]
        assert seen == [{"subscribe"}, {"publish"}, {"publish"}, {"presence_stats"}, {"unsubscribe"}]
        assert gate.came == 1


@pytest.mark.parametrize("how", ["client", "server", "complete"])
async def test_publishing_to_a_subscription_that_ends(
    app: FastAPI, live: Live, side: Side, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is being handled when its subscription ends is answered, and so are those behind it."""
    monkeypatch.setattr("wirespeed.surfaces.handling.HANDLING_TIMEOUT", 0.01)  # this handler never ends by itself
    news, began = news_of(live), list[str]()

    @news.on_message
    async def take(text: Annotated[str, Message()]) -> None:
        began.append(text)
        await asyncio.Event().wait()

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news")
        ids = await speaker.say(*[{"publish": {"channel": "news", "data": text}} for text in "abc"])
        await until(lambda: began)
        if how == "client":
            await speaker.say({"unsubscribe": {"channel": "news"}})
        elif how == "server":
            await live.revoke(feed=news)
        else:
            news.complete()
        errors = [(await speaker.reply(id_))["error"] for id_ in ids]
        assert [each["code"] for each in errors] == [103] * 3
        assert began == ["a"]
        assert live.statistics().refused["subscription ended"] == 3


async def test_unsubscribing_while_subscribing(app: FastAPI, live: Live, side: Side) -> None:
    """The subscription ends as soon as it exists; nothing of the channel follows."""
    gate = Gate()
    news = news_of(live, dependencies=[Depends(gate)], presence=True)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say({"subscribe": {"channel": "news"}}, {"unsubscribe": {"channel": "news"}})
        await until(lambda: gate.came)
        gate.open()
        assert [set(await speaker.reply(id_)) for id_ in (2, 3)] == [{"subscribe"}, {"unsubscribe"}]
        news.publish("too late")
        assert await speaker.quiet() == []
        assert news.statistics().watchers == 0
        await speaker.subscribed("news")
        news.publish("again")
        assert await speaker.pub("news") == "again"


async def test_subscribing_again_while_unsubscribing(app: FastAPI, live: Live, side: Side) -> None:
    """With repeated commands in one frame, each is answered in order, and the last one counts."""
    news = news_of(live)
    both: list[Fields] = [{"subscribe": {"channel": "news"}}, {"unsubscribe": {"channel": "news"}}]
    async with lifespan(app), speaking(app, side) as speaker:
        ids = await speaker.say(*both, *both, *both, both[0])
        seen = [next(iter(await speaker.reply(id_))) for id_ in ids]
        assert seen == ["subscribe", "unsubscribe"] * 3 + ["subscribe"]
        news.publish("a")
        assert await speaker.pub("news") == "a"
        assert news.statistics().watchers == 1


async def test_subscribing_twice_while_unsubscribing(app: FastAPI, live: Live, side: Side) -> None:
    """The second subscribe is refused as at any other time, and there is one watcher."""
    news = news_of(live)
    subscribe: Fields = {"subscribe": {"channel": "news"}}
    async with lifespan(app), speaking(app, side) as speaker:
        ids = await speaker.say(subscribe, {"unsubscribe": {"channel": "news"}}, subscribe, subscribe)
        seen = [await speaker.reply(id_) for id_ in ids]
        assert [next(iter(each)) for each in seen] == ["subscribe", "unsubscribe", "subscribe", "error"]
        assert seen[3]["error"]["code"] == 105
        assert news.statistics().watchers == 1
    assert news.statistics().watchers == 0


async def test_commands_wait_for_a_refusal(app: FastAPI, live: Live, side: Side) -> None:
    """If the subscription is refused, waiting commands are processed as for any unsubscribed channel."""
    gate, asked = Gate(), []

    async def members(passed: Annotated[None, Depends(gate)], connection: HTTPConnection) -> None:
        asked.append(connection.url.path)
        raise HTTPException(403)

    echo_of(live, dependencies=[Depends(members)])
    async with lifespan(app), speaking(app, side) as speaker:
        ids = await speaker.say(
            {"subscribe": {"channel": "room"}},
            {"publish": {"channel": "room", "data": "a"}},
            {"history": {"channel": "room"}},
            {"unsubscribe": {"channel": "room"}},
        )
        await until(lambda: gate.came)
        gate.open()
        seen = [await speaker.reply(id_) for id_ in ids]
        assert [each.get("error", {}).get("code") for each in seen] == [103, 103, 103, None]
    assert asked == ["/room"] * 3


async def test_too_much_waits_for_a_subscription(app: FastAPI) -> None:
    """Only a limited number of commands may wait; further ones are refused at once."""
    live, gate = Live(app, settings=Settings(max_inbox_messages=2)), Gate()
    news_of(live, dependencies=[Depends(gate)])
    async with lifespan(app), speaking(app) as speaker:
        (subscribe,) = await speaker.say({"subscribe": {"channel": "news"}})
        ids = await speaker.say(*[{"history": {"channel": "news"}}] * 4)
        assert [(await speaker.reply(each))["error"]["code"] for each in ids[2:]] == [111, 111]
        gate.open()
        assert "subscribe" in await speaker.reply(subscribe)
        assert ["history" in await speaker.reply(each) for each in ids[:2]] == [True, True]


async def test_too_much_waits_for_an_end(app: FastAPI) -> None:
    """An unsubscribe that is refused ends nothing, so the channel cannot be subscribed again."""
    live, gate = Live(app, settings=Settings(max_inbox_messages=2)), Gate()
    news = news_of(live, dependencies=[Depends(gate)])
    subscribe: Fields = {"subscribe": {"channel": "news"}}
    async with lifespan(app), speaking(app) as speaker:
        (first,) = await speaker.say(subscribe)
        ids = await speaker.say(
            *[{"history": {"channel": "news"}}] * 2, {"unsubscribe": {"channel": "news"}}, subscribe
        )
        assert [(await speaker.reply(each))["error"]["code"] for each in ids[2:]] == [111, 105]
        gate.open()
        assert "subscribe" in await speaker.reply(first)
        assert (await speaker.ask(subscribe))["error"]["code"] == 105
        assert news.statistics().watchers == 1
    assert news.statistics().watchers == 0


@pytest.mark.parametrize(
    "command",
    [
        {"rpc": {"method": "x" * 256}},
        {"publish": {"channel": "x" * 256, "data": 1}},
        {"history": {"channel": "x" * 256}},
        {"subscribe": {"channel": "x" * 256}},
    ],
)
async def test_long_names(app: FastAPI, live: Live, side: Side, command: Fields) -> None:
    """Names of methods and channels have a maximum length, for every command."""
    news_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        error = (await speaker.ask(command))["error"]
        assert error["code"] == 107
        assert "has over 255 bytes" in error["message"]


async def test_questions_with_long_answers(app: FastAPI, live: Live, side: Side) -> None:
    """Questions of one frame are answered one by one, when the client has accepted the previous answers."""
    topic = news_of(live, keep=300)
    async with lifespan(app), speaking(app, side, max_waiting=1) as speaker:
        await speaker.subscribed("news")
        for _ in range(300):
            topic.publish("x" * 1000)
        while len(await speaker.quiet()):
            pass
        ids = await speaker.say(*[{"history": {"channel": "news", "limit": 300}}] * 100)
        await turns(200)
        assert live.statistics().bytes < 8 * 64 * 1024
        seen = [await speaker.reply(each) for each in ids]
        assert [each["history"]["offset"] for each in seen] == [300] * 100
        assert {len(each["history"]["publications"]) for each in seen} == {66}


async def test_questions_about_channels_of_others(app: FastAPI, live: Live) -> None:
    """Answers about unsubscribed channels are limited to what the client accepts as well."""
    topic = news_of(live, keep=300)
    async with lifespan(app), speaking(app, max_waiting=1) as speaker, speaking(app) as other:
        await other.subscribed("news")
        for _ in range(300):
            topic.publish("x" * 1000)
        ids = await speaker.say(*[{"history": {"channel": "news", "limit": 300}}] * 60)
        await turns(200)
        assert live.statistics().bytes < 8 * 64 * 1024
        seen = [await speaker.reply(each) for each in ids]
        assert [each["history"]["offset"] for each in seen] == [300] * 60


async def test_ending_before_it_begins(app: FastAPI, live: Live, side: Side) -> None:
    """A handler's open dependencies are closed when the subscription ends in its first moment."""
    opened: list[str] = []

    async def session() -> AsyncIterator[None]:
        opened.append("session")
        yield
        opened.pop()

    echo_of(live, dependencies=[Depends(session)])
    both: list[Fields] = [{"subscribe": {"channel": "room"}}, {"unsubscribe": {"channel": "room"}}]
    async with lifespan(app), speaking(app, side) as speaker:
        for id_ in await speaker.say(*both, *both):
            await speaker.reply(id_)
        await until(lambda: not opened)


# Leaving


async def test_leaving_gives_everything_back(app: FastAPI, live: Live, side: Side) -> None:
    """After the client has left, it neither watches, is present, nor can be reached."""
    room = echo_of(live, presence=True, join_leave=True)
    news = news_of(live)
    async with lifespan(app), speaking(app, side) as other:
        await other.subscribed("room")
        async with speaking(app, side) as speaker:
            await speaker.subscribed("room")
            await speaker.subscribed("news")
            await speaker.subscribed("/news")
            assert (room.statistics().watchers, news.statistics().watchers) == (2, 2)
            assert len(live.clients()) == 2
        assert (room.statistics().watchers, news.statistics().watchers) == (1, 0)
        assert (len(live.clients()), live.statistics().connections) == (1, 1)
        kinds = [next(iter(set(await other.push()) - {"channel"})) for _ in range(3)]
        assert kinds == ["join", "join", "leave"]
        stats = (await other.ask({"presence_stats": {"channel": "room"}}))["presence_stats"]
        assert stats == {"num_clients": 1, "num_users": 1}


async def test_leaving_while_commands_go_on(app: FastAPI, live: Live, side: Side) -> None:
    """Commands that wait in a dependency end with their client; commands that wait for them are not started."""
    gate = Gate()
    news = echo_of(live, "/news", dependencies=[Depends(gate)])

    @live.call("/call")
    async def call(gate: Annotated[None, Depends(gate)]) -> int:
        return 1

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say(
            {"subscribe": {"channel": "news"}},
            {"publish": {"channel": "news", "data": "a"}},
            {"history": {"channel": "news"}},
            {"presence": {"channel": "/news"}},
            {"rpc": {"method": "call"}},
        )
        await until(lambda: gate.came == 3)
        await speaker.client.disconnect()
        assert (gate.came, gate.ended) == (3, 3)
        assert (news.statistics().watchers, live.statistics().runs) == (0, 0)
        assert await news.snapshot() == []


async def test_leaving_before_connecting(app: FastAPI, live: Live) -> None:
    """A client that leaves without sending anything leaves nothing behind."""
    async with lifespan(app), speaking(app, connects=False):
        assert live.clients() == []
    assert live.statistics().connections == 0


@pytest.mark.parametrize("when", ["before", "while"])
async def test_app_that_stops(app: FastAPI, live: Live, side: Side, when: str) -> None:
    """Clients receive earlier publications and a code to reconnect; subscriptions in progress end."""
    gate = Gate()
    news = news_of(live)
    news_of(live, "/slow", dependencies=[Depends(gate)])
    async with lifespan(app):
        client = connect(app, "/live/websocket" + ("?format=protobuf" if side is PROTOBUF_SIDE else ""))
        speaker = Speaker(await client.__aenter__(), side)
        await speaker.connected()
        await speaker.subscribed("news")
        if when == "while":
            await speaker.say({"subscribe": {"channel": "slow"}})
            await until(lambda: gate.came)
        news.publish("last words")
        leaving = asyncio.ensure_future(speaker.farewell())
        await turns(1)
    assert await leaving == (3001, "shutdown")
    assert await speaker.pub("news") == "last words"
    assert gate.came == gate.ended
    await client.disconnect()


async def test_frames_are_joined(app: FastAPI, live: Live, side: Side) -> None:
    """Messages of many channels at the same time arrive in one frame."""
    topics = [news_of(live, f"/{name}") for name in "abcdefgh"]
    async with lifespan(app), speaking(app, side) as speaker:
        for topic in topics:
            await speaker.subscribed(topic.path)
        before = len(speaker.frames)
        for number in range(10):
            for topic in topics:
                topic.publish(str(number))
        seen = [await speaker.push() for _ in range(80)]
        assert len(speaker.frames) - before <= 3
        for topic in topics:
            mine = [each["pub"]["data"] for each in seen if each["channel"] == topic.path]
            assert mine == [str(number) for number in range(10)]


def test_json_is_on_one_line_each(app: FastAPI, live: Live) -> None:
    """A frame of many messages is split at line ends, whatever text the values contain."""
    topic = live.topic("/values", dict[str, str], replay=5)
    with TestClient(app) as client, client.websocket_connect("/live/websocket") as websocket:
        values = [{"a": "line\nline\r\n\u2028"}, {"\n": '"'}, {"emoji": "🦊"}]
        for value in values:
            topic.publish(value)
        websocket.send_text('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"values"}}')
        seen: list[Fields] = []
        while len(seen) < 5:
            seen += [json.loads(line) for line in websocket.receive_text().split("\n")]
        assert [each["push"]["pub"]["data"] for each in seen[2:]] == values
