"""The multiplexed surface, in process: authentication, server-side subscriptions, and expiry."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.centrifuge.sides import JSON_SIDE, SIDES, Fields, Side
from tests.lanes.turns import turns, until
from tests.live.multiplexing import Speaker, speaking
from tests.waiting import NEVER, PATIENCE
from wirespeed import Authenticator, Grant, Identity, Live, Settings, Topic, current_identity, identify
from wirespeed.surfaces.authenticator import Authenticate
from wirespeed.testing import clock, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Door(Authenticator):
    """An authenticator that admits clients as the test says, and records them."""

    def __init__(self, identity: Identity | None = None) -> None:
        self.identity = identity or Identity(user="ann")
        self.asked: list[str] = []
        self.cancelled = 0
        self.lasts: float | None = None
        """Seconds for which clients are admitted."""

        self.closed: asyncio.Event | None = None
        """If present and not set, no client gets an answer."""

        self.held: dict[str, asyncio.Event] = {}
        """Tokens whose verification waits for an event."""

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        self.asked.append(token)
        if self.closed is not None:
            try:
                await self.closed.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if token in self.held:
            await self.held[token].wait()
            return replace(self.identity, expires_at=time.time() + float(token))
        if self.lasts is None:
            return self.identity
        return replace(self.identity, expires_at=time.time() + self.lasts)

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        """Grant everything for as many seconds as the token says."""
        if token in self.held:
            await self.held[token].wait()
        return Grant(expires_at=time.time() + float(token), info=token)


def app_of(door: Authenticator | Authenticate, **settings: Any) -> tuple[FastAPI, Live]:
    """Return an app with a door."""
    app = FastAPI()
    return app, Live(app, authenticate=door, settings=Settings(**settings))


def topic_of(live: Live, path: str = "/news", **options: Any) -> Topic[[], str]:
    """Declare a topic of texts."""
    topic: Topic[[], str] = live.topic(path, str, **options)
    return topic


async def forever() -> AsyncIterator[int]:
    """Yield one value, and go on."""
    yield 1
    await asyncio.Event().wait()


# Authentication


async def test_handshake_is_at_hand(side: Side) -> None:
    """The authenticator sees the handshake, the app, and the token of the connect or of its headers."""
    seen: list[Any] = []

    async def door(token: str, connection: HTTPConnection) -> Identity:
        assert connection.app is app
        query = dict(connection.query_params)
        seen.append([token, connection.headers["user-agent"], connection.cookies, connection.url.path, query])
        return Identity(user="ann")

    app, _ = app_of(door)
    headers = {"user-agent": "test", "cookie": "a=b"}
    for connect in ({"token": "t"}, {"headers": {"authorization": "bearer t2"}}, {}):
        async with lifespan(app), speaking(app, side, headers=headers, connects=False) as speaker:
            await speaker.connected(**connect)
    assert [each[0] for each in seen] == ["t", "t2", ""]
    query = {} if side is JSON_SIDE else {"format": "protobuf"}
    assert seen[0][1:] == ["test", {"a": "b"}, "/live/websocket", query]


@pytest.mark.parametrize("token", ["a\x00b", "é🦊", "x" * 20_000, " ", "a\r\nx-admin: 1"])
async def test_strange_tokens(side: Side, token: str) -> None:
    """Unusual tokens reach the authenticator unchanged, and become no header."""
    door, seen = Door(), []

    def note(connection: HTTPConnection) -> None:
        seen.append(sorted(connection.headers))

    app, live = app_of(door)
    topic_of(live, dependencies=[Depends(note)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(token=token)
        await speaker.subscribed("news")
    assert door.asked == [token]
    assert seen == [["authorization", "host"]]


async def test_commands_wait_for_the_door(side: Side) -> None:
    """Commands after the connect, in its frame and in others, are processed in order after the client is admitted."""
    door = Door()
    app, live = app_of(door)
    topic_of(live)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        door.closed = asyncio.Event()
        await speaker.say({"connect": {}}, {"subscribe": {"channel": "news"}})
        await speaker.say({"history": {"channel": "news"}}, {"unsubscribe": {"channel": "news"}})
        await until(lambda: door.asked)
        assert await speaker.quiet() == []
        assert live.clients() == []
        door.closed.set()
        heard = [await speaker.hear() for _ in range(4)]
        assert [(set(each) - {"id"}).pop() for each in heard] == ["connect", "subscribe", "history", "unsubscribe"]


async def test_nobody_at_the_door() -> None:
    """A client that gets no answer in time is disconnected and may reconnect, whatever else it sends meanwhile."""
    door = Door()
    app, live = app_of(door, connect_timeout=0.05)
    async with lifespan(app), speaking(app, connects=False) as speaker:
        door.closed = asyncio.Event()
        await speaker.say({"connect": {}}, {"rpc": {"method": "x"}})
        assert await speaker.farewell() == (3004, "internal server error")
    assert (door.cancelled, live.statistics().connections) == (1, 0)


async def test_leaving_at_the_door(side: Side) -> None:
    """A client that leaves while it waits for admission is gone, and its authentication is cancelled."""
    door = Door()
    app, live = app_of(door)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        door.closed = asyncio.Event()
        await speaker.say({"connect": {}})
        await until(lambda: door.asked)
        await speaker.client.disconnect()
        assert (door.cancelled, live.statistics().connections, live.clients()) == (1, 0, [])


async def test_breaking_the_protocol_at_the_door(side: Side) -> None:
    """Commands after a connect are read once the client is admitted; those after an error are not."""
    door = Door()
    app, live = app_of(door)
    topic_of(live)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        door.closed = asyncio.Event()
        await speaker.say({"connect": {}}, {"rpc": {"method": "x"}})
        await speaker.say({"ping": {}}, {"rpc": {"method": "y"}})
        await speaker.say({"rpc": {"method": "z"}})
        await until(lambda: door.asked)
        door.closed.set()
        assert await speaker.farewell() == (3501, "bad request")
        assert "connect" in await speaker.reply(1)
    assert live.statistics().refused == {"not available": 1, "bad request": 1}


async def test_too_much_at_the_door() -> None:
    """A limited number of bytes waits until a client is admitted."""
    door = Door()
    app, _ = app_of(door, max_inbox_messages=3)
    async with lifespan(app), speaking(app, connects=False) as speaker:
        door.closed = asyncio.Event()
        await speaker.say({"connect": {}})
        await until(lambda: door.asked)
        for _ in range(4):
            await speaker.say({"rpc": {"method": "x"}})
        assert await speaker.farewell() == (3013, "too many requests")
    assert door.cancelled == 1


@pytest.mark.parametrize("identity", [Identity(info=object()), Identity(data=object())])
async def test_identity_that_cannot_be_told(side: Side, identity: Identity, caplog: pytest.LogCaptureFixture) -> None:
    """Its client loses the connection and may reconnect; the log has the reason, and others are not affected."""
    door = Door()
    app, live = app_of(door)
    async with lifespan(app), speaking(app, side) as other, speaking(app, side, connects=False) as speaker:
        door.identity = identity
        await speaker.say({"connect": {}})
        assert await speaker.farewell() == (3004, "internal server error")
        assert (await other.ask({"rpc": {"method": "x"}}))["error"]["code"] == 108
        assert len(live.clients()) == 1
    assert "A client could not be connected." in caplog.text


@pytest.mark.parametrize(
    "fields",
    [
        {"user": 7},
        {"user": b"ann"},
        {"user": "\ud83d"},
        {"expires_at": "tomorrow"},
        {"expires_at": math.nan},
        {"expires_at": math.inf},
        {"expires_at": 10**400},
        {"subscriptions": "news"},
        {"subscriptions": 7},
        {"subscriptions": [7]},
        {"subscriptions": ["\ud83d"]},
    ],
    ids=repr,
)
async def test_wrong_identity(side: Side, fields: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """An invalid identity is an error of its client, and none of it reaches other clients."""
    door = Door()
    app, live = app_of(door)
    topic_of(live, presence=True)
    async with lifespan(app), speaking(app, side) as other, speaking(app, side, connects=False) as speaker:
        await other.subscribed("news")
        door.identity = Identity(**fields)
        assert (await speaker.ask({"connect": {}}))["error"]["code"] == 100
        assert len((await other.ask({"presence": {"channel": "news"}}))["presence"]["presence"]) == 1
    assert live.statistics().failed == 1
    assert len([each for each in caplog.records if each.exc_info]) == 1


@pytest.mark.parametrize(
    "grant",
    [
        Grant(expires_at=math.nan),
        Grant(expires_at=math.inf),
        Grant(expires_at="tomorrow"),  # type: ignore[arg-type]
        Grant(info=object()),
        Grant(info="\ud83d"),
    ],
    ids=["nan", "infinite", "text", "object", "surrogate"],
)
async def test_wrong_grant(side: Side, grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid grant is an error of its subscription, and commands that wait for it get a reply."""
    door = Door()
    app, live = app_of(door)
    topic_of(live, presence=True)

    async def granted(*_: object) -> Grant:
        return grant

    monkeypatch.setattr(door, "grant", granted)
    async with lifespan(app), speaking(app, side) as speaker:
        first, second = await speaker.say(
            {"subscribe": {"channel": "news", "token": "x"}}, {"presence": {"channel": "news"}}
        )
        assert (await speaker.reply(first))["error"]["code"] == 100
        assert "presence" in await speaker.reply(second)
    assert live.statistics().failed == 1


