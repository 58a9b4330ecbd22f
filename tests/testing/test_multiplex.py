"""The multiplexed client of the test kit: everything that the protocol offers, through the app as on a server."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed import Identity, Live, Position, Sender, Settings, Tagged, TokenExpired, current_sender
from wirespeed.testing import (
    Closed,
    CommandFailed,
    HandshakeRefused,
    OtherClient,
    SubscriptionEnded,
    assert_next,
    clock,
    lifespan,
    multiplexed,
)

pytestmark = pytest.mark.anyio

SOON = 0.01
"""Seconds until the kit's timeouts, in tests of these."""


class Say(BaseModel):
    text: str


async def identify(token: str, connection: object) -> Identity:
    """Identify users by their names, which may have a number behind a colon."""
    if token == "old":
        raise TokenExpired
    return Identity(user=token.partition(":")[0], info={"name": token})


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Return the ``Live`` of an app that knows its users."""
    return Live(app, authenticate=identify)


async def test_values_arrive_with_their_positions_tags_and_sender(app: FastAPI, live: Live) -> None:
    """A value is received alone, or with everything that travels beside it."""

    @live.topic("/news/{about}", str)
    def news(about: str) -> None:
        """Have news."""

    @news.on_message
    def take(message: Say, about: str, sender: Annotated[Sender, Depends(current_sender)]) -> None:
        news.publish_as(sender, message.text, about=about)

    async with lifespan(app), multiplexed(app, token="ada") as client:
        subscription = await client.subscribe("news/tea")
        news.publish(Tagged("hot", {"kind": "state"}), about="tea")
        assert await subscription.receive() == "hot"
        await subscription.send(Say(text="cold"))
        value, position, tags, sender = await subscription.receive_arrival()
        assert (value, tags) == ("cold", {})
        assert sender == OtherClient(client.client, "ada", {"name": "ada"})
        assert position == subscription.position
        assert position is not None
        assert position.offset == 2


async def test_calls_and_messages(app: FastAPI, live: Live) -> None:
    """Calls return their values, also without a message; a message without a subscription reaches the handler."""
    taken: list[str] = []
    news = live.topic("/news", str)

    @live.call("/add")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    @live.call("/pi")
    def pi() -> float:
        return 3.14

    @news.on_message
    def take(message: Say) -> None:
        taken.append(message.text)

    async with lifespan(app), multiplexed(app) as client:
        assert await client.call("add", [1, 2]) == 3
        assert await client.call("/pi") == 3.14
        await client.publish("news", {"text": "hi"})
        assert taken == ["hi"]
        live.all_clients(id=client.client).send({"hello": 1})
        assert await client.receive_message() == {"hello": 1}


async def test_refusals_have_a_status_and_a_detail(app: FastAPI, live: Live) -> None:
    """The app's own status and detail reach the test, for each kind of command, and the connection stays open."""

    def guard(key: str = "") -> None:
        if key != "s3cret":
            raise HTTPException(403, {"need": "a key"})

    @live.call("/add", dependencies=[Depends(guard)])
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    live.topic("/news", str, dependencies=[Depends(guard)])
    async with lifespan(app), multiplexed(app) as client:
        with pytest.raises(CommandFailed) as refused:
            await client.subscribe("news")
        assert str(refused.value) == "subscribe news: permission denied (103, status 403)"
        assert (refused.value.status, refused.value.detail) == (403, {"need": "a key"})
        with pytest.raises(CommandFailed) as refused:
            await client.call("add?key=s3cret", ["one"])
        assert (refused.value.status, refused.value.detail[0]["loc"]) == (422, ["body", 0])
        with pytest.raises(CommandFailed) as refused:
            await client.subscribe("unknown")
        assert (refused.value.code, refused.value.status) == (102, None)
        await client.subscribe("news?key=s3cret")


async def test_app_decides_as_on_a_server(app: FastAPI, live: Live) -> None:
    """Subscriptions pass the app's middleware, with the headers of the handshake."""
    live.topic("/news", str)
    passed: list[tuple[str, bytes]] = []

    class Watching:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                passed.append((scope["path"], dict(scope["headers"])[b"cookie"]))
            await self.app(scope, receive, send)

    app.add_middleware(Watching)
    async with lifespan(app), multiplexed(app, headers={"cookie": "a=b"}) as client:
        await client.subscribe("news")
    assert passed == [("/live/websocket", b"a=b"), ("/news", b"a=b")]


