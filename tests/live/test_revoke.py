"""The end of access: revocations and expired sessions end what clients were admitted to, on every surface."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection

from tests.brokers.valkey import Valkey
from tests.exchanges import Exchange, events_of
from tests.lanes.turns import until
from tests.live.multiplexing import Speaker, speaking
from tests.live.source import farewell, refusal
from tests.waiting import NEVER, PATIENCE, until_async
from wirespeed import (
    Authenticator,
    BindingError,
    BrokerDown,
    Grant,
    Identity,
    InvalidKey,
    InvalidToken,
    Live,
    Message,
    Topic,
    current_identity,
    identify,
    required_grant,
)
from wirespeed.brokers.redis import control
from wirespeed.definitions import Criteria
from wirespeed.hub import revoking, slices
from wirespeed.testing import Closed, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

SENTENCE = "Access was revoked."
FRAME = {"error": {"code": 403, "message": SENTENCE}}

Caller = Annotated[Identity, Depends(current_identity)]


class Place:
    """An app with sessions ``user/session`` as tokens, which its database has until they are closed."""

    def __init__(self, app: FastAPI, broker: str | None = None) -> None:
        self.app = app
        self.live = live = Live(app, authenticate=self.authenticate, broker=broker)
        self.closed: set[str] = set()
        self.lifetime: float | None = None
        """Seconds after which a session expires."""
        self.looked = 0
        """Number of looks at the database."""
        self.may_look = asyncio.Event()
        self.may_look.set()
        self.ended: list[str] = []
        """Names of the generators that have ended."""
        self.topic: Topic[..., str] = live.topic("/room/{name}", str, keep=10, dependencies=[Depends(self.member)])

        @self.topic
        def room(name: str) -> None: ...

        @live.stream("/count")
        async def count(who: Caller) -> AsyncIterator[str]:
            try:
                yield who.user
                await asyncio.Event().wait()
            finally:
                self.ended.append("count")

        @live.stream("/kept", resume=NEVER)
        async def kept(who: Caller) -> AsyncIterator[str]:
            try:
                yield who.user
                await asyncio.Event().wait()
            finally:
                self.ended.append("kept")

        @live.call("/echo")
        async def echo(text: Annotated[str, Message()], who: Caller) -> str:
            return text

        @live.call("/logout")
        async def logout(who: Caller) -> bool:
            return live.revoke(session=who.session).done()

        self.count, self.kept, self.echo = count, kept, echo

    async def authenticate(self, token: str, connection: HTTPConnection) -> Identity | None:
        """Look the session up, and take a moment for the answer."""
        is_closed = token in self.closed
        self.looked += 1
        await self.may_look.wait()
        if is_closed:
            raise InvalidToken
        user, _, session = token.partition("/")
        channels = ["room/a"] if session == "greeted" else []
        expires_at = None if self.lifetime is None else time.time() + self.lifetime
        return Identity(user=user, session=session, expires_at=expires_at, subscriptions=channels)

    async def member(self, who: Caller) -> None:
        """Admit clients with a user."""
        if not who.user:
            raise HTTPException(403)

    def watch(self, token: str, path: str = "/room/a") -> WebSocketClient:
        """A raw WebSocket."""
        return connect(self.app, path, headers=bearer(token))

    def events(self, token: str, **headers: str) -> Exchange:
        """Server-Sent Events."""
        return events_of(self.app, "/room/a", **bearer(token), **headers)

    @asynccontextmanager
    async def speaker(self, token: str, *channels: str) -> AsyncIterator[Speaker]:
        """A multiplexed connection."""
        async with speaking(self.app, connects=False) as speaker:
            await speaker.connected(token=token)
            for each in channels:
                await speaker.subscribed(each)
            yield speaker


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def place(app: FastAPI) -> AsyncIterator[Place]:
    """A running app."""
    place = Place(app)
    async with lifespan(app):
        yield place


@pytest.fixture
def live(place: Place) -> Live:
    """The ``Live`` of the running app."""
    return place.live


async def last_of(client: WebSocketClient) -> tuple[Any, Closed]:
    """Return the last message of a raw WebSocket, and the close."""
    return await client.receive_json(), await farewell(client)


# Each surface


async def test_raw_watcher_ends_at_once(place: Place) -> None:
    """A raw WebSocket gets what was published before the revocation and nothing after it, an error, and 1008."""
    async with place.watch("ada/1") as ada, place.watch("bob/1") as bob:
        place.topic.publish("before", name="a")
        assert await ada.receive_text() == "before"
        revocation = place.live.revoke(user="ada")
        for _ in range(10):  # so many that they are written at once, and not in the clock's next round
            place.topic.publish("after", name="a")
        message, closed = await last_of(ada)
        assert (message, closed.code, closed.reason) == (FRAME, 1008, SENTENCE)
        assert await revocation == 1
        assert [await bob.receive_text() for _ in range(2)] == ["before", "after"]


async def test_raw_stream_ends(place: Place) -> None:
    """The run of a stream is cancelled, and its connection closes as a refusal does."""
    async with place.watch("ada/1", "/count") as client:
        assert await client.receive_text() == "ada"
        assert await place.live.revoke(session="1") == 1
        message, closed = await last_of(client)
        assert (message, closed.code) == (FRAME, 1008)
        assert place.ended == ["count"]


async def test_raw_calls_end(place: Place) -> None:
    """A WebSocket of a call closes."""
    async with place.watch("ada/1", "/echo") as client:
        await client.send_text("hello")
        assert await client.receive_text() == "hello"
        assert await place.live.revoke(feed=place.echo) == 1
        message, closed = await last_of(client)
        assert (message, closed.code) == (FRAME, 1008)


async def test_events_end_for_good(place: Place) -> None:
    """Server-Sent Events end with an error, and an EventSource that reconnects by itself learns to stop."""
    async with place.events("ada/1") as events:
        place.topic.publish("before", name="a")
        assert (await events.event()).data == "before"
        revocation = place.live.revoke(user="ada")
        for _ in range(10):
            place.topic.publish("after", name="a")
        last = await events.event()
        assert (last.id, last.type) == ("refused", "error")
        assert SENTENCE in last.data
        with pytest.raises(EOFError):
            await events.event()
        assert await revocation == 1
    async with place.events("ada/1", last_event_id="refused") as events:
        assert events.status == 204


async def test_response_of_a_stream_ends(place: Place) -> None:
    """The run that answers a POST is cancelled, and the last line is the error."""
    async with Exchange(place.app, "/count", bearer("ada/1"), method="POST") as response:
        await until(lambda: place.live.statistics().runs)
        revocation = place.live.revoke(user="ada")
        lines = (await response.body()).splitlines()
        assert b"403" in lines[-1]
        assert await revocation == 1
        assert place.ended == ["count"]


async def test_multiplexed_connection_ends(place: Place) -> None:
    """A multiplexed connection ends with 3507, by which SDKs do not reconnect, and everything on it ends at once."""
    async with place.speaker("ada/1", "room/a", "count") as ada, place.speaker("bob/1", "room/a") as bob:
        await until(lambda: place.live.statistics().runs)
        revocation = place.live.revoke(user="ada")
        place.topic.publish("after", name="a")
        assert place.live.clients("ada") == []
        assert await ada.farewell() == (3507, "access was revoked")
        assert "after" not in str(ada.frames)
        assert await revocation == 1
        assert (await bob.push())["pub"]["data"] == "after"
        await until(lambda: place.ended == ["count"])


async def test_multiplexed_connection_over_http_ends(place: Place) -> None:
    """A multiplexed connection over HTTP gets the same end as a message."""
    path = '/live/sse?cf_connect={"id":1,"connect":{"token":"ada/1"}}'
    async with Exchange(place.app, path.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")) as response:
        await until(lambda: place.live.clients("ada"))
        revocation = place.live.revoke(session="1")
        assert b'"disconnect":{"code":3507,"reason":"access was revoked"' in await response.body()
        assert await revocation == 1


async def test_one_feed_ends(place: Place) -> None:
    """With a feed or a key, single subscriptions end with 2403, those that the server has added included."""
    async with place.speaker("ada/greeted", "room/b", "count") as ada, place.watch("ada/2", "/room/b") as raw:
        await until(lambda: place.live.statistics().runs)
        assert await place.live.revoke(user="ada", feed=place.topic, key="a") == 1
        assert await ada.push() == {"channel": "count", "pub": {"data": "ada"}}
        assert await ada.push() == unsubscribed("room/a")
        assert await place.live.revoke(user="ada", feed=place.topic) == 2
        assert await ada.push() == unsubscribed("room/b")
        assert (await last_of(raw))[1].code == 1008
        assert await place.live.revoke(session="greeted", feed=place.count) == 1
        assert await ada.push() == unsubscribed("count")
        assert await ada.subscribed("room/c") is not None


def unsubscribed(channel: str) -> dict[str, Any]:
    return {"channel": channel, "unsubscribe": {"code": 2403, "reason": SENTENCE}}


@pytest.mark.parametrize("by", ["session", "feed"])
async def test_run_without_a_connection_ends(place: Place, by: str) -> None:
    """A run that waits for its client to return ends, and cannot be resumed; so does one with a connection."""
    criteria: Any = {"session": "1"} if by == "session" else {"feed": place.kept}
    async with place.watch("ada/1", "/kept?resume=1") as client:
        run = (await client.receive_json())["run"]
        assert await client.receive_text() == "ada"
        client.lose()
        await until(lambda: not place.live.connections())
        assert place.ended == []
        assert await place.live.revoke(**criteria) == 1
        await until(lambda: place.ended == ["kept"])
        async with place.watch("ada/1", f"/kept?run={run}&since=1") as late:
            assert (await late.receive_json())["error"]["code"] == 410
    async with place.watch("ada/1", "/kept?resume=1") as client:
        await client.receive_text()
        assert await place.live.revoke(**criteria) == 1
        await until(lambda: place.ended == ["kept"] * 2)


async def test_nothing_follows_a_revocation_of_many(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are ended last, because there are many, receive what was published before, and no more."""
    monkeypatch.setattr(slices, "SLICE", 0.0)
    live = Live(app)
    news = live.topic("/news", str, keep=9)

    async with lifespan(app), AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(connect(app, "/news")) for _ in range(3)]
        streams = [await stack.enter_async_context(events_of(app, "/news")) for _ in range(3)]
        speakers = [await stack.enter_async_context(speaking(app)) for _ in range(3)]
        for speaker in speakers:
            await speaker.subscribed("news")
        news.publish("before")
        revocation = live.revoke(feed=news)
        news.publish("after")
        assert await revocation == 9
        for watcher in watchers:
            assert [await watcher.receive_text(), await watcher.receive_json()] == ["before", FRAME]
        for stream in streams:
            body = await stream.body()
            assert b"before" in body
            assert b"after" not in body
        for speaker in speakers:
            assert (await speaker.push())["pub"]["data"] == "before"
            assert "unsubscribe" in await speaker.push()


