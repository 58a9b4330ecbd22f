"""The multiplexed surface, in process: publications, recovery, and presence."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, JsonValue

from tests.centrifuge.recorded import compact
from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, SIDES, Fields, Side, json_or_text
from tests.centrifuge.test_fossil import applied
from tests.lanes.turns import turns, until
from tests.live.multiplexing import Speaker, speaking
from tests.live.source import End, Source
from tests.live.test_multiplex import Gate
from wirespeed import Live, Message, Sender, Settings, Tagged, Topic, current_sender, is_subscribed
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Row(BaseModel):
    name: str
    price: float = 0


def values_of(live: Live, path: str = "/values", **options: Any) -> Topic[[], Any]:
    """Declare a topic of any JSON."""
    topic: Topic[[], Any] = live.topic(path, JsonValue, **options)
    return topic


def at(heard: Fields, back: int = 0) -> Fields:
    """Return the position to recover from, after the given reply and a number of missed publications."""
    return {"recover": True, "epoch": heard["epoch"], "offset": heard.get("offset", 0) - back}


def data(heard: Fields) -> list[Any]:
    """Return the data of the publications in a reply."""
    return [each["data"] for each in heard.get("publications", ())]


# Publications


async def test_publications(app: FastAPI, live: Live, side: Side) -> None:
    """Publications arrive in order with their offsets; the first reply has the epoch."""
    topic = values_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        heard = await speaker.subscribed("values")
        assert heard == {"recoverable": True, "positioned": True, "epoch": heard["epoch"]}
        for value in ({"n": 1}, [2], "three"):
            topic.publish(value)
        pubs = [(await speaker.push())["pub"] for _ in range(3)]
        if side is JSON_SIDE:  # the SDK does not know it in Protobuf
            assert pubs[0].pop("epoch") == heard["epoch"]
        assert pubs == [{"data": {"n": 1}, "offset": 1}, {"data": [2], "offset": 2}, {"data": "three", "offset": 3}]


async def test_many_spellings(app: FastAPI, live: Live, side: Side) -> None:
    """Each spelling of a channel is a separate subscription, with pushes under its own name."""
    topic = values_of(live)
    channels = ["values", "/values", "values?x=1", "values?x=2"]
    async with lifespan(app), speaking(app, side) as speaker:
        for channel in channels:
            await speaker.subscribed(channel)
        topic.publish(1)
        pushes = [await speaker.push() for _ in channels]
        assert sorted(each["channel"] for each in pushes) == sorted(channels)
        assert await speaker.ask({"unsubscribe": {"channel": "/values"}}) == {"unsubscribe": {}}
        topic.publish(2)
        assert {(await speaker.push())["channel"] for _ in range(3)} == {*channels} - {"/values"}


async def test_newest(app: FastAPI, live: Live, side: Side) -> None:
    """A new watcher receives the newest value at once; the subscription is not positioned, because it may skip."""
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app, side) as speaker:
        for number in range(5):
            topic.publish(number)
        heard = await speaker.subscribed("values")
        assert (heard["recoverable"], heard.get("positioned", False)) == (True, False)
        assert await speaker.push() == {"channel": "values", "pub": {"data": 4, "offset": 5}}


async def test_replay(app: FastAPI, live: Live, side: Side) -> None:
    """The replayed values follow the reply, whose position precedes them."""
    topic = values_of(live, replay=2)
    async with lifespan(app), speaking(app, side) as speaker:
        for number in range(5):
            topic.publish(number)
        assert (await speaker.subscribed("values"))["offset"] == 3
        assert [await speaker.pub("values") for _ in range(2)] == [3, 4]


async def test_table(app: FastAPI, live: Live, side: Side) -> None:
    """The rows come first, then changes and removals."""
    table = live.topic("/table", Row, by="name")
    async with lifespan(app), speaking(app, side) as speaker:
        table.publish(Row(name="a"))
        table.publish(Row(name="b"))
        await speaker.subscribed("table")
        rows = [await speaker.pub("table") for _ in range(2)]
        assert rows == [{"key": name, "value": {"name": name, "price": 0.0}} for name in "ab"]
        table.remove("a")
        table.publish(Row(name="b", price=1))
        assert await speaker.pub("table") == {"key": "a", "removed": True}
        assert await speaker.pub("table") == {"key": "b", "value": {"name": "b", "price": 1.0}}


async def test_text_and_bytes(app: FastAPI, live: Live, side: Side) -> None:
    """Text is a JSON string; bytes are for Protobuf only, and other clients are refused with the reason."""
    text, octets = live.topic("/text", str), live.topic("/bytes", bytes)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("text")
        text.publish('say "hi"\n')
        assert await speaker.pub("text") == 'say "hi"\n'
        heard = await speaker.subscribe("bytes")
        if side is JSON_SIDE:
            assert heard["error"]["code"] == 108
            assert "Protobuf" in heard["error"]["message"]
            assert octets.statistics().watchers == 0
        else:
            octets.publish(b"1\n")
            assert b"1\n" in await raw(speaker)


async def test_history_of_bytes(app: FastAPI, live: Live, side: Side) -> None:
    """Bytes that a topic has kept reach no JSON client: one that asks for them without a subscription is refused."""
    octets = live.topic("/bytes", bytes, keep=10)
    async with lifespan(app), speaking(app, side) as speaker:
        octets.publish(b'1}],"epoch":"x"}}\n{"push":{"channel":"forged"}}\n{"x":[{"y":1')
        (id_,) = await speaker.say({"history": {"channel": "bytes", "limit": 10}})
        if side is JSON_SIDE:
            assert (await speaker.reply(id_))["error"]["code"] == 108
        else:
            assert b'{"push":{"channel":"forged"}}' in await raw(speaker)


async def raw(speaker: Speaker) -> bytes:
    """Return the next message, undecoded."""
    message = await speaker.client.receive()
    assert isinstance(message, bytes)
    return message


async def test_feed(app: FastAPI, live: Live, side: Side) -> None:
    """Its generator runs while it is watched; when it is complete, so is the subscription, after the last value."""
    source = Source()
    live.feed("/feed/{key}", keep=10)(source.values)
    async with lifespan(app), speaking(app, side) as speaker, speaking(app, side) as other:
        for each in (speaker, other):
            await each.subscribed("feed/a")
        source.put(1, 2, End, key="a")
        for each in (speaker, other):
            assert [await each.pub("feed/a") for _ in range(2)] == [1, 2]
            ended = {"code": 2000, "reason": "complete"}
            assert await each.push() == {"channel": "feed/a", "unsubscribe": ended}
        assert source.began == ["a"]


# Coming back


async def test_recovery(app: FastAPI, live: Live, side: Side) -> None:
    """The reply has the missed publications, and new ones follow, with nothing missing in between."""
    topic = values_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        heard = await speaker.subscribed("values")
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        for number in (1, 2, 3):
            topic.publish(number)
        again = await speaker.subscribed("values", recover=True, epoch=heard["epoch"], offset=1)
        assert data(again) == [2, 3]
        assert [each["offset"] for each in again["publications"]] == [2, 3]
        assert (again["recovered"], again["was_recovering"], again["offset"]) == (True, True, 1)
        topic.publish(4)
        assert await speaker.pub("values") == 4


@pytest.mark.parametrize("epoch", ["its own", "none"])
async def test_nothing_missed(app: FastAPI, live: Live, side: Side, epoch: str) -> None:
    """A client that has missed nothing, or came before the first value, has recovered."""
    topic = values_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        await topic.publish(1)
        heard = await speaker.subscribed("values")
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        again = await speaker.subscribed("values", **at(heard) | ({} if epoch == "its own" else {"epoch": ""}))
        assert (again["recovered"], data(again), again["offset"]) == (True, [], 1)


@pytest.mark.parametrize("lost", ["epoch", "offset", "future"])
async def test_lost_position(app: FastAPI, live: Live, side: Side, lost: str) -> None:
    """A client whose position is lost learns so, with the current position, or is refused if it asked for that."""
    topic = values_of(live, keep=3)
    async with lifespan(app), speaking(app, side) as speaker:
        epoch = (await speaker.subscribed("values"))["epoch"]
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        for number in range(10):
            topic.publish(number)
        where = {"epoch": ("other", 8), "offset": (epoch, 6), "future": (epoch, 11)}[lost]
        position = {"recover": True, "epoch": where[0], "offset": where[1]}
        assert await speaker.refused("values", flag=2, **position) == 112
        assert topic.statistics().watchers == 0
        heard = await speaker.subscribed("values", **position)
        assert (heard["was_recovering"], heard.get("recovered", False), heard["offset"]) == (True, False, 10)
        assert (heard["epoch"], data(heard)) == (epoch, [])
        topic.publish("next")
        assert await speaker.pub("values") == "next"


async def test_recovery_of_the_newest(app: FastAPI, live: Live, side: Side) -> None:
    """The newest value is in the reply, unless the client has it; without one there is nothing to recover."""
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app, side) as speaker:
        heard = await speaker.subscribed("values", recover=True)
        assert (heard["was_recovering"], heard.get("recovered", False), data(heard)) == (True, False, [])
        for number in range(3):
            topic.publish(number)
        assert await speaker.pub("values") == 2
        async with speaking(app, side) as other:
            heard = await other.subscribed("values", recover=True)
            assert (heard["recovered"], data(heard)) == (True, [2])
            await other.ask({"unsubscribe": {"channel": "values"}})
            heard = await other.subscribed("values", recover=True, epoch=heard["epoch"], offset=3)
            assert (heard["recovered"], data(heard)) == (True, [])
            assert await other.quiet() == []
            topic.publish(3)
            assert await other.pub("values") == 3


@pytest.mark.parametrize("options", [{}, {"tf": {"key": "any", "cmp": "nex"}}])
async def test_recovery_of_much(app: FastAPI, live: Live, side: Side, options: Fields) -> None:
    """Publications that do not fit into the reply follow it: none is missing or duplicated."""
    topic = values_of(live, keep=5000)
    async with lifespan(app), speaking(app, side, max_waiting=5000) as speaker:
        epoch = (await speaker.subscribed("values"))["epoch"]
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        for number in range(1, 2001):
            topic.publish(number)
        heard = await speaker.subscribed("values", recover=True, epoch=epoch, **options)
        got = data(heard)
        assert len(got) >= 300
        got += [await speaker.pub("values") for _ in range(2000 - len(got))]
        assert got == list(range(1, 2001))
        assert await speaker.quiet() == []


async def test_recovery_while_it_is_published(app: FastAPI, live: Live, side: Side) -> None:
    """However publishing and recovering coincide, a client receives every value once, in order."""
    topic = values_of(live, keep=1000)
    async with lifespan(app), speaking(app, side, max_waiting=5000) as speaker:
        heard = await speaker.subscribed("values")
        seen: list[int] = []
        position = at(heard)
        published = 0
        for round_ in range(20):
            for number in range(round_):
                published += 1
                topic.publish(published)
                await turns(number % 3)
            await speaker.ask({"unsubscribe": {"channel": "values"}})
            pubs = [each["pub"] for each in await speaker.quiet() if "pub" in each]
            published += 1
            topic.publish(published)
            (id_,) = await speaker.say({"subscribe": {"channel": "values", **position | last(position, pubs)}})
            published += 1
            topic.publish(published)
            again = (await speaker.reply(id_))["subscribe"]
            pubs += again.get("publications", [])
            seen += [each["data"] for each in pubs]
            position = position | last(position, pubs)
        topic.publish(published + 1)
        while seen[-1] <= published:
            seen.append(await speaker.pub("values"))
        assert seen == list(range(1, published + 2))


async def test_loader_that_hangs_holds_up_no_others(app: FastAPI, live: Live, side: Side) -> None:
    """A returning client gets the channels that are ready while the loader of another one waits."""
    gate, slow = asyncio.Event(), live.topic("/slow", int, keep=10)

    @slow.load
    async def load() -> list[int]:
        await gate.wait()
        return [1]

    values_of(live, keep=10)
    async with lifespan(app), speaking(app, side) as speaker:
        (slowly,) = await speaker.say({"subscribe": {"channel": "slow", "recover": True}})
        (visiting,) = await speaker.say({"history": {"channel": "slow?other=1", "limit": 1}})
        await speaker.subscribed("values", recover=True)
        gate.set()
        assert data((await speaker.reply(slowly))["subscribe"]) == [1]
        assert data((await speaker.reply(visiting))["history"]) == [1]


async def test_recovery_that_waits_for_room(app: FastAPI, side: Side) -> None:
    """A client loses nothing silently while its reply waits for room: it has not recovered then."""
    live, gate = Live(app, settings=Settings(max_waiting_bytes=1000)), Gate()
    topic, other = live.topic("/values", int, keep=3, dependencies=[Depends(gate)]), live.topic("/other", str)
    async with lifespan(app), speaking(app, side, max_waiting=1) as speaker:
        await speaker.subscribed("other")
        topic.publish(1)
        (id_,) = await speaker.say({"subscribe": {"channel": "values", "recover": True}})
        await until(lambda: gate.came == 1)

        def is_full() -> bool:
            other.publish("x" * 2000)
            return live.connections()[0].waiting > 1000

        while not is_full():  # until the client's buffer is full, too
            await until(is_full)
            await turns(20)
        gate.open()
        await turns(50)
        for number in range(2, 12):
            topic.publish(number)
        reply = (await speaker.reply(id_))["subscribe"]
        assert (reply.get("recovered", False), reply["offset"]) == (False, 11)


def last(position: Fields, pubs: list[Fields]) -> Fields:
    """Return the position of a client that has received some publications."""
    return {"offset": pubs[-1]["offset"] if pubs else position["offset"]}


# History


async def test_history(app: FastAPI, live: Live, side: Side) -> None:
    """Subscribed clients and those that may subscribe receive it, and it leaves no watcher behind."""
    topic = values_of(live, keep=3)
    async with lifespan(app), speaking(app, side) as speaker:
        for number in range(1, 6):
            topic.publish(number)
        for subscribes in (False, True):
            if subscribes:
                await speaker.subscribed("values")
            heard = (await speaker.ask({"history": {"channel": "values", "limit": -1}}))["history"]
            assert (data(heard), heard["offset"]) == ([3, 4, 5], 5)
            assert topic.statistics().watchers == int(subscribes)
            heard = (await speaker.ask({"history": {"channel": "values", "limit": 2, "reverse": True}}))["history"]
            assert data(heard) == [5, 4]
            since = {"offset": 4, "epoch": heard["epoch"]}
            heard = (await speaker.ask({"history": {"channel": "values", "limit": 9, "since": since}}))["history"]
            assert data(heard) == [5]
            heard = (await speaker.ask({"history": {"channel": "values"}}))["history"]
            assert (data(heard), heard["offset"]) == ([], 5)


async def test_history_forgets_what_is_old(app: FastAPI, live: Live) -> None:
    """Entries older than the topic's keep are not returned, whether subscribed or not."""
    topic = values_of(live, keep=timedelta(seconds=0.05))
    ask: Fields = {"history": {"channel": "values", "limit": -1}}
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("values")
        await topic.publish(1)
        assert data((await speaker.ask(ask))["history"]) == [1]
        past = asyncio.get_running_loop().time() + 0.06
        await until(lambda: asyncio.get_running_loop().time() > past)
        assert data((await speaker.ask(ask))["history"]) == []