async def test_streams(app: FastAPI, live: Live) -> None:
    """A subscription with a message is a run, whose end the iteration knows; a duplex stream takes more messages."""

    @live.stream("/count")
    async def count(to: Annotated[int, Query()], say: Say) -> AsyncIterator[str]:
        for number in range(to):
            yield f"{say.text} {number}"
        if to > 2:
            raise HTTPException(409, "Too far.")

    @live.stream("/echo")
    async def echo(messages: AsyncIterator[Say]) -> AsyncIterator[str]:
        async for message in messages:
            yield message.text

    async with lifespan(app), multiplexed(app) as client:
        run = await client.subscribe("count?to=2", Say(text="a"))
        assert [value async for value in run] == ["a 0", "a 1"]
        with pytest.raises(SubscriptionEnded, match=r"has ended: complete \(2000\)"):
            await run.receive()
        run = await client.subscribe("count?to=3", {"text": "a"})
        with pytest.raises(SubscriptionEnded, match=r"Too far. \(2409, status 409\)"):
            [value async for value in run]
        duplex = await client.subscribe("echo")
        await duplex.send({"text": "b"})
        assert await duplex.receive() == "b"
        await duplex.unsubscribe()
        with pytest.raises(SubscriptionEnded, match="the client has unsubscribed"):
            await duplex.receive()


async def test_presence_and_history(app: FastAPI, live: Live) -> None:
    """Clients see each other come and go; the log can be read from any position."""
    news = live.topic("/news", int, presence=True, join_leave=True)
    async with lifespan(app), multiplexed(app, token="ada") as ada:
        room = await ada.subscribe("news", join_leave=True)
        assert (await room.joined()).user == "ada"
        async with multiplexed(app, token="bob") as bob:
            await bob.subscribe("news")
            assert await room.joined() == OtherClient(bob.client, "bob", {"name": "bob"})
            assert sorted(each.user for each in await ada.presence("news")) == ["ada", "bob"]
        assert (await room.left()).user == "bob"
        for number in range(4):
            news.publish(number)
        entries = await ada.history("news")
        assert [each.value for each in entries] == [0, 1, 2, 3]
        later = await ada.history("news", since=entries[1].position, limit=1)
        assert [each.value for each in later] == [2]
        assert [each.value for each in await ada.history("news", limit=2, reverse=True)] == [3, 2]
        assert entries.position.offset == 4


async def test_reconnecting_recovers(app: FastAPI, live: Live) -> None:
    """After a loss, the same subscription receives what it has missed; or knows that it cannot."""
    news = live.topic("/news", int, keep=3)
    async with lifespan(app), multiplexed(app) as client:
        subscription = await client.subscribe("news")
        recovered = [subscription.recovered]
        news.publish(1)
        assert await subscription.receive() == 1
        client.lose()
        with pytest.raises(Closed, match="1006"):
            await subscription.receive()
        news.publish(2)
        news.publish(3)
        await client.reconnect()
        recovered.append(subscription.recovered)
        assert [await subscription.receive() for _ in range(2)] == [2, 3]
        news.publish(4)
        assert await subscription.receive() == 4
        client.lose()
        for number in range(5, 10):
            news.publish(number)
        await client.reconnect()
        assert [*recovered, subscription.recovered] == [False, True, False]
        assert subscription.waiting == 0


async def test_ends_outlive_the_connection(app: FastAPI, live: Live) -> None:
    """A subscription that the server has ended stays so when the client connects again."""
    news, done = live.topic("/news", int), live.topic("/done", int)
    async with lifespan(app), multiplexed(app) as client:
        subscriptions = [await client.subscribe("news"), await client.subscribe("done")]
        done.complete()
        assert (await subscriptions[1].ended()).code == 2000
        await client.reconnect()
        assert news.statistics().watchers == 1
        assert done.statistics().watchers == 0
        assert [type(each.ended_by) for each in subscriptions] == [type(None), SubscriptionEnded]


async def test_one_refusal_does_not_end_the_others(app: FastAPI, live: Live) -> None:
    """When a guard refuses one subscription after a loss, the test learns why, and the others resume."""
    refused: list[str] = []

    def guard() -> None:
        if refused:
            raise HTTPException(403, refused[0])

    live.topic("/orders", int, dependencies=[Depends(guard)])
    news = live.topic("/news", int)
    async with lifespan(app), multiplexed(app) as client:
        orders, subscription = await client.subscribe("orders"), await client.subscribe("news")
        refused.append("not any more")
        client.lose()
        news.publish(1)
        with pytest.raises(CommandFailed, match="not any more"):
            await client.reconnect()
        await client.reconnect()  # the refused subscription has ended: it is not tried again
        await assert_next(subscription, 1)
        with pytest.raises(SubscriptionEnded, match="not any more"):
            await orders.receive()