async def test_what_json_has_no_number_for() -> None:
    """NaN and infinite numbers are null in everything that other clients see, as in values."""
    door = Door(Identity(user="ann", info={"x": math.nan}, data=[math.inf]))
    app, live = app_of(door)
    topic_of(live, presence=True)
    async with lifespan(app), speaking(app, connects=False) as speaker:
        assert (await speaker.connected())["data"] == [None]
        await speaker.subscribed("news")
        (there,) = (await speaker.ask({"presence": {"channel": "news"}}))["presence"]["presence"].values()
        assert there["conn_info"] == {"x": None}
        live.clients()[0].send(math.nan)
        assert (await speaker.push())["message"]["data"] is None


async def test_strange_identities(side: Side) -> None:
    """A user's name is any text, and its public info any JSON."""
    door = Door(Identity(user="ä🦊", info=[1, {"a": None}], data="hi"))
    app, live = app_of(door)
    topic_of(live, presence=True)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        heard = await speaker.connected()
        assert heard["data"] == "hi"
        await speaker.subscribed("news")
        there = (await speaker.ask({"presence": {"channel": "news"}}))["presence"]["presence"]
        info = {"user": "ä🦊", "client": heard["client"], "conn_info": [1, {"a": None}]}
        assert there == {heard["client"]: info}
        assert [(each.id, each.info) for each in live.clients("ä🦊")] == [(heard["client"], [1, {"a": None}])]