# Presence


async def test_join_and_leave(app: FastAPI, live: Live, side: Side) -> None:
    """A client's own join follows the reply, and those of others as they happen; no client receives its own leave."""
    topic = values_of(live, join_leave=True)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        me = (await speaker.connected())["client"]
        (id_,) = await speaker.say({"subscribe": {"channel": "values"}})
        assert (await speaker.hear())["id"] == id_
        topic.publish(1)
        assert (await speaker.push())["join"]["info"]["client"] == me
        assert await speaker.pub("values") == 1
        async with speaking(app, side, connects=False) as other:
            you = (await other.connected())["client"]
            await other.subscribed("values")
            assert (await speaker.push())["join"]["info"]["client"] == you
            await other.ask({"unsubscribe": {"channel": "values"}})
            assert (await speaker.push())["leave"]["info"]["client"] == you
            assert [next(iter(each["push"])) for each in await other.quiet() if "push" in each] == []


async def test_presence(app: FastAPI, live: Live, side: Side) -> None:
    """Members and visitors receive the members of one key, and only if the topic declares it."""

    @live.topic("/room/{name}", str, presence=True)
    def room(name: str) -> None: ...

    values_of(live, join_leave=True)
    async with lifespan(app), speaking(app, side, connects=False) as speaker, speaking(app, side) as visitor:
        me = (await speaker.connected())["client"]
        await speaker.subscribed("room/a")
        await speaker.subscribed("/room/a")
        for each in (speaker, visitor):
            stats = (await each.ask({"presence_stats": {"channel": "room/a"}}))["presence_stats"]
            assert stats == {"num_clients": 1, "num_users": 1}
            there = (await each.ask({"presence": {"channel": "room/a"}}))["presence"]["presence"]
            assert [(id_, info["client"]) for id_, info in there.items()] == [(me, me)]
            nobody = (await each.ask({"presence": {"channel": "room/b"}}))["presence"]
            assert nobody.get("presence", {}) == {}
            assert (await each.ask({"presence": {"channel": "values"}}))["error"]["code"] == 108
        assert await speaker.quiet() == []