async def test_subscription_that_is_not_waited_for(app: FastAPI, live: Live) -> None:
    """A subscribe that is cancelled or times out leaves nothing behind, so that the next one succeeds."""
    opens = asyncio.Event()

    async def slow() -> None:
        await opens.wait()

    news = live.topic("/news", int, dependencies=[Depends(slow)])
    async with lifespan(app), multiplexed(app) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await client.subscribe("news")
        client.timeout = SOON
        with pytest.raises(TimeoutError, match="subscribe news: no answer"):
            await client.subscribe("news")
        client.timeout = PATIENCE
        opens.set()
        subscription = await client.subscribe("news")
        news.publish(1)
        await assert_next(subscription, 1)


async def test_resuming_elsewhere(app: FastAPI, live: Live) -> None:
    """Another client resumes from a position, too."""
    news = live.topic("/news", int)
    async with lifespan(app), multiplexed(app) as client:
        subscription = await client.subscribe("news")
        news.publish(1)
        await subscription.receive()
        news.publish(2)
        async with multiplexed(app) as other:
            assert await (await other.subscribe("news", since=subscription.position)).receive() == 2
            await other.subscriptions["news"].unsubscribe()
            lost = await other.subscribe("news", since=Position("other", 1))
            assert not lost.recovered


async def test_server_side_subscriptions(app: FastAPI) -> None:
    """The channels of the identity are subscribed from the start, and resume with the connection."""

    async def own(token: str, connection: object) -> Identity:
        return Identity(user="ada", subscriptions=["orders/ada", "state"], data={"hello": 1})

    live = Live(app, authenticate=own)

    @live.topic("/orders/{user}", int)
    def orders(user: str) -> None:
        """Have orders."""

    state = live.topic("/state", str, keep="latest")
    async with lifespan(app):
        state.publish("on")
        await check_server_side(app, live, orders)


async def check_server_side(app: FastAPI, live: Live, orders: Any) -> None:
    """Connect, and receive what the server has subscribed the client to."""
    async with multiplexed(app, data={"a": 1}) as client:
        assert await client.subscriptions["state"].receive() == "on"
        assert client.data == {"hello": 1}
        subscription = client.subscriptions["orders/ada"]
        orders.publish(1, user="ada")
        assert await subscription.receive() == 1
        client.lose()
        orders.publish(2, user="ada")
        await client.reconnect()
        assert await subscription.receive() == 2
        live.all_clients("ada").subscribe("orders/bob")
        await until(lambda: "orders/bob" in client.subscriptions)
        orders.publish(3, user="bob")
        assert await client.subscriptions["orders/bob"].receive() == 3


async def test_tokens(app: FastAPI, live: Live) -> None:
    """A refused client cannot enter; a token can be renewed."""
    async with lifespan(app):
        with pytest.raises(CommandFailed, match=r"connect: token expired \(109"):
            async with multiplexed(app, token="old"):
                pass
        async with multiplexed(app, token="ada") as client:
            await client.refresh("ada:2")
            await client.reconnect()
            assert [each.info for each in live.clients("ada")] == [{"name": "ada:2"}]


async def test_connection_that_the_app_refuses(app: FastAPI, live: Live) -> None:
    """A handshake that is refused raises on entering, as with a raw connection."""
    async with lifespan(app):
        with pytest.raises(HandshakeRefused) as refused:
            async with multiplexed(app, path="/elsewhere"):
                pass
        assert refused.value.status == 403


async def test_end_by_the_server(app: FastAPI, live: Live) -> None:
    """A client that the app disconnects knows the code, and so do all that wait for something."""
    news = live.topic("/news", int)
    async with lifespan(app), multiplexed(app, token="ada") as client:
        subscription = await client.subscribe("news")
        news.publish(1)
        live.all_clients("ada").disconnect(4001, "Go.")
        assert await client.closed() == await client.closed()
        assert ((await client.closed()).code, (await client.closed()).reason) == (4001, "Go.")
        assert await subscription.receive() == 1
        for waiting in (subscription.receive(), client.receive_message(), client.call("a")):
            with pytest.raises(Closed, match="4001"):
                await waiting


