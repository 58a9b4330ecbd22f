"""Feeds as a FastAPI developer declares them, and as their watchers see them."""

import asyncio
import json
import logging
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Path, Query, WebSocketException
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from tests.exchanges import Exchange
from tests.lanes.turns import turns, until
from tests.live.source import End, Source, farewell, refusal, texts
from tests.waiting import PATIENCE
from wirespeed import DeclarationError, Feed, Live, Settings
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Coin(Enum):
    BTC = "btc"
    ETH = "eth"


class Price(BaseModel):
    symbol: str
    value: float


@pytest.fixture
def source() -> Source:
    """Return the controller of the feeds."""
    return Source()


@pytest.fixture
def price(live: Live, source: Source) -> Feed[[int], int]:
    """Yield the prices of one symbol."""

    @live.feed("/price/{number}")
    async def price(number: int) -> AsyncIterator[int]:
        """Return the cost of a number."""
        async for value in source.values(number):
            yield value

    return price


@pytest.fixture
def ticks(live: Live, source: Source) -> Feed[[], int]:
    """Yield values without a key; the feed does not linger."""

    @live.feed("/ticks", linger=0)
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    return ticks


# One run for all


async def test_one_run_is_for_all_who_watch(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """The generator runs once, and each watcher receives its values."""
    async with connect(app, "/price/7") as one, connect(app, "/price/7") as other:
        source.put(1, key=7)
        assert [await one.receive(), await other.receive()] == ["1", "1"]
        source.put(2, key=7)
        assert [await one.receive(), await other.receive()] == ["2", "2"]
        assert source.began == [7]
        assert price.statistics().watchers == 2


@pytest.mark.parametrize("path", ["/price/007", "/price/7?other=1", "/price/%37", "/price/+7"])
async def test_spellings_of_one_key_share_a_run(
    app: FastAPI, price: Feed[[int], int], source: Source, path: str
) -> None:
    """A key is its validated values, however a client spells them."""
    async with connect(app, "/price/7") as one, connect(app, path) as other:
        source.put(1, key=7)
        assert [await one.receive(), await other.receive()] == ["1", "1"]
        assert price.statistics().keys == 1
    assert source.began == [7]


async def test_each_key_has_its_own_run(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """Values of one key reach the watchers of that key only."""
    async with connect(app, "/price/7") as one, connect(app, "/price/8") as other:
        source.put(1, key=7)
        assert await one.receive() == "1"
        source.put(2, key=8)
        assert await other.receive() == "2"
        assert sorted(source.began) == [7, 8]
        assert one.waiting == other.waiting == 0
        assert price.statistics().keys == 2


async def test_defaults_belong_to_the_key(app: FastAPI, live: Live) -> None:
    """A query parameter that is left out is the same key as its default, spelled out or by its alias."""
    began: list[tuple[Any, ...]] = []

    @live.feed("/coin/{coin}")
    async def coins(
        coin: Annotated[Coin, Path()],
        size: int = 10,
        unit: Annotated[Literal["usd", "eur"], Query(alias="in")] = "usd",
    ) -> AsyncIterator[int]:
        began.append((coin, size, unit))
        yield 1
        await asyncio.Event().wait()

    paths = ["/coin/btc", "/coin/btc?size=010", "/coin/btc?in=usd&size=10", "/coin/btc?in=eur"]
    for path in paths:
        async with connect(app, path) as client:
            assert await client.receive() == "1"
    assert began == [(Coin.BTC, 10, "usd"), (Coin.BTC, 10, "eur")]


async def test_a_key_that_does_not_validate_is_refused(
    app: FastAPI, price: Feed[[int], int], source: Source, live: Live
) -> None:
    """It gets FastAPI's 422 with the field, on WebSockets and by GET, and nothing runs."""
    refused = await refusal(app, "/price/seven")
    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["path", "number"]
    async with Exchange(app, "/price/seven") as exchange:
        assert exchange.status == 422
        assert json.loads(await exchange.body())["detail"][0]["loc"] == ["path", "number"]
    assert source.began == []
    assert live.statistics().accepted == 0


async def test_unknown_paths_are_not_found(app: FastAPI, price: Feed[[int], int]) -> None:
    """An undeclared path is refused."""
    assert (await refusal(app, "/prices/7")).status in (403, 404)


async def test_newcomer_gets_the_newest_value_at_once(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """A later watcher receives the newest value, and no earlier one."""
    async with connect(app, "/price/7") as one:
        source.put(1, 2, 3, key=7)
        while await one.receive() != "3":
            pass
        async with connect(app, "/price/7") as other:
            assert await other.receive() == "3"
            source.put(4, key=7)
            assert await other.receive() == "4"


# From its first watcher to a while after its last


async def test_runs_only_while_it_is_watched(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """It starts with its first watcher, and is closed after its last has left; the next one starts a new run."""
    async with lifespan(app):
        await turns(5)
        assert source.began == []
        async with connect(app, "/ticks"):
            await until(lambda: source.began)
            assert source.ended == []
        await until(lambda: source.ended)
        async with connect(app, "/ticks"):
            await until(lambda: len(source.began) == 2)


async def test_lingers(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """A client that returns within ``linger`` finds the same run, with its value."""
    async with lifespan(app):
        async with connect(app, "/price/7") as client:
            source.put(1, key=7)
            assert await client.receive() == "1"
        await turns(20)
        assert source.ended == []
        async with connect(app, "/price/7") as client:
            assert await client.receive() == "1"
        assert source.began == [7]
    assert source.ended == [7]


async def test_no_old_value_after_a_pause(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """A log of the newest value ends with its run: a new watcher's first value is one of the new run."""
    async with lifespan(app):
        async with connect(app, "/ticks") as client:
            source.put(1)
            assert await client.receive() == "1"
        await until(lambda: ticks.statistics().keys == 0)
        assert await ticks.latest() is None
        async with connect(app, "/ticks") as client:
            source.put(2)
            assert await client.receive() == "2"


async def test_newcomer_while_a_run_is_closed(app: FastAPI, live: Live) -> None:
    """A watcher that comes while the old run's ``finally`` runs waits for it: there are never two runs at once."""
    gate = asyncio.Event()
    happened: list[str] = []

    @live.feed("/slow-end", linger=0)
    async def feed() -> AsyncIterator[int]:
        happened.append("began")
        try:
            yield len(happened)
            await asyncio.Event().wait()
        finally:
            happened.append("closing")
            await gate.wait()
            happened.append("closed")

    async with lifespan(app):
        async with connect(app, "/slow-end") as client:
            assert await client.receive() == "1"
        await until(lambda: "closing" in happened)
        newcomer = connect(app, "/slow-end")
        entering = asyncio.create_task(newcomer.__aenter__())
        await turns(20)
        assert happened == ["began", "closing"]
        gate.set()
        await entering
        assert await newcomer.receive() == "4"
        assert happened == ["began", "closing", "closed", "began"]
        await newcomer.__aexit__(None, None, None)


async def test_raising_restarts(
    app: FastAPI,
    ticks: Feed[[], int],
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A generator that raises is logged, counted and started again, and its watchers keep their place."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 0)
    async with lifespan(app), connect(app, "/ticks") as client:
        source.put(1, RuntimeError("no more"))
        assert await client.receive() == "1"
        await until(lambda: len(source.began) == 2)
        source.put(2)
        assert await client.receive() == "2"
        assert ticks.statistics().restarts == 1
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "feed '/ticks' (ticks): the generator failed and is started again"
    ]


async def test_ending_completes(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """When the generator ends, watchers receive everything and are closed with 1000."""
    async with lifespan(app), connect(app, "/ticks") as one, connect(app, "/ticks") as other:
        source.put(1, End)
        for client in (one, other):
            assert await client.receive() == "1"
            closed = await farewell(client)
            assert (closed.code, closed.reason) == (1000, "The feed is complete.")


async def test_shutdown_ends_runs_and_tells_watchers(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """When the app stops, watchers are closed with 1012, and ``finally`` blocks run before it has stopped."""
    async with AsyncExitStack() as stack:
        async with lifespan(app):
            client = await stack.enter_async_context(connect(app, "/price/7"))
            source.put(1, key=7)
            assert await client.receive() == "1"
            closed = asyncio.create_task(farewell(client))
        assert (await closed).code == 1012
        assert source.ended == [7]


async def test_sync_generator_runs_in_a_thread(app: FastAPI, live: Live) -> None:
    """A blocking generator does not block the loop, and is closed with its last watcher."""
    threads: list[bool] = []
    ended = threading.Event()
    gate = threading.Event()

    @live.feed("/thread", linger=0)
    def blocks() -> Iterator[int]:
        threads.append(threading.current_thread() is threading.main_thread())
        try:
            yield 1
            while True:
                gate.wait(PATIENCE)
                yield 2
        finally:
            ended.set()

    async with lifespan(app):
        async with connect(app, "/thread") as client:
            assert await client.receive() == "1"
            gate.set()
            assert await client.receive() == "2"
        await until(ended.is_set)
    assert threads == [False]


class Counter:
    """An object whose method is a feed."""

    def __init__(self, first: int) -> None:
        self.first = first

    async def count(self, by: int = 1) -> AsyncIterator[int]:
        """Count."""
        yield self.first + by
        await asyncio.Event().wait()


async def test_methods_and_partials(app: FastAPI, live: Live) -> None:
    """Everything that FastAPI accepts as an endpoint can be a feed."""
    live.feed("/method")(Counter(10).count)
    live.feed("/partial")(partial(Counter(20).count, by=5))
    for path, value in (("/method", "11"), ("/partial", "25"), ("/method?by=3", "13")):
        async with connect(app, path) as client:
            assert await client.receive() == value


async def test_context_of_a_run_is_its_own(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """A run outlives the watcher that has started it."""
    async with connect(app, "/ticks") as other_first, connect(app, "/ticks") as other:
        await other_first.disconnect()
        source.put(1)
        assert await other.receive() == "1"
    assert source.began == [None]


# Dependencies guard each watcher


def member(token: Annotated[str | None, Header()] = None) -> str:
    """Return the watcher's name."""
    if token is None:
        raise HTTPException(401, "Members only.", headers={"x-why": "token"})
    return token


async def test_dependencies_guard_each_watcher(app: FastAPI, live: Live, source: Source) -> None:
    """They run for each client, on each surface, before anything else; the generator needs none."""
    seen: list[str] = []

    def guard(token: Annotated[str, Depends(member)]) -> None:
        seen.append(token)

    @live.feed("/members", dependencies=[Depends(guard)])
    async def members() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    refused = await refusal(app, "/members")
    assert (refused.status, refused.json()) == (401, {"detail": "Members only."})
    async with Exchange(app, "/members") as exchange:
        assert (exchange.status, exchange.headers["x-why"]) == (401, "token")
    async with Exchange(app, "/members", {"accept": "text/event-stream"}) as exchange:
        assert exchange.status == 401
    assert source.began == []
    async with connect(app, "/members", headers={"token": "a"}), connect(app, "/members", headers={"token": "b"}):
        source.put(1)
        async with Exchange(app, "/members", {"token": "c"}) as exchange:
            assert await exchange.body() == b"1"
    assert seen == ["a", "b", "c"]
    assert source.began == [None]


async def test_guard_sees_the_key(app: FastAPI, live: Live, source: Source) -> None:
    """A dependency takes the parameters of the path, as everywhere in FastAPI."""

    def own(number: int, token: Annotated[int, Header()]) -> None:
        if number != token:
            raise HTTPException(403, "Not yours.")

    @live.feed("/own/{number}", dependencies=[Depends(own)])
    async def owned(number: int) -> AsyncIterator[int]:
        yield number

    assert (await refusal(app, "/own/7", token="8")).status == 403
    async with connect(app, "/own/7", headers={"token": "7"}) as client:
        assert await client.receive() == "7"


async def test_dependency_overrides(app: FastAPI, live: Live) -> None:
    """An override replaces a guard."""

    @live.feed("/members", dependencies=[Depends(member)])
    async def members() -> AsyncIterator[int]:
        yield 1

    app.dependency_overrides[member] = lambda: "anyone"
    async with connect(app, "/members") as client:
        assert await client.receive() == "1"


async def test_guard_may_raise_for_websockets(app: FastAPI, live: Live) -> None:
    """A ``WebSocketException`` is a 403 with its reason, on WebSockets and by GET."""

    def guard(connection: HTTPConnection) -> None:
        raise WebSocketException(4001, f"Not on {connection.scope['type']}.")

    @live.feed("/never", dependencies=[Depends(guard)])
    async def never() -> AsyncIterator[int]:
        yield 1

    refused = await refusal(app, "/never")
    assert (refused.status, refused.json()["detail"]) == (403, "Not on websocket.")
    async with Exchange(app, "/never") as exchange:
        assert exchange.status == 403
        assert json.loads(await exchange.body())["detail"] == "Not on http."


async def test_dependencies_with_yield_end(app: FastAPI, live: Live) -> None:
    """Resources of a guard are closed at the latest when its client has left."""
    happened: list[str] = []

    async def session() -> AsyncIterator[None]:
        happened.append("opened")
        yield
        happened.append("closed")

    @live.feed("/session", dependencies=[Depends(session)])
    async def feed() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async with connect(app, "/session") as client:
        assert await client.receive() == "1"
        assert happened[:1] == ["opened"]
    assert happened == ["opened", "closed"]


def test_only_the_key_in_the_signature(live: Live) -> None:
    """Parameters of one watcher are refused in the feed's own signature, with what to write instead."""

    async def feed(token: Annotated[str, Header()]) -> AsyncIterator[int]:
        yield 1

    with pytest.raises(DeclarationError, match=r"dependencies=\[Depends\(\.\.\.\)\]"):
        live.feed("/feed")(feed)


# Retention


async def test_keep_gives_newcomers_what_comes(app: FastAPI, live: Live, source: Source) -> None:
    """With ``keep=N`` a watcher receives each value published after it came."""

    @live.feed("/log", keep=10)
    async def log() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app), connect(app, "/log") as one:
        source.put(1, 2)
        assert await texts(one, 2) == ["1", "2"]
        async with connect(app, "/log") as other:
            source.put(3, 4)
            assert await texts(one, 2) == await texts(other, 2) == ["3", "4"]
        assert await log.snapshot() == [1, 2, 3, 4]


@pytest.mark.parametrize("keep", [9, timedelta(hours=1)])
@pytest.mark.parametrize(("replay", "expected"), [(0, []), (2, ["3", "4"]), (9, ["1", "2", "3", "4"])])
async def test_replay(app: FastAPI, live: Live, source: Source, keep: Any, replay: int, expected: list[str]) -> None:
    """With ``replay=n`` a new watcher receives the last n values first, or as many as exist."""

    @live.feed("/log", keep=keep, replay=replay)
    async def log() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with connect(app, "/log") as one:
        source.put(1, 2, 3, 4)
        assert await texts(one, 4) == ["1", "2", "3", "4"]
        async with connect(app, "/log") as other:
            source.put(5)
            assert await texts(other, len(expected) + 1) == [*expected, "5"]


async def test_log_outlives_its_run(app: FastAPI, live: Live, source: Source) -> None:
    """Entries are retained after the last watcher: a client with its position resumes, in the same epoch."""

    @live.feed("/log", keep=10, linger=0)
    async def log() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app):
        async with connect(app, "/log?positions=1") as client:
            source.put(1, 2)
            first = await client.receive_json()
            assert (await client.receive_json())["value"] == 2
        await until(lambda: source.ended)
        async with connect(app, f"/log?since={first['position']}") as client:
            source.put(3)
            assert await texts(client, 2) == ["2", "3"]
    assert len(source.began) == 2


async def test_table(app: FastAPI, live: Live) -> None:
    """With ``by=`` a new watcher receives the whole table, then changed rows."""
    queue: asyncio.Queue[Price] = asyncio.Queue()

    @live.feed("/prices", by="symbol")
    async def prices() -> AsyncIterator[Price]:
        while True:
            yield await queue.get()

    def row(symbol: str, value: float) -> dict[str, Any]:
        return {"key": symbol, "value": {"symbol": symbol, "value": value}}

    async with lifespan(app), connect(app, "/prices") as one:
        for symbol, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
            queue.put_nowait(Price(symbol=symbol, value=value))
        await until(lambda: prices.statistics().published == 3)
        async with connect(app, "/prices") as other:
            assert [await other.receive_json() for _ in range(2)] == [row("b", 2.0), row("a", 3.0)]
            queue.put_nowait(Price(symbol="b", value=4.0))
            assert await other.receive_json() == row("b", 4.0)
        seen: dict[str, Any] = {}
        while seen.get("b") != {"symbol": "b", "value": 4.0}:
            change = await one.receive_json()
            seen[change["key"]] = change["value"]
        assert seen["a"] == {"symbol": "a", "value": 3.0}
        assert await prices.snapshot() == [Price(symbol="a", value=3.0), Price(symbol="b", value=4.0)]


async def test_too_many_keys_are_refused() -> None:
    """One key more than the settings allow is refused with the reason, on each surface; existing ones continue."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_keys=2))
    source = Source()

    @live.feed("/price/{number}", linger=0)
    async def price(number: int) -> AsyncIterator[int]:
        async for value in source.values(number):
            yield value

    async with connect(app, "/price/1") as one, connect(app, "/price/2"):
        refused = await refusal(app, "/price/3")
        assert (refused.status, refused.json()) == (
            503,
            {"detail": "Too many keys are watched at a time; try again."},
        )
        for accept in ("*/*", "text/event-stream"):
            async with Exchange(app, "/price/3", {"accept": accept}) as exchange:
                assert exchange.status == 503
        async with connect(app, "/price/01"):
            source.put(5, key=1)
            assert await one.receive() == "5"
        assert live.statistics().refused == {"too many keys": 3}
        assert 3 not in source.began
    await until(lambda: price.statistics().keys == 0)
    async with connect(app, "/price/3") as client:
        source.put(6, key=3)
        assert await client.receive() == "6"


# From Python


async def test_values_in_python(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """The newest value of a key is available, typed, without being a watcher."""
    async with lifespan(app), connect(app, "/price/7") as client:
        assert await price.latest(7) is None
        source.put(5, key=7)
        assert await client.receive() == "5"
        assert (await price.latest(7), await price.snapshot(7)) == (5, [5])
        [publication] = await price.history(7)
        assert (publication.position.offset, publication.value) == (1, 5)
        assert await price.latest(8) is None
    assert source.began == [7]


async def test_statistics_add_up(app: FastAPI, price: Feed[[int], int], source: Source) -> None:
    """Each value was either delivered to a watcher or skipped for a newer one; both are counted."""
    async with lifespan(app), connect(app, "/price/7") as one, connect(app, "/price/7") as other:
        await until(lambda: source.began)
        source.put(*range(100), key=7)
        for client in (one, other):
            while await client.receive() != "99":
                pass
        heard = price.statistics()
        assert heard.published == 100
        assert heard.delivered + heard.skipped == 200
        assert (heard.watchers, heard.lost, heard.failed, heard.producers) == (2, 0, 0, {"running": 1})
        assert heard.bytes > 0


async def test_declaration_gives_a_feed(live: Live) -> None:
    """The decorator returns the feed, which names itself."""

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        yield 1

    assert isinstance(ticks, Feed)
    assert repr(ticks) == "<feed '/ticks' (ticks)>"


async def test_keys_that_json_cannot_tell_apart_have_a_run_each() -> None:
    """A field that JSON leaves out is part of the key: no client receives the values of another."""
    app = FastAPI()
    live = Live(app)

    class Who(BaseModel):
        """A query whose JSON is always the same."""

        tenant: str = Field(exclude=True)

    @live.feed("/secret")
    async def secret(who: Annotated[Who, Query()]) -> AsyncIterator[str]:
        """Yield a tenant's name."""
        yield who.tenant
        await asyncio.Event().wait()

    async with lifespan(app):
        for name in ("ada", "bob", "ada"):
            async with Exchange(app, f"/secret?tenant={name}") as exchange:
                assert await exchange.body() == name.encode()