# Publishing


class Say(BaseModel):
    text: str


def chat_of(live: Live, **options: Any) -> Any:
    """Declare a room that publishes its messages unchanged."""

    @live.topic("/chat/{room}", Say, **options)
    def chat(room: str) -> None: ...

    @chat.on_message
    async def say(room: str, message: Say, sender: Annotated[Sender, Depends(current_sender)]) -> None:
        if message.text == "no":
            raise HTTPException(409, "Not that.")
        if message.text == "bug":
            raise RuntimeError("a secret")
        if message.text == "exit":
            raise SystemExit(3)
        chat.publish_as(sender, message, room=room)

    return chat


async def test_own_publication_comes_first(app: FastAPI, live: Live, side: Side) -> None:
    """A publisher receives its own publication, with itself as the sender, before the reply."""
    chat_of(live)
    async with lifespan(app), speaking(app, side) as other, speaking(app, side, connects=False) as speaker:
        me = (await speaker.connected())["client"]
        for each in (other, speaker):
            await each.subscribed("chat/a")
        (id_,) = await speaker.say({"publish": {"channel": "chat/a", "data": {"text": "hi"}}})
        push = (await speaker.hear())["push"]
        assert (push["pub"]["data"], push["pub"]["info"]["client"]) == ({"text": "hi"}, me)
        assert await speaker.hear() == {"id": id_, "publish": {}}
        assert (await other.push())["pub"]["info"]["client"] == me


