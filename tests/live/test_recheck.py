"""The option ``recheck``: guards that have admitted a client are called again, and end it if they refuse it then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.exchanges import Exchange, events_of
from tests.live.multiplexing import speaking
from tests.live.source import farewell
from tests.waiting import NEVER
from wirespeed import (
    Authenticator,
    DeclarationError,
    Grant,
    Identity,
    InvalidToken,
    Live,
    LiveRouter,
    Message,
    Settings,
    TokensUnavailable,
    Topic,
    current_identity,
    required_grant,
)
from wirespeed.hub.rechecks import MOST
from wirespeed.testing import (
    CommandFailed,
    FakeClock,
    MultiplexedClient,
    assert_next,
    clock,
    connect,
    lifespan,
    multiplexed,
)

pytestmark = pytest.mark.anyio

EACH = 60.0


class Door:
    """An app whose guard admits clients until there is an error."""

    def __init__(self, app: FastAPI, recheck: float = EACH) -> None:
        self.live = live = Live(app)
        self.asked = 0
        self.now = 0
        """Number of guards that run at the moment."""
        self.most = 0
        self.may_pass = asyncio.Event()
        self.may_pass.set()
        self.error: Exception | None = None
        self.topic: Topic[[], str] = live.topic("/news", str, recheck=recheck, dependencies=[Depends(self.guard)])

        @live.stream("/count", recheck=recheck, dependencies=[Depends(self.guard)])
        async def count() -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

    async def guard(self, connection: HTTPConnection) -> None:
        """Admit a client, unless there is an error."""
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await self.may_pass.wait()
        self.now -= 1
        if self.error is not None:
            raise self.error


@pytest.fixture
async def time() -> AsyncIterator[FakeClock]:
    """A clock that stands still until a test lets time pass."""
    async with clock() as time:
        yield time


@pytest.fixture
async def door(app: FastAPI, time: FakeClock) -> AsyncIterator[Door]:
    """A running app."""
    door = Door(app)
    async with lifespan(app):
        yield door


async def again(door: Door, time: FakeClock, clients: int = 1) -> None:
    """Let time pass until the guard has run twice again for each client, and not before its time."""
    asked = door.asked
    await time.advance(EACH - 1)
    assert door.asked == asked
    await time.advance(EACH + 1)
    assert door.asked == asked + 2 * clients


@pytest.mark.parametrize(("path", "value"), [("/news", "hello"), ("/count", "1")])
async def test_raw_websocket(app: FastAPI, door: Door, time: FakeClock, path: str, value: str) -> None:
    """A raw WebSocket stays while the guard admits it, and ends with the status of its refusal."""
    async with connect(app, path) as client:
        await again(door, time)
        door.topic.publish("hello")
        assert await client.receive_text() == value
        door.error = HTTPException(402, "Your subscription has ended.")
        await time.advance(EACH)
        assert (await client.receive_json())["error"] == {"code": 402, "message": "Your subscription has ended."}
        assert (await farewell(client)).code == 1008
    asked = door.asked
    await time.advance(3 * EACH)
    assert door.asked == asked, "a client that has left is not checked"


async def test_events_and_responses(app: FastAPI, door: Door, time: FakeClock) -> None:
    """Server-Sent Events and the response of a stream end with the status."""
    async with events_of(app, "/news") as events, Exchange(app, "/count", method="POST") as response:
        await again(door, time, clients=2)
        door.error = HTTPException(403, "Not any more.")
        await time.advance(EACH)
        last = await events.event()
        assert (last.id, last.type) == ("refused", "error")
        assert "Not any more." in last.data
        assert b"403" in (await response.body()).splitlines()[-1]


async def test_subscriptions(app: FastAPI, door: Door, time: FakeClock) -> None:
    """Subscriptions of a multiplexed connection end with 2000 plus the status; the connection stays."""
    async with multiplexed(app) as client:
        news = await client.subscribe("news")
        await again(door, time)
        door.error = HTTPException(403, "Not any more.")
        await time.advance(EACH)
        ended = await news.ended()
        assert (ended.code, ended.status, ended.reason) == (2403, 403, "Not any more.")
        door.error = None
        count = await client.subscribe("count")
        await assert_next(count, 1)
        door.error = HTTPException(404)
        await time.advance(EACH)
        assert (await count.ended()).code == 2404


@pytest.mark.parametrize("error", [RuntimeError("the database is away"), HTTPException(503)])
async def test_outage_of_a_guard(app: FastAPI, door: Door, time: FakeClock, error: Exception) -> None:
    """A guard that fails ends nothing: the client stays, the failure is counted, and the guard is called again."""
    async with connect(app, "/news") as raw, multiplexed(app) as client:
        news = await client.subscribe("news")
        door.error = error
        await time.advance(2 * EACH)
        assert door.live.statistics().refused["recheck failed"] == 4
        door.error = None
        await again(door, time, clients=2)
        door.topic.publish("still here")
        await assert_next(raw, "still here")
        await assert_next(news, "still here")


class Limiter:
    """Middleware that raises an error of the test for every WebSocket."""

    error: Exception | None = None

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self.error is not None:
            raise self.error
        await self.app(scope, receive, send)


async def test_check_with_an_odd_end(app: FastAPI, time: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that ends as no check should counts as failed, and the guard is called again: it may refuse then."""
    door = Door(app)
    app.add_middleware(Limiter)
    async with lifespan(app), connect(app, "/news") as raw, multiplexed(app) as client:
        news = await client.subscribe("news")
        monkeypatch.setattr(Limiter, "error", HTTPException(429, headers=7))  # type: ignore[arg-type]
        await time.advance(2 * EACH)
        assert door.live.statistics().refused["recheck failed"] == 4
        monkeypatch.undo()
        door.error = HTTPException(403, "Not any more.")
        await time.advance(EACH)
        assert (await raw.receive_json())["error"]["code"] == 403
        assert (await news.ended()).code == 2403