async def test_only_watchers_are_asked(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revocation of a key, a feed or a stream asks its own clients, however many others there are."""
    live = Live(app)

    @live.topic("/room/{n}", str)
    def room(n: int) -> None: ...

    @live.stream("/count")
    async def count() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    asked: list[str] = []
    covers = Criteria.covers

    def counted(self: Criteria, place: str) -> bool:
        asked.append(place)
        return covers(self, place)

    monkeypatch.setattr(Criteria, "covers", counted)
    async with lifespan(app), AsyncExitStack() as stack:
        for _ in range(3):
            speaker = await stack.enter_async_context(speaking(app))
            for n in range(3):
                await speaker.subscribed(f"room/{n}")
        await speaker.subscribed("count")
        await stack.enter_async_context(connect(app, "/room/0"))
        asked.clear()
        assert await live.revoke(feed=room, key=7) == 0
        assert asked == []
        assert await live.revoke(feed=room, key=1) == 3
        assert await live.revoke(feed=count) == 1
        assert len(asked) <= 2
        assert await live.revoke(feed=room) == 7


async def test_subscription_that_is_admitted_is_found(app: FastAPI) -> None:
    """A subscription whose client does not know of it yet, because another one is undecided, ends as well."""
    may_enter = asyncio.Event()

    async def authenticate(token: str, connection: HTTPConnection) -> Identity:
        return Identity(user="ada", subscriptions=["quick", "slow"])

    live = Live(app, authenticate=authenticate)
    quick = live.topic("/quick", str)
    live.topic("/slow", str, dependencies=[Depends(may_enter.wait)])
    async with lifespan(app), speaking(app, connects=False) as speaker:
        connecting = asyncio.create_task(speaker.connected(token="any"))
        await until(lambda: quick.statistics().keys)
        assert await live.revoke(feed=quick) == 1
        may_enter.set()
        assert [*(await connecting)["subs"]] == ["slow"]
        assert quick.statistics().keys == 0


async def test_key_of_its_own_form_is_found(place: Place) -> None:
    """A key may be one value, a tuple or a dict; other keys of the feed are not touched."""
    async with place.watch("ada/1"), place.watch("ada/1", "/room/ab"):
        assert await place.live.revoke(feed=place.topic, key="other") == 0
        assert await place.live.revoke(feed=place.topic, key=("a",)) == 1
        assert await place.live.revoke(feed=place.topic, key={"name": "ab"}) == 1


# Races


def surfaces(place: Place) -> dict[str, Callable[[], Coroutine[Any, Any, int]]]:
    """Return a way to be refused on each surface."""

    async def raw() -> int:
        return (await refusal(place.app, "/room/a", **bearer("ada/1"))).status

    async def stream() -> int:
        return (await refusal(place.app, "/count", **bearer("ada/1"))).status

    async def events() -> int:
        async with place.events("ada/1") as response:
            return response.status

    async def post() -> int:
        async with Exchange(place.app, "/count", bearer("ada/1"), method="POST") as response:
            return response.status

    async def get() -> int:
        async with Exchange(place.app, "/room/a", bearer("ada/1")) as response:
            return response.status

    async def call() -> int:
        async with Exchange(place.app, "/logout", bearer("ada/1"), method="POST") as response:
            return response.status

    async def multiplexed() -> int:
        async with speaking(place.app, connects=False) as speaker:
            await speaker.say({"connect": {"token": "ada/1"}})
            with pytest.raises(Closed) as closed:
                await speaker.hear()
            return {3507: 403}[closed.value.code]

    return {each.__name__: each for each in (raw, stream, events, post, get, call, multiplexed)}


@pytest.mark.parametrize("surface", ["raw", "stream", "events", "post", "get", "call", "multiplexed"])
async def test_revocation_during_an_admission_is_not_missed(place: Place, surface: str) -> None:
    """A client whose guards have read an old state when it is revoked is refused."""
    place.may_look.clear()
    asking = asyncio.create_task(surfaces(place)[surface]())
    await until(lambda: place.looked)
    assert await place.live.revoke(user="ada") == 0
    place.may_look.set()
    assert await asking == 403
    if surface != "multiplexed":
        assert place.live.statistics().refused == {"revoked": 1}


async def test_revocation_during_a_subscribe_is_not_missed(app: FastAPI) -> None:
    """A subscription whose guards run when its feed is revoked is refused, and may be asked for again."""
    live, may_pass, asked = Live(app), asyncio.Event(), asyncio.Event()

    async def guard(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ada"))
        asked.set()
        await may_pass.wait()

    news = live.topic("/news", str, dependencies=[Depends(guard)])
    async with lifespan(app), speaking(app) as speaker:
        [id_] = await speaker.say({"subscribe": {"channel": "news"}})
        await asked.wait()
        assert await live.revoke(user="ada", feed=news) == 0
        may_pass.set()
        assert (await speaker.reply(id_))["error"] == {"code": 103, "message": SENTENCE}
        assert await speaker.subscribed("news") is not None


async def test_revocation_during_the_verification_of_a_token_is_not_missed(app: FastAPI) -> None:
    """A subscription whose token is being verified when its feed is revoked is refused."""
    may_pass, asked = asyncio.Event(), asyncio.Event()

    class Doorman(Authenticator):
        async def connect(self, token: str, connection: HTTPConnection) -> Identity:
            return Identity(user=token)

        async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
            asked.set()
            await may_pass.wait()
            return Grant()

    live = Live(app, authenticate=Doorman())
    seat = live.topic("/seat", str, dependencies=[Depends(required_grant)])
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.connected(token="ada")
        [id_] = await speaker.say({"subscribe": {"channel": "seat", "token": "ticket"}})
        await asked.wait()
        assert await live.revoke(user="ada", feed=seat) == 0
        may_pass.set()
        assert (await speaker.reply(id_))["error"] == {"code": 103, "message": SENTENCE}
        assert await speaker.subscribed("seat", token="ticket") is not None


COMMANDS: dict[str, dict[str, Any]] = {
    "history": {"history": {"channel": "news", "limit": 9}},
    "publish": {"publish": {"channel": "news", "data": "hello"}},
    "call": {"rpc": {"method": "count"}},
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_revocation_during_a_command_is_not_missed(app: FastAPI, command: str) -> None:
    """A command whose guards run when its feed or call is revoked is refused, and has no effect."""
    live, may_pass, asked, done = Live(app), asyncio.Event(), asyncio.Event(), list[str]()

    async def guard(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ada"))
        asked.set()
        await may_pass.wait()

    news = live.topic("/news", str, keep=9, dependencies=[Depends(guard)])

    @news.on_message
    async def note(message: Annotated[str, Message()]) -> None:
        done.append(message)

    @live.call("/count", dependencies=[Depends(guard)])
    async def count() -> int:
        done.append("count")
        return 1

    async with lifespan(app), speaking(app) as speaker:
        [id_] = await speaker.say(COMMANDS[command])
        await asked.wait()
        live.revoke(user="ada", feed=count if command == "call" else news)
        may_pass.set()
        assert (await speaker.reply(id_))["error"] == {"code": 103, "message": SENTENCE}
        assert done == []
        assert "error" not in await speaker.ask(COMMANDS[command])


async def test_get_that_waits_for_a_value_is_not_missed(app: FastAPI) -> None:
    """A GET that waits for the first value of a feed is refused if its client is revoked before that."""
    live, runs, may_yield = Live(app), asyncio.Event(), asyncio.Event()

    async def guard(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ada"))

    @live.feed("/news", dependencies=[Depends(guard)])
    async def news() -> AsyncIterator[str]:
        runs.set()
        await may_yield.wait()
        yield "secret"
        await asyncio.Event().wait()

    async def get() -> int:
        async with Exchange(app, "/news") as response:
            return response.status

    async with lifespan(app):
        asking = asyncio.create_task(get())
        await runs.wait()
        live.revoke(user="ada")
        may_yield.set()
        assert await asking == 403


async def test_client_that_returns_after_a_revocation_is_welcome(place: Place) -> None:
    """A revocation ends what was admitted before it, and nothing that is admitted later."""
    await place.live.revoke(user="ada")
    async with place.watch("ada/2") as client:
        place.topic.publish("hello", name="a")
        assert await client.receive_text() == "hello"


async def test_many_revocations_during_an_admission(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has waited for more revocations than are remembered is refused: one might have been its own."""
    place.may_look.clear()
    asking = asyncio.create_task(surfaces(place)["raw"]())
    await until(lambda: place.looked)
    for number in range(10_001):
        place.live.revoke(session=f"other {number}")
    place.may_look.set()
    assert await asking == 403


# Identities


async def test_app_without_authenticate_identifies_clients_itself(app: FastAPI) -> None:
    """An identity that a dependency passes to ``identify`` can be revoked, as a raw connection or a subscription."""
    live = Live(app)

    def logged_in(connection: HTTPConnection) -> None:
        if (session := connection.cookies.get("session")) is None:
            raise HTTPException(401)
        identify(connection, Identity(user="ada", session=session))

    news = live.topic("/news", str, dependencies=[Depends(logged_in)])
    live.topic("/open", str)
    cookie = {"cookie": "session=s1"}
    async with lifespan(app), connect(app, "/news", headers=cookie) as raw, speaking(app, headers=cookie) as speaker:
        assert await speaker.subscribed("news") is not None
        assert await speaker.subscribed("open") is not None
        assert [each.user for each in live.connections()] == ["ada", ""]
        assert await live.revoke(session="s1") == 2
        assert (await last_of(raw))[1].code == 1008
        assert await speaker.push() == unsubscribed("news")
        news.publish("not for you")
        assert await live.revoke(session="s1") == 0


@pytest.mark.parametrize("wrong", ["ada", None, Identity(user=7), Identity(session=b"x")])  # type: ignore[arg-type]
def test_identity_is_checked(wrong: Any) -> None:
    """Anything but a valid identity is refused."""
    with pytest.raises(TypeError):
        identify(HTTPConnection({"type": "http"}), wrong)


# Sessions that expire


async def test_expired_session_ends_everything(place: Place) -> None:
    """When a session expires, its raw WebSockets, events and responses end with 401."""
    place.lifetime = 0.5
    expired = {"error": {"code": 401, "message": "The session has expired."}}
    async with AsyncExitStack() as stack:
        raw = await stack.enter_async_context(place.watch("ada/1"))
        stream = await stack.enter_async_context(place.watch("ada/1", "/count"))
        events = await stack.enter_async_context(place.events("ada/1"))
        response = await stack.enter_async_context(Exchange(place.app, "/count", bearer("ada/1"), method="POST"))
        assert await stream.receive_text() == "ada"
        message, closed = await last_of(raw)
        assert (message, closed.code) == (expired, 1008)
        assert (await last_of(stream))[0] == expired
        last = await events.event()
        assert (last.id, last.type) == (None, "error")
        assert b"401" in (await response.body()).splitlines()[-1]
        assert place.ended == ["count", "count"]


async def test_subscription_expires_with_the_session_of_its_guard(app: FastAPI) -> None:
    """A session that a guard has found ends the subscription when it expires; the SDK asks again, and is refused."""
    live, is_over = Live(app), False

    def guard(connection: HTTPConnection) -> None:
        if is_over:
            raise HTTPException(401)
        identify(connection, Identity(user="ada", expires_at=time.time() + 0.5))

    live.topic("/news", str, dependencies=[Depends(guard)])
    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.subscribed("news") is not None
        is_over = True
        assert (await speaker.push())["unsubscribe"]["code"] == 2501
        [id_] = await speaker.say({"subscribe": {"channel": "news"}})
        assert (await speaker.reply(id_))["error"]["code"] == 101


# Arguments


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, ValueError),
        ({"user": ""}, ValueError),
        ({"session": "", "user": "ada"}, ValueError),
        ({"user": "ada", "key": 5}, ValueError),
        ({"feed": print}, BindingError),
    ],
)
async def test_wrong_criteria(place: Place, wrong: Any, error: type[Exception]) -> None:
    """Criteria that would end too much, or that make no sense, are refused."""
    with pytest.raises(error):
        place.live.revoke(**wrong)
    with pytest.raises(InvalidKey):
        place.live.revoke(feed=place.topic, key=("a", "b"))