async def test_revocation_ends_a_subscription(app: FastAPI, live: Live) -> None:
    """The end of a subscription has the app's status."""
    news = live.topic("/news", int)
    async with lifespan(app), multiplexed(app, token="ada") as client:
        subscription = await client.subscribe("news")
        await live.revoke(user="ada", feed=news)
        ended = await subscription.ended()
        assert (ended.code, ended.status) == (2403, 403)
        with pytest.raises(SubscriptionEnded):
            await subscription.receive()


async def test_paused_client_is_held_back_as_on_a_server(app: FastAPI) -> None:
    """While a client does not read, the app keeps no more than its bounds, and the rest arrives afterwards."""
    live = Live(app, settings=Settings(max_waiting_bytes=1000))
    news = live.topic("/news", str, keep=1000)
    async with lifespan(app), clock() as time, multiplexed(app, max_waiting=1) as client:
        subscription = await client.subscribe("news")
        client.pause()
        for number in range(200):
            news.publish(f"{number:0100}")
            await asyncio.sleep(0)
        await time.advance(0)
        assert subscription.waiting == 0
        client.resume()
        assert [int(await subscription.receive()) for _ in range(200)] == list(range(200))
        client.pause()
        await client.reconnect()  # a client that connects again reads again
        news.publish("200")
        assert await subscription.receive() == "200"


async def test_client_that_does_not_receive_stops_reading(
    app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values that wait in the test are bounded, and receiving some of them makes room."""
    monkeypatch.setattr("wirespeed.testing.multiplex.MOST_VALUES", 3)
    news = live.topic("/news", int)
    async with lifespan(app), multiplexed(app) as client:
        subscription = await client.subscribe("news")
        for number in range(20):
            await news.publish(number)
            await asyncio.sleep(0)
        await until(lambda: subscription.waiting >= 3)
        await client.history("news")  # its answer comes behind everything
        assert [await subscription.receive() for _ in range(20)] == list(range(20))
        news.publish(20)
        assert await subscription.receive() == 20


async def test_nothing_waits_for_ever(app: FastAPI, live: Live) -> None:
    """Whatever a test waits for, there is a TimeoutError that names it."""
    live.topic("/news", int, join_leave=True)

    @live.call("/never")
    async def never() -> int:
        await asyncio.Event().wait()
        return 1

    async with lifespan(app), multiplexed(app) as client:
        subscription = await client.subscribe("news")
        await subscription.joined()
        subscription.timeout = client.timeout = SOON
        for wait, problem in (
            (subscription.receive, "nothing came from news within 0.01 s"),
            (subscription.joined, "no one joined news"),
            (subscription.left, "no one left news"),
            (client.receive_message, "no message came within 0.01 s"),
            (client.closed, "the connection has stayed open for 0.01 s"),
            (partial(client.call, "never"), "rpc never: no answer within 0.01 s"),
        ):
            with pytest.raises(TimeoutError, match=problem):
                await wait()


async def test_one_channel_has_one_subscription(app: FastAPI, live: Live) -> None:
    """A second subscribe to a channel is an error that says how to write another run."""
    live.topic("/news", int)
    async with lifespan(app), multiplexed(app) as client:
        await client.subscribe("news")
        with pytest.raises(ValueError, match="news#2"):
            await client.subscribe("news")


async def test_failure_of_the_app_is_the_tests(app: FastAPI) -> None:
    """An exception that the connection's endpoint raises is raised where the test waits."""

    @app.websocket("/broken")
    async def broken(websocket: Any) -> None: ...

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with multiplexed(failing):
            pass


async def test_no_task_remains(app: FastAPI, live: Live) -> None:
    """Leaving ends everything, also after a loss."""
    live.topic("/news", int)
    async with lifespan(app):
        before = asyncio.all_tasks()
        for lose in (False, True):
            async with multiplexed(app) as client:
                await client.subscribe("news")
                if lose:
                    client.lose()
            await until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("later", range(1, 6))
async def test_leaving_that_is_cancelled(app: FastAPI, later: int) -> None:
    """A client that is cancelled while it leaves is disconnected, in whatever turn of the loop that was."""
    live = Live(app)
    live.topic("/news", Any)
    async with lifespan(app):
        client = await multiplexed(app).__aenter__()
        assert live.clients()
        leaving = asyncio.ensure_future(client.__aexit__(None, None, None))
        await turns(later)
        leaving.cancel()
        await asyncio.wait([leaving])
        await turns(100)
        assert not live.clients()