# Server-side subscriptions


async def test_subscriptions_of_an_identity(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    """Admitted ones are in the reply to the connect; the others are left out and logged."""

    def members(who: Annotated[Identity, Depends(current_identity)]) -> None:
        if who.user != "bob":
            raise HTTPException(403, "Members only.")

    door = Door(Identity(user="ann", subscriptions=("news", "none", "members", "/price", "news")))
    app, live = app_of(door)
    news, price = topic_of(live), topic_of(live, "/price", keep="latest")
    topic_of(live, "/members", dependencies=[Depends(members)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        price.publish("first")
        heard = await speaker.connected()
        assert set(heard["subs"]) == {"news", "/price"}
        assert heard["subs"]["news"]["positioned"]
        assert await speaker.pub("/price") == "first"
        news.publish("a")
        assert await speaker.pub("news") == "a"
        assert live.clients()[0].channels == ["news", "/price"]
        assert await speaker.refused("news") == 105
        assert await speaker.ask({"unsubscribe": {"channel": "news"}}) == {"unsubscribe": {}}
        await speaker.subscribed("news")
    refused = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.split(":")[0] for each in refused] == ["none", "members"]
    assert (news.statistics().watchers, price.statistics().watchers) == (0, 0)


async def test_our_clients_take_over_the_channels_of_their_identity(side: Side) -> None:
    """Their own subscription replaces that of the server, with its wishes, and ends as any other."""
    app, live = app_of(Door(Identity(user="ann", subscriptions=("news",))))
    news = topic_of(live)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        assert "news" in (await speaker.connected(name="wirespeed"))["subs"]
        news.publish("before")
        assert await speaker.pub("news") == "before"
        await speaker.subscribed("news", data={"wirespeed": {"batches": True}})
        assert (news.statistics().watchers, live.clients()[0].channels) == (1, ["news"])
        news.publish("a")
        assert await speaker.pub("news") == ["a"]
        assert await speaker.refused("news") == 105
        assert await speaker.ask({"unsubscribe": {"channel": "news"}}) == {"unsubscribe": {}}
        assert (news.statistics().watchers, live.clients()[0].channels) == (0, [])


async def test_a_subscribe_of_our_clients_waits_for_that_of_the_server(side: Side) -> None:
    """While the app decides about the server's subscription, the client's waits; then it replaces it."""
    app, live = app_of(Door())
    news = topic_of(live, dependencies=[Depends(opened := Waiting())])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        live.clients()[0].subscribe("news")
        await until(lambda: opened.came)
        (id_,) = await speaker.say({"subscribe": {"channel": "news"}})
        assert await speaker.quiet() == []
        opened.open()
        assert "error" not in await speaker.reply(id_)
        assert "subscribe" in await speaker.push()
        news.publish("a")
        assert await speaker.pub("news") == "a"
        assert await speaker.quiet() == []
        assert news.statistics().watchers == 1


async def test_our_clients_may_be_refused_what_the_server_wanted_for_them(side: Side) -> None:
    """If the app refuses the client's own subscription, the client has neither."""
    app, live = app_of(Door(Identity(user="ann", subscriptions=("news",))))
    is_open = True

    def guard() -> None:
        if not is_open:
            raise HTTPException(403)

    news = topic_of(live, dependencies=[Depends(guard)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        is_open = False
        assert await speaker.refused("news") == 103
        assert (news.statistics().watchers, live.clients()[0].channels) == (0, [])


async def test_many_subscriptions_of_an_identity(side: Side) -> None:
    """All of them exist when the client is connected."""
    door = Door(Identity(subscriptions=[f"number/{each}" for each in range(100)]))
    app, live = app_of(door)

    @live.topic("/number/{number}", str)
    def number(number: int) -> None: ...

    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        assert len((await speaker.connected())["subs"]) == 100
        for each in range(100):
            number.publish(str(each), number=each)
        assert {await pushed(speaker) for _ in range(100)} == {str(each) for each in range(100)}


async def test_too_many_subscriptions_of_an_identity(side: Side) -> None:
    """An identity with more subscriptions than the limit is disconnected and must not reconnect."""
    app, live = app_of(Door(Identity(subscriptions=["a", "b", "c"])), max_subscriptions=2)
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.say({"connect": {}})
        assert await speaker.farewell() == (3505, "channel limit")
    assert live.statistics().refused == {"channel limit": 1}


async def pushed(speaker: Speaker) -> Any:
    """Return the data of the next publication."""
    return (await speaker.push())["pub"]["data"]


async def test_coming_back_to_subscriptions_of_an_identity(side: Side) -> None:
    """The connect has the positions, and its reply the missed publications."""
    door = Door(Identity(subscriptions=["news"]))
    app, live = app_of(door)
    news = topic_of(live)
    async with lifespan(app):
        async with speaking(app, side, connects=False) as speaker:
            first = (await speaker.connected())["subs"]["news"]
        for text in "abc":
            news.publish(text)
        subs: Fields = {"news": {"recover": True, "epoch": first["epoch"], "offset": 1}, "unknown": {"recover": True}}
        async with speaking(app, side, connects=False) as speaker:
            heard = (await speaker.connected(subs=subs))["subs"]
            assert set(heard) == {"news"}
            assert [each["data"] for each in heard["news"]["publications"]] == ["b", "c"]
            assert heard["news"]["recovered"] is True
            news.publish("d")
            assert await speaker.pub("news") == "d"


async def test_too_slow_for_a_subscription_of_the_server(side: Side) -> None:
    """The client cannot subscribe again by itself, so it is disconnected and reconnects."""
    app, live = app_of(Door(Identity(subscriptions=["news"])), max_waiting_bytes=4096)
    news = topic_of(live, keep=5)
    async with lifespan(app), speaking(app, side, connects=False, max_waiting=2) as speaker:
        await speaker.connected()
        for number in range(300):
            news.publish(f"{number}" + "x" * 2000)
            await asyncio.sleep(0)
        assert await speaker.farewell() == (3010, "insufficient state")
    assert news.statistics().watchers == 0


async def test_feed_of_the_server_that_completes(side: Side) -> None:
    """The client is notified that its subscription has ended; the connection stays open."""
    app, live = app_of(Door(Identity(subscriptions=["once"])))

    @live.feed("/once", keep=5)
    async def once() -> AsyncIterator[int]:
        yield 1

    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        assert "once" in (await speaker.connected())["subs"]
        assert await speaker.pub("once") == 1
        assert await speaker.push() == {"channel": "once", "unsubscribe": {"code": 2000, "reason": "complete"}}
        assert live.clients()[0].channels == []


async def test_stream_of_the_server(side: Side) -> None:
    """Its values arrive after the client knows of it, and its end after them, however soon it ends."""
    app, live = app_of(Door(Identity(subscriptions=["short", "slow"])))

    @live.stream("/short")
    async def short() -> AsyncIterator[int]:
        yield 1

    waits = Waiting()
    topic_of(live, "/slow", dependencies=[Depends(waits)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        (id_,) = await speaker.say({"connect": {}})
        await until(lambda: waits.came)
        await turns(5)
        waits.open()
        first = await speaker.hear()
        assert (first["id"], sorted(first["connect"]["subs"])) == (id_, ["short", "slow"])
        assert await speaker.pub("short") == 1
        assert await speaker.push() == {"channel": "short", "unsubscribe": {"code": 2000, "reason": "complete"}}


async def test_subscription_of_the_server_that_middleware_cancels(side: Side) -> None:
    """It is missing from the reply to the connect, and no other subscription is affected."""
    app, live = app_of(Door(Identity(subscriptions=["cut", "stream", "slow"])))
    seen: list[asyncio.Task[Any] | None] = []

    class Noting:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("path") == "/cut":
                seen.append(asyncio.current_task())
            await self.app(scope, receive, send)

    app.add_middleware(Noting)

    @live.stream("/cut")
    async def cut() -> AsyncIterator[int]:
        yield 1

    @live.stream("/stream")
    async def stream() -> AsyncIterator[int]:
        yield 2

    waits = Waiting()
    topic_of(live, "/slow", dependencies=[Depends(waits)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        (id_,) = await speaker.say({"connect": {}})
        await until(lambda: waits.came)
        await turns(10)
        (task,) = seen
        assert task is not None
        task.cancel()
        await turns(10)
        waits.open()
        assert sorted((await speaker.reply(id_))["connect"]["subs"]) == ["slow", "stream"]
        assert await speaker.pub("stream") == 2


async def test_stream_that_unsubscribes_its_own_client(side: Side) -> None:
    """Its run ends at its next await, as if the client had unsubscribed."""
    app, live = app_of(Door(Identity(user="ann")))
    ended = asyncio.Event()

    @live.stream("/own")
    async def own() -> AsyncIterator[int]:
        try:
            live.clients("ann")[0].unsubscribe("own")
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            ended.set()

    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected()
        await speaker.subscribed("own")
        assert await speaker.push() == {"channel": "own", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    assert live.statistics().runs == 0


async def test_feed_of_the_server_that_was_complete_before(side: Side) -> None:
    """A feed that ends while its client is being admitted leaves no watcher and no member behind."""
    door, going = Door(), asyncio.Event()
    app, live = app_of(door)

    @live.feed("/once", keep=5, presence=True)
    async def once() -> AsyncIterator[int]:
        yield 1
        await going.wait()

    waits = Waiting()
    topic_of(live, "/slow", dependencies=[Depends(waits)])
    async with lifespan(app), speaking(app, side) as other, speaking(app, side, connects=False) as speaker:
        await other.subscribed("once")
        door.identity = Identity(subscriptions=["once", "slow"])
        (id_,) = await speaker.say({"connect": {}})
        await until(lambda: waits.came)
        await turns(10)
        going.set()
        assert [await other.pub("once"), "unsubscribe" in await other.push()] == [1, True]
        waits.open()
        assert "connect" in await speaker.reply(id_)
        assert await speaker.push() == {"channel": "once", "unsubscribe": {"code": 2000, "reason": "complete"}}
        assert (once.statistics().watchers, live._hub.members.senders("/once")) == (0, [])


async def test_subscribing_a_client_that_subscribes(side: Side) -> None:
    """The first of the two counts: there is one subscription, and one notification."""
    app, live = app_of(Door())
    news, opened = topic_of(live, dependencies=[Depends(waits := Waiting())]), waits
    async with lifespan(app), speaking(app, side) as speaker:
        (id_,) = await speaker.say({"subscribe": {"channel": "news"}})
        await until(lambda: opened.came)
        (client,) = live.clients()
        client.subscribe("news")
        opened.open()
        assert "subscribe" in await speaker.reply(id_)
        client.subscribe("news")
        news.publish("a")
        assert await speaker.pub("news") == "a"
        assert await speaker.quiet() == []
        assert (opened.came, news.statistics().watchers) == (1, 1)


async def test_subscribing_a_client_takes_its_time(side: Side) -> None:
    """Meanwhile the client is not subscribed, and its commands about the channel wait; a refusal is not sent to it."""
    app, live = app_of(Door())
    news, opened = topic_of(live, dependencies=[Depends(waits := Waiting())]), waits
    async with lifespan(app), speaking(app, side) as speaker:
        (client,) = live.clients()
        client.subscribe("news", {"why": "so"})
        client.subscribe("none")
        await until(lambda: opened.came)
        assert client.channels == []
        client.unsubscribe("news")
        assert await speaker.refused("news") == 105
        (id_,) = await speaker.say({"unsubscribe": {"channel": "news"}})
        assert await speaker.quiet() == []
        opened.open()
        push = await speaker.push()
        assert (push["channel"], push["subscribe"]["data"]) == ("news", {"why": "so"})
        assert await speaker.reply(id_) == {"unsubscribe": {}}
        news.publish("too late")
        assert await speaker.quiet() == []


class Waiting:
    """A dependency that waits until it is opened."""

    def __init__(self) -> None:
        self.came = 0
        self._open = asyncio.Event()

    async def __call__(self) -> None:
        self.came += 1
        await self._open.wait()

    def open(self) -> None:
        """Let all clients through."""
        self._open.set()


async def test_clients_are_reached_from_threads(side: Side) -> None:
    """Actions from threads are done in order."""
    app, live = app_of(Door())
    topic_of(live)

    def do() -> None:
        (client,) = live.clients("ann")
        client.send(1)
        client.subscribe("news")
        client.send(2)

    async with lifespan(app), speaking(app, side) as speaker:
        thread = threading.Thread(target=do)
        thread.start()
        pushes = [await speaker.push() for _ in range(3)]
        thread.join()
        assert [each["message"]["data"] for each in pushes if "message" in each] == [1, 2]
        assert [each["channel"] for each in pushes if "subscribe" in each] == ["news"]


async def test_disconnecting_says_everything_first(side: Side) -> None:
    """Earlier publications and messages precede the end; a reason is cut to the maximum length."""
    app, live = app_of(Door())
    news = topic_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("news")
        (client,) = live.clients()
        news.publish("last words")
        client.send("bye")
        client.disconnect(4567, "ä" * 100)
        client.disconnect(3000, "later")
        code, reason = await speaker.farewell()
        assert (code, reason) == (4567, "ä" * 61)
        heard = [await speaker.push() for _ in range(2)]
        assert [each["message"]["data"] for each in heard if "message" in each] == ["bye"]
        assert [each["pub"]["data"] for each in heard if "pub" in each] == ["last words"]
        client.send("nothing")
        client.subscribe("news")
        assert live.clients() == []


# Expiry


@pytest.fixture
async def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stops while other processes use the CPU, as the loop's clock."""
    loop = asyncio.get_running_loop()
    begun = time.time() - loop.time()
    monkeypatch.setattr(time, "time", lambda: begun + loop.time())


@pytest.mark.usefixtures("steady")
async def test_token_of_a_subscription_expires(side: Side) -> None:
    """A client's subscription ends alone and may be subscribed again; a new token in time extends it."""
    app, live = app_of(Door(), refresh_timeout=0.05)
    news = topic_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        heard = await speaker.subscribed("news", token="0.05")
        assert (heard["expires"], heard["ttl"]) == (True, 1)
        await speaker.subscribed("/news", token="0.05")
        refreshed = await speaker.ask({"sub_refresh": {"channel": "/news", "token": "100"}})
        assert refreshed == {"sub_refresh": {"expires": True, "ttl": 100}}
        ended = {"code": 2501, "reason": "subscription expired"}
        assert await speaker.push() == {"channel": "news", "unsubscribe": ended}
        news.publish("a")
        assert await speaker.pub("/news") == "a"
        assert news.statistics().watchers == 1
        await speaker.subscribed("news", token="100")


@pytest.mark.usefixtures("steady")
async def test_connection_expires(side: Side) -> None:
    """A client without a new token is disconnected; a new token of the same user extends its time."""
    door = Door()
    door.lasts = 0.1
    app, live = app_of(door, refresh_timeout=0.05)
    async with lifespan(app), speaking(app, side, connects=False) as one, speaking(app, side, connects=False) as other:
        assert (await one.connected())["ttl"] == 1
        await other.connected()
        door.lasts = None
        refreshed = (await other.ask({"refresh": {"token": "new"}}))["refresh"]
        assert not {"expires", "ttl"} & set(refreshed)
        assert await one.farewell() == (3005, "connection expired")
        assert len(live.clients("ann")) == 1
        assert (await other.ask({"rpc": {"method": "none"}}))["error"]["code"] == 108


async def test_refreshing_takes_its_time(side: Side) -> None:
    """Other commands are served meanwhile; if the client leaves, nothing is left behind."""
    door = Door()
    app, live = app_of(door)
    topic_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        door.closed = asyncio.Event()
        (id_,) = await speaker.say({"refresh": {"token": "a"}})
        await speaker.subscribed("news")
        door.closed.set()
        assert "refresh" in await speaker.reply(id_)
        door.closed = asyncio.Event()
        await speaker.say({"refresh": {"token": "b"}})
        await until(lambda: len(door.asked) == 3)
        await speaker.client.disconnect()
        assert door.cancelled == 1


async def test_dependencies_see_the_new_token(side: Side) -> None:
    """Subscriptions after a refresh use the new token."""
    seen: list[str] = []

    def note(connection: HTTPConnection) -> None:
        seen.append(connection.headers["authorization"])

    app, live = app_of(Door())
    topic_of(live, dependencies=[Depends(note)])
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(token="old")
        await speaker.subscribed("news")
        await speaker.ask({"refresh": {"token": "new"}})
        await speaker.subscribed("/news")
    assert seen == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("channel", ["news", "count"])
async def test_no_token_outlasts_the_session_of_a_guard(channel: str) -> None:
    """A new token of a subscription extends its own time, and not that of the session that a guard has found."""
    app, live = app_of(Door(), ping_interval=NEVER)

    def guard(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ann", expires_at=time.time() + 60))

    topic_of(live, dependencies=[Depends(guard)])
    live.stream("/count", dependencies=[Depends(guard)])(forever)
    async with lifespan(app), clock() as passing, speaking(app) as speaker:
        await speaker.subscribed(channel, token="10")
        heard = await speaker.ask({"sub_refresh": {"channel": channel, "token": "1000"}})
        assert heard == {"sub_refresh": {"expires": True, "ttl": 1000}}
        await passing.advance(59)
        assert live.clients("ann")[0].channels == [channel]
        await passing.advance(1)
        assert live.clients("ann")[0].channels == []
        ended = {"code": 2501, "reason": "subscription expired"}
        assert {"channel": channel, "unsubscribe": ended} in [each.get("push") for each in await speaker.quiet()]


async def test_refresh_during_a_subscribe() -> None:
    """A connection that gets a new token while guards run keeps the subscription: its identity is not the guards'."""
    door, may_pass, asked = Door(), asyncio.Event(), asyncio.Event()
    door.lasts = 10
    app, live = app_of(door)

    async def guard(who: Annotated[Identity, Depends(current_identity)]) -> None:
        asked.set()
        await may_pass.wait()

    topic_of(live, dependencies=[Depends(guard)])
    async with lifespan(app), clock() as passing, speaking(app) as speaker:
        [id_] = await speaker.say({"subscribe": {"channel": "news"}})
        await asked.wait()
        door.lasts = None
        await speaker.ask({"refresh": {"token": "new"}})
        may_pass.set()
        assert "error" not in await speaker.reply(id_)
        await passing.advance(11)
        assert live.clients("ann")[0].channels == ["news"]


async def test_newest_token_counts(side: Side) -> None:
    """The token that was sent last counts if two are verified at a time, whichever is verified first."""
    door = Door()
    door.held = {"1": asyncio.Event(), "1000": asyncio.Event()}
    app, _ = app_of(door, refresh_timeout=1.0)
    async with lifespan(app), clock() as passing, speaking(app, side) as speaker:
        older, newer = await speaker.say({"refresh": {"token": "1"}}, {"refresh": {"token": "1000"}})
        door.held["1000"].set()
        assert (await speaker.reply(newer))["refresh"]["ttl"] == 1000
        door.held["1"].set()
        assert (await speaker.reply(older))["refresh"]["ttl"] == 1000
        await passing.advance(3)
        assert (await speaker.ask({"rpc": {"method": "none"}}))["error"]["code"] == 108


async def test_older_token_counts_if_the_newer_one_is_refused(side: Side) -> None:
    """A token that has expired takes nothing from one that was sent before it and is verified after it."""
    door = Door()
    door.held = {"1000": asyncio.Event(), "-1": asyncio.Event()}
    app, _ = app_of(door)
    async with lifespan(app), speaking(app, side) as speaker:
        older, newer = await speaker.say({"refresh": {"token": "1000"}}, {"refresh": {"token": "-1"}})
        door.held["-1"].set()
        assert (await speaker.reply(newer))["error"]["code"] == 109
        door.held["1000"].set()
        assert (await speaker.reply(older))["refresh"]["ttl"] == 1000


async def test_newest_token_of_a_subscription_counts(side: Side) -> None:
    """The token that was sent last counts if two are verified at a time for a subscription."""
    door = Door()
    door.held = {"1": asyncio.Event()}
    app, live = app_of(door, refresh_timeout=1.0)
    topic_of(live)
    async with lifespan(app), clock() as passing, speaking(app, side) as speaker:
        await speaker.subscribed("news", token="100")
        [older] = await speaker.say({"sub_refresh": {"channel": "news", "token": "1"}})
        newer = await speaker.ask({"sub_refresh": {"channel": "news", "token": "1000"}})
        door.held["1"].set()
        assert newer == await speaker.reply(older) == {"sub_refresh": {"expires": True, "ttl": 1000}}
        await passing.advance(3)
        assert live.clients("ann")[0].channels == ["news"]


async def test_token_for_a_subscription_that_has_ended(side: Side) -> None:
    """A token that is verified after its subscription has ended is refused, and is not for the next one."""
    door = Door()
    door.held = {"1": asyncio.Event()}
    app, live = app_of(door, refresh_timeout=1.0)
    topic_of(live)
    async with lifespan(app), clock() as passing, speaking(app, side) as speaker:
        await speaker.subscribed("news", token="100")
        [late] = await speaker.say({"sub_refresh": {"channel": "news", "token": "1"}})
        await speaker.ask({"unsubscribe": {"channel": "news"}})
        await speaker.subscribed("news", token="1000")
        door.held["1"].set()
        assert (await speaker.reply(late))["error"]["code"] == 103
        await passing.advance(3)
        assert live.clients("ann")[0].channels == ["news"]