async def test_revocation_from_a_thread(place: Place) -> None:
    """A plain ``def`` endpoint may revoke, and wait for the number."""
    async with place.watch("ada/1") as client:
        assert await asyncio.to_thread(lambda: place.live.revoke(user="ada").result(PATIENCE)) == 1
        assert (await last_of(client))[1].code == 1008


def test_revocation_before_the_start(app: FastAPI) -> None:
    """Without any connection, nothing ends."""
    assert Live(app).revoke(user="ada").result(0) == 0


async def test_thread_publishes_before_and_after_a_revocation(place: Place) -> None:
    """A client receives what a thread has published before it revokes, and nothing that it publishes after."""

    def work() -> None:
        place.topic.publish("before", name="a")
        place.live.revoke(user="ada")
        place.topic.publish("after", name="a")

    async with place.watch("ada/1") as client:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()  # all of it is there before the event loop goes on
        assert await client.receive_text() == "before"
        assert await client.receive_json() == FRAME


async def test_client_may_revoke_itself(place: Place) -> None:
    """A call that ends its own session is answered, and then its connection ends."""
    async with place.speaker("ada/1") as speaker:
        assert (await speaker.ask({"rpc": {"method": "logout"}}))["rpc"] == {"data": True}
        assert (await speaker.farewell())[0] == 3507