async def test_check_during_a_stop(app: FastAPI, time: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A guard that runs again while the app stops is cancelled, which does not count as a failure."""
    door = Door(app)
    async with lifespan(app), connect(app, "/news"):
        door.may_pass.clear()
        await time.advance(EACH)
        assert door.asked == 2
    await time.advance(EACH)
    assert (door.live.statistics().failed, door.live.statistics().refused) == (0, {})
    assert caplog.records == []


async def test_identity_is_looked_up_again(app: FastAPI, time: FakeClock) -> None:
    """``current_identity`` asks ``authenticate`` again on each surface."""
    closed = False

    async def authenticate(token: str, connection: HTTPConnection) -> Identity | None:
        if closed:
            raise InvalidToken
        return Identity(user=token)

    live, router = Live(app, authenticate=authenticate), LiveRouter(prefix="/v1")

    def guard(who: Annotated[Identity, Depends(current_identity)]) -> None:
        if who.user != "ada":
            raise HTTPException(403)

    @router.topic("/news/{name}", str, recheck=EACH, dependencies=[Depends(guard)])
    def news(name: str, old: bool = False) -> None: ...

    app.include_router(router)
    async with lifespan(app), multiplexed(app, token="ada") as client:
        subscription = await client.subscribe("v1/news/a?old=true")
        async with connect(app, "/v1/news/a%20b?old=true", headers={"authorization": "Bearer ada"}) as raw:
            await time.advance(3 * EACH)
            news.publish("hello", name="a b", old=True)
            await assert_next(raw, "hello")
            closed = True
            await time.advance(EACH)
            assert (await raw.receive_json())["error"]["code"] == 401
            assert (await subscription.ended()).code == 2401
            assert live.statistics().refused["recheck"] == 2


class House:
    """An app whose guards admit the user of their path, and whose sessions can change.

    The key ``mine`` is rechecked. The topic ``/other``, the stream ``/count`` and the call ``/answer`` are not.
    """

    def __init__(self, app: FastAPI) -> None:
        self.sessions = {name: Identity(user="ada", session="s1") for name in ("old", "new")}
        self.outage = False
        self.tokens: list[str] = []
        """The tokens of which the app was asked."""

        def own(user: str, who: Annotated[Identity, Depends(current_identity)]) -> None:
            if who.user != user or who.meta == "suspended":
                raise HTTPException(403)

        self.live = live = Live(app, authenticate=self.authenticate)
        guards = [Depends(own)]

        @live.topic("/mine/{user}", str, presence=True, recheck=EACH, dependencies=guards)
        def mine(user: str) -> None: ...

        @live.topic("/other/{user}", str, presence=True, dependencies=guards)
        def other(user: str) -> None: ...

        @other.on_message
        async def take(message: Annotated[str, Message()]) -> None: ...

        @live.stream("/count/{user}", resume=30, dependencies=guards)
        async def count(user: str) -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

        @live.call("/answer/{user}", dependencies=guards)
        async def answer(user: str) -> int:
            return 42

        @live.topic("/open", str, recheck=EACH)
        def unguarded() -> None: ...

        self.unguarded = unguarded

    async def authenticate(self, token: str, connection: HTTPConnection) -> Identity | None:
        """Return the identity of a session."""
        self.tokens.append(token)
        if self.outage:
            raise TokensUnavailable
        if token not in self.sessions:
            raise InvalidToken
        return self.sessions[token]


@pytest.fixture
async def house(app: FastAPI, time: FakeClock) -> AsyncIterator[House]:
    """A running app with sessions."""
    house = House(app)
    async with lifespan(app):
        yield house


COMMANDS: dict[str, Callable[[MultiplexedClient], Awaitable[Any]]] = {
    "subscribe to the same": lambda client: client.subscribe("mine/ada"),
    "subscribe to another": lambda client: client.subscribe("other/ada"),
    "stream": lambda client: client.subscribe("count/ada"),
    "call": lambda client: client.call("answer/ada"),
    "publish": lambda client: client.publish("other/ada", "hello"),
    "history": lambda client: client.history("mine/ada"),
    "history of another": lambda client: client.history("other/ada"),
    "presence": lambda client: client.presence("other/ada"),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_way_back(app: FastAPI, house: House, time: FakeClock, command: str) -> None:
    """A client that a recheck has ended has no way back by its connection, until it sends a token that is valid."""
    async with multiplexed(app, token="old") as client:
        subscription = await client.subscribe("mine/ada")
        del house.sessions["old"]
        await time.advance(EACH)
        assert (await subscription.ended()).code == 2401
        for _ in range(2):
            with pytest.raises(CommandFailed) as refused:
                await COMMANDS[command](client)
            assert refused.value.status == 401
        await client.refresh("new")
        await COMMANDS[command](client)


async def test_no_way_back_for_another_identity(app: FastAPI, house: House, time: FakeClock) -> None:
    """A client whose identity has changed is not admitted by the earlier one, unless that has returned."""
    before = house.sessions["old"]
    async with multiplexed(app, token="old") as client:
        subscription = await client.subscribe("mine/ada")
        house.sessions["old"] = replace(before, meta="suspended")
        await time.advance(EACH)
        assert (await subscription.ended()).code == 2403
        for channel in ("mine/ada", "other/ada"):
            with pytest.raises(CommandFailed) as refused:
                await client.subscribe(channel)
            assert refused.value.status == 403
        house.sessions["old"] = before
        await client.subscribe("mine/ada")
        await client.subscribe("other/ada")


async def test_leaving_before_the_recheck(app: FastAPI, house: House, time: FakeClock) -> None:
    """A client that leaves before each recheck and comes back is asked for its identity in the same way."""
    async with multiplexed(app, token="old") as client:
        subscription = await client.subscribe("mine/ada")
        del house.sessions["old"]
        await time.advance(EACH - 1)
        await subscription.unsubscribe()
        await time.advance(2)
        with pytest.raises(CommandFailed, match="not valid"):
            await client.subscribe("mine/ada")


async def test_outage_of_the_authenticator(app: FastAPI, house: House, time: FakeClock) -> None:
    """While sessions cannot be verified, the client stays, and other topics admit it by what was known."""
    async with multiplexed(app, token="old") as client:
        mine = await client.subscribe("mine/ada")
        house.outage = True
        await time.advance(EACH)
        other = await client.subscribe("other/ada")
        assert (mine.ended_by, other.ended_by) == (None, None)
        assert house.live.statistics().refused["recheck failed"] == 1


async def test_identity_that_is_confirmed(app: FastAPI, house: House, time: FakeClock) -> None:
    """A client that comes back after the time of a recheck has the identity of its connection, and is revoked by it."""
    async with multiplexed(app, token="old") as client:
        await time.advance(2 * EACH)
        subscriptions = [await client.subscribe("mine/ada"), await client.subscribe("open")]
        assert house.tokens == ["old", "old"]
        await house.live.revoke(user="ada", feed=house.unguarded)
        assert (await subscriptions[1].ended()).code == 2403
        await house.live.revoke(session="s1")
        assert (await client.closed()).code == 3507


async def test_token_of_a_subscription(app: FastAPI, house: House, time: FakeClock) -> None:
    """A recheck asks whose the connection's token is, and not that of the subscription."""
    async with multiplexed(app, token="old") as client:
        subscription = await client.subscribe("mine/ada", token="seat 1")
        await time.advance(2 * EACH)
        assert subscription.ended_by is None
        assert house.tokens == ["old"] * 3


@pytest.mark.parametrize("path", ["/film", "/reel"])
async def test_newest_grant_is_checked(app: FastAPI, time: FakeClock, path: str) -> None:
    """Guards that are called again get the grant of the subscription's newest token, on feeds, topics and streams."""

    class Desk(Authenticator):
        """Grants whatever seat a token names."""

        async def connect(self, token: str, connection: HTTPConnection) -> Identity:
            return Identity(user="ada")

        async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
            return Grant(info=token)

    live = Live(app, authenticate=Desk(), settings=Settings(ping_interval=NEVER))
    seats: list[Any] = []

    def seat(grant: Annotated[Grant, Depends(required_grant)]) -> None:
        seats.append(grant.info)

    live.topic("/film", str, recheck=EACH, dependencies=[Depends(seat)])

    @live.stream("/reel", recheck=EACH, dependencies=[Depends(seat)])
    async def reel() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed(path, token="front")
        await speaker.ask({"sub_refresh": {"channel": path, "token": "back"}})
        await time.advance(EACH)
        assert seats == ["front", "back"]


async def test_few_guards_at_a_time(app: FastAPI, door: Door, time: FakeClock) -> None:
    """However many clients are due, few guards run at the same moment, and all clients get their turn."""
    async with multiplexed(app) as client:
        for number in range(100):
            await client.subscribe(f"count#{number}")
        door.may_pass.clear()
        door.most = 0
        asked = door.asked
        await time.advance(EACH + 29)
        assert door.now == door.most == 16, "the others wait"
        await time.advance(1)
        assert door.now == 32, "after 30 seconds, guards that hang no longer count"
        door.may_pass.set()
        await time.advance(0)
        assert door.asked == asked + 100


@pytest.mark.parametrize("is_raw", [False, True])
async def test_clients_are_judged_as_themselves(app: FastAPI, time: FakeClock, is_raw: bool) -> None:
    """However many guards are due together, each sees the variables with which it has admitted its client."""
    live, user, seen = Live(app), ContextVar[str]("user", default=""), list[tuple[str, str]]()

    async def guard(who: str) -> None:
        user.set(user.get() or who)
        seen.append((who, user.get()))

    live.topic("/news", str, recheck=EACH, dependencies=[Depends(guard)])
    count = 3 * MOST
    async with lifespan(app), AsyncExitStack() as stack:
        for number in range(count):
            if is_raw:
                await stack.enter_async_context(connect(app, f"/news?who={number}"))
            else:
                client = await stack.enter_async_context(multiplexed(app))
                await client.subscribe(f"news?who={number}")
        await time.advance(EACH)
        await time.advance(EACH)
        assert len(seen) == 3 * count
        assert [each for each in seen if each[0] != each[1]] == []


@pytest.mark.parametrize("wrong", [0, -1, True, "60", float("inf")])
def test_wrong_seconds(live: Live, wrong: Any) -> None:
    """A value that is not a number of seconds is refused."""
    with pytest.raises(DeclarationError, match="recheck"):
        live.topic("/news", str, recheck=wrong)
    with pytest.raises(DeclarationError, match="recheck"):

        @live.stream("/x", recheck=wrong)
        async def stream() -> AsyncIterator[int]:
            yield 1