async def test_what_a_handler_starts_is_not_its_client(app: FastAPI, live: Live, side: Side) -> None:
    """Handlers, and tasks and threads that they start, name a sender only explicitly."""
    topic = live.topic("/seen", int)
    tasks: set[asyncio.Task[None]] = set()

    async def later() -> None:
        topic.publish(1)
        await asyncio.to_thread(topic.publish, 2)

    @topic.on_message
    async def start(message: Say, sender: Annotated[Sender, Depends(current_sender)]) -> None:
        topic.publish_as(sender, 0)
        task = asyncio.create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @live.call("/tell")
    async def tell(number: Annotated[int, Message()], sender: Annotated[Sender, Depends(current_sender)]) -> int:
        await topic.publish_as(sender, number)
        return number

    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        me = (await speaker.connected())["client"]
        await speaker.subscribed("seen")
        await speaker.say({"publish": {"channel": "seen", "data": {"text": "hi"}}})
        heard: dict[int, Any] = {}
        while len(heard) < 3:
            message = await speaker.hear()
            if "push" in message:
                pub = message["push"]["pub"]
                heard[pub["data"]] = pub.get("info", {}).get("client")
        assert heard == {0: me, 1: None, 2: None}
        await speaker.say({"rpc": {"method": "tell", "data": 3}})
        while "push" not in (message := await speaker.hear()):
            pass
        assert message["push"]["pub"]["info"]["client"] == me