# Many processes


@pytest.fixture
async def places(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Place]]:
    """Two processes of one app, which know of each other."""
    monkeypatch.setattr(control, "ALIVE", NEVER)
    server.command("FLUSHALL")
    places = [Place(FastAPI(), f"redis://127.0.0.1:{server.port}") for _ in range(2)]
    async with AsyncExitStack() as stack:
        for each in places:
            await stack.enter_async_context(lifespan(each.app))

        async def all_answer() -> bool:
            return all([(await each.live.all_statistics()).answered == 2 for each in places])

        await until_async(all_answer)
        yield places


async def test_other_processes_end_their_clients(places: list[Place]) -> None:
    """A revocation ends the clients of all processes, and the number counts them all."""
    first, second = places
    async with first.watch("ada/1") as one, second.watch("ada/1") as two, second.speaker("ada/1", "room/a") as three:
        assert await first.live.revoke(user="ada", feed=first.topic, key="a") == 3
        assert [(await last_of(each))[1].code for each in (one, two)] == [1008, 1008]
        assert await three.push() == unsubscribed("room/a")
        assert await first.live.revoke(session="1") == 1


async def test_process_that_does_not_confirm(
    places: list[Place], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A revocation that another process does not confirm fails, and the log says so; own clients have ended."""
    for name, seconds in {"ANSWER": 0.1, "PAUSE": 0.1, "PATIENCE": 0.3}.items():
        monkeypatch.setattr(revoking, name, seconds)
    first, second = places
    del second.live._hub.processes.answers["revoke"]  # as in an older version
    async with first.watch("ada/1") as client:
        with pytest.raises(BrokerDown, match="1 of 1 other processes have not confirmed it"):
            await first.live.revoke(user="ada")
        assert (await last_of(client))[1].code == 1008
    assert "A revocation may be incomplete" in caplog.text


async def test_process_that_is_asked_again_acts_once(places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """If a confirmation is lost, the process is asked again, and ends nothing that was admitted meanwhile."""
    monkeypatch.setattr(revoking, "ANSWER", 0.1)
    monkeypatch.setattr(revoking, "PAUSE", 0.1)
    first, second = places
    answers, asked = second.live._hub.processes.answers, 0
    confirm = answers["revoke"]

    def late(body: bytes) -> bytes | None:
        nonlocal asked
        asked += 1
        answer = confirm(body)
        return answer if asked >= 3 else None

    answers["revoke"] = late
    async with second.watch("ada/1") as old:
        revocation = first.live.revoke(user="ada")
        await until(lambda: asked)
        async with second.watch("ada/2") as new:
            assert await revocation == 1
            assert (await last_of(old))[1].code == 1008
            second.topic.publish("hello", name="a")
            assert await new.receive_text() == "hello"


async def test_many_revocations_are_few_requests(places: list[Place]) -> None:
    """Revocations that come together are brought to other processes together, and each has its own number."""
    first, second = places
    async with AsyncExitStack() as stack:
        for number in range(5):
            await stack.enter_async_context(second.watch(f"ada/{number}"))
        revocations = [first.live.revoke(session=str(number)) for number in range(300)]
        counts = [await each for each in revocations]
        assert counts == [1] * 5 + [0] * 295