async def test_handler_sees_whether_the_publisher_is_subscribed(app: FastAPI, live: Live, side: Side) -> None:
    """A handler learns whether a client is subscribed, before it subscribes, while it is, and after it."""
    topic = live.topic("/inbox", str)
    seen: list[bool] = []

    @topic.on_message
    async def take(message: Say, watches: Annotated[bool, Depends(is_subscribed)]) -> None:
        seen.append(watches)

    say = {"publish": {"channel": "inbox", "data": {"text": "hi"}}}
    async with lifespan(app), speaking(app, side) as speaker, connect(app, "/inbox") as watcher:
        await speaker.ask(say)
        await speaker.subscribed("inbox")
        await speaker.ask(say)
        await speaker.ask({"unsubscribe": {"channel": "inbox"}})
        await speaker.ask(say)
        await watcher.send_json({"text": "hi"})
        await until(lambda: len(seen) == 4)
    assert seen == [False, True, False, True]


async def test_publishing_without_watching(app: FastAPI, live: Live, side: Side) -> None:
    """A client that may watch may publish; without watching it receives only the reply."""
    chat_of(live)
    async with lifespan(app), speaking(app, side) as speaker, speaking(app, side) as other:
        await other.subscribed("chat/a")
        assert await speaker.ask({"publish": {"channel": "chat/a", "data": {"text": "hi"}}}) == {"publish": {}}
        assert await other.pub("chat/a") == {"text": "hi"}
        assert await speaker.quiet() == []


@pytest.mark.parametrize("watches", [True, False])
async def test_handler_that_refuses_or_fails(
    app: FastAPI, live: Live, side: Side, watches: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The publisher gets the error, other clients get nothing, the connection stays open, and bugs are logged."""
    chat = chat_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        if watches:
            await speaker.subscribed("chat/a")
        for text, error in (
            ("no", {"code": 409, "message": "Not that."}),
            ("bug", {"code": 100, "message": "internal server error", "temporary": True}),
            ("exit", {"code": 100, "message": "internal server error", "temporary": True}),
        ):
            assert await speaker.ask({"publish": {"channel": "chat/a", "data": {"text": text}}}) == {"error": error}
        assert (await speaker.ask({"publish": {"channel": "chat/a", "data": {"wrong": 1}}}))["error"]["code"] == 107
        assert await chat.snapshot(room="a") == []
        assert await speaker.ask({"publish": {"channel": "chat/a", "data": {"text": "fine"}}}) == {"publish": {}}
    assert live.statistics().failed == 2
    assert caplog.text.count("the handler of its messages failed") == 2


async def test_messages_come_one_after_the_other(app: FastAPI, live: Live, side: Side) -> None:
    """A slow handler receives the messages of a client in order; other commands do not wait."""
    topic, going = live.topic("/slow", str), asyncio.Event()

    @topic.on_message
    async def slow(text: Annotated[str, Message()]) -> None:
        if text == "first":
            await going.wait()
        topic.publish(text)

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("slow")
        ids = await speaker.say(*({"publish": {"channel": "slow", "data": text}} for text in ("first", "second")))
        assert "history" in await speaker.ask({"history": {"channel": "slow"}})
        going.set()
        heard = [await speaker.hear() for _ in range(4)]
        assert [each.get("id") for each in heard] == [None, ids[0], None, ids[1]]
        assert [each["push"]["pub"]["data"] for each in heard[::2]] == ["first", "second"]


async def test_too_many_messages(app: FastAPI) -> None:
    """Messages that wait for the handler are limited; further ones are refused, and accepted ones are not lost."""
    live, going = Live(app, settings=Settings(max_inbox_messages=2)), asyncio.Event()
    topic = live.topic("/slow", str)

    @topic.on_message
    async def slow(text: Annotated[str, Message()]) -> None:
        await going.wait()
        topic.publish(text)

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("slow")
        ids = await speaker.say(*({"publish": {"channel": "slow", "data": str(each)}} for each in range(5)))
        assert [(await speaker.reply(id_))["error"]["code"] for id_ in ids[3:]] == [111, 111]
        going.set()
        assert [await speaker.reply(id_) for id_ in ids[:3]] == [{"publish": {}}] * 3
        assert [await speaker.pub("slow") for _ in range(3)] == ["0", "1", "2"]
    assert live.statistics().refused == {"inbox full": 2}


# Deltas and tags


async def test_deltas(app: FastAPI, live: Live, side: Side) -> None:
    """A client with deltas receives the same values, recovered ones too; other clients receive them whole."""
    topic = values_of(live, deltas=True)
    values = [{"text": "Съешь ещё этих мягких французских булок 🦊" * 3, "n": number} for number in range(6)]
    async with lifespan(app), speaking(app, side) as speaker, speaking(app, side) as plain:
        heard = await speaker.subscribed("values", delta="fossil")
        assert heard["delta"] is True
        assert "delta" not in await plain.subscribed("values")
        for value in values[:3]:
            topic.publish(value)
        pubs = [(await speaker.push())["pub"] for _ in range(3)]
        assert patched(side, pubs) == values[:3]
        assert [each.get("delta", False) for each in pubs] == [False, True, True]
        assert [await plain.pub("values") for _ in range(3)] == values[:3]
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        again = await speaker.subscribed("values", delta="fossil", recover=True, epoch=heard["epoch"], offset=1)
        for value in values[3:]:
            topic.publish(value)
        pubs = [*again["publications"], *[(await speaker.push())["pub"] for _ in range(3)]]
        assert patched(side, pubs) == values[1:]
        assert [each.get("delta", False) for each in pubs] == [False, True, True, True, True]


def patched(side: Side, pubs: list[Fields]) -> list[Any]:
    """Return the values that a client has after applying all deltas."""
    values, base = [], b""
    for pub in pubs:
        given = pub["data"].encode() if isinstance(pub["data"], str) else compact(pub["data"])
        base = applied(base, given) if pub.get("delta") else given
        values.append(json_or_text(base))
    return values


@pytest.mark.parametrize("options", [{"keep": "latest"}, {"by": "name"}])
async def test_no_deltas_where_values_are_skipped(app: FastAPI, live: Live, options: dict[str, Any]) -> None:
    """A client that asks for them there receives whole values, and the reply says so."""
    topic = live.topic("/rows", Row, **options)
    async with lifespan(app), speaking(app) as speaker:
        assert "delta" not in await speaker.subscribed("rows", delta="fossil")
        topic.publish(Row(name="a"))
        assert isinstance(await speaker.pub("rows"), dict)


async def test_tags(app: FastAPI, live: Live, side: Side) -> None:
    """A client receives matching values, live and recovered; others advance its position as well."""
    topic = values_of(live)
    tf: Fields = {
        "op": "or",
        "nodes": [{"key": "side", "cmp": "eq", "val": "buy"}, {"key": "size", "cmp": "gt", "val": "9"}],
    }
    async with lifespan(app), speaking(app, side) as speaker:
        epoch = (await speaker.subscribed("values", tf=tf))["epoch"]
        for number, tags in enumerate([{"side": "buy"}, {"side": "sell"}, {"size": "10"}, {"size": "x"}, {}], start=1):
            topic.publish(Tagged(number, tags))
        topic.publish(6)
        pubs = [(await speaker.push())["pub"] for _ in range(2)]
        assert [(each["data"], each["offset"], each["tags"]) for each in pubs] == [
            (1, 1, {"side": "buy"}),
            (3, 3, {"size": "10"}),
        ]
        assert await speaker.quiet() == []
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        heard = await speaker.subscribed("values", tf=tf, recover=True, epoch=epoch, offset=1)
        assert data(heard) == [3]
        topic.publish(Tagged(7, {"side": "buy"}))
        assert await speaker.pub("values") == 7


# Slow clients


async def stalled(speaker: Speaker, topic: Topic[[], Any], count: int) -> None:
    """Publish more than the client's connection holds while it reads nothing; deltas would save little."""
    for number in range(count):
        topic.publish(f"{number:04} " + "x" * 500 + Random(number).randbytes(1000).hex())
        await turns(3)


async def test_too_slow_for_the_log(app: FastAPI, side: Side) -> None:
    """A client that has fallen off the log loses only that subscription, and may subscribe again."""
    live = Live(app, settings=Settings(max_waiting_bytes=4096))
    topic, other = values_of(live, keep=5), values_of(live, "/other", keep=1000)
    async with lifespan(app), speaking(app, side, max_waiting=2) as speaker:
        await speaker.subscribed("values")
        await speaker.subscribed("other")
        await stalled(speaker, topic, 200)
        other.publish("still here")
        pushes: dict[str, list[Fields]] = {"values": [], "other": []}
        while not pushes["other"] or "unsubscribe" not in str(pushes["values"][-1:]):
            push = await speaker.push()
            pushes[push.pop("channel")].append(push)
        assert pushes["values"].pop() == {"unsubscribe": {"code": 2500, "reason": "insufficient state"}}
        got = [int(each["pub"]["data"][:4]) for each in pushes["values"]]
        assert got == list(range(len(got)))
        assert len(got) < 200
        assert topic.statistics().watchers == 0
        assert "recovered" not in await speaker.subscribed("values", recover=True, epoch="x", offset=len(got))


@pytest.mark.parametrize("options", [{}, {"delta": "fossil"}])
async def test_slow_and_allowed_to_skip(app: FastAPI, side: Side, options: Fields) -> None:
    """A tag of the next publication has the number of lost values, so that all are accounted for."""
    live = Live(app, settings=Settings(max_waiting_bytes=4096))
    topic = values_of(live, keep=5, on_lag="skip", deltas=True)
    async with lifespan(app), speaking(app, side, max_waiting=2) as speaker:
        await speaker.subscribed("values", **options)
        await stalled(speaker, topic, 200)
        accounted = 0
        while accounted < 200:
            pub = (await speaker.push())["pub"]
            accounted += int(pub.get("tags", {}).get("lost", 0))
            assert pub["offset"] == accounted + 1
            accounted += 1
        assert topic.statistics().lost > 0


async def test_slow_and_conflating(app: FastAPI, side: Side) -> None:
    """With conflation, a slow client skips to the value that is newest when it reads."""
    live = Live(app, settings=Settings(max_waiting_bytes=4096))
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app, side, max_waiting=2) as speaker:
        await speaker.subscribed("values")
        await stalled(speaker, topic, 200)
        got: list[int] = []
        while not got or got[-1] != 199:
            got.append(int((await speaker.pub("values"))[:4]))
        assert got == sorted(set(got))
        assert len(got) < 100


async def test_clients_that_read_are_not_held_up(app: FastAPI, side: Side) -> None:
    """While one client stalls, others receive everything."""
    live = Live(app, settings=Settings(max_waiting_bytes=4096))
    topic = values_of(live, keep=5)
    async with (
        lifespan(app),
        speaking(app, PROTOBUF_SIDE, max_waiting=2) as slow,
        speaking(app, side, max_waiting=1000) as quick,
    ):
        for each in (slow, quick):
            await each.subscribed("values")
        await stalled(slow, topic, 100)
        got = [int((await quick.pub("values"))[:4]) for _ in range(100)]
        assert got == list(range(100))


async def test_rates(app: FastAPI, live: Live) -> None:
    """A client that asks for a lower rate receives fewer values, each the newest."""
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app) as speaker, speaking(app) as slow:
        await speaker.subscribed("values")
        await slow.subscribed("values?max_rate=5")
        topic.publish(0)
        assert (await speaker.pub("values"), await slow.pub("values?max_rate=5")) == (0, 0)
        for number in range(1, 20):
            topic.publish(number)
            assert await speaker.pub("values") == number
        heard: list[int] = []
        while heard[-1:] != [19]:
            heard.append(await slow.pub("values?max_rate=5"))
        assert len(heard) < 10


async def test_names_with_a_number_sign(app: FastAPI, live: Live, side: Side) -> None:
    """A name with a # that no guard would see is refused for every command; in a parameter it is text."""
    values_of(live)
    seen: list[str] = []

    def guard(name: str) -> None:
        seen.append(name)

    @live.topic("/room/{name}", JsonValue, dependencies=[Depends(guard)])
    def room(name: str) -> None:
        """A room."""

    @live.call("/call")
    async def call() -> int:
        return 1

    async with lifespan(app), speaking(app, side) as speaker:
        for channel in ("values#ada", "values#1", "#ada", "values#", "room/a#bob,eve", "values?x=1#y"):
            assert await speaker.refused(channel) == 102
            for kind in ("history", "presence", "presence_stats", "publish"):
                assert (await speaker.ask({kind: {"channel": channel}}))["error"]["code"] == 102
        assert (await speaker.ask({"rpc": {"method": "call#ada"}}))["error"]["code"] == 104
        assert seen == []
        await speaker.subscribed("room/a%23bob")
        assert seen == ["a#bob"]
        room.publish(1, name="a#bob")
        assert await speaker.pub("room/a%23bob") == 1


async def test_deltas_are_the_topics_choice(app: FastAPI, live: Live, side: Side) -> None:
    """A client that asks for deltas receives whole values unless the topic offers them."""
    values_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        assert "delta" not in await speaker.subscribed("values", delta="fossil")
