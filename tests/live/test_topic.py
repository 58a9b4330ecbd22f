"""Topics as a FastAPI developer declares them and publishes to them, and as their watchers see them."""

import asyncio
import gc
import json
import logging
import threading
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Query, WebSocketException
from fastapi.testclient import TestClient
from pydantic import BaseModel

from tests.exchanges import Event, Exchange, events_of
from tests.lanes.turns import turns, until
from tests.live.multiplexing import speaking
from tests.live.source import farewell, refusal, texts
from tests.waiting import PATIENCE
from wirespeed import (
    BindingError,
    DeclarationError,
    InvalidKey,
    InvalidValue,
    Live,
    LiveRouter,
    Message,
    Position,
    Settings,
    Stopped,
    Topic,
)
from wirespeed.testing import WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Order(BaseModel):
    number: int
    price: float = 1.0


@pytest.fixture
def orders(live: Live) -> Topic[[int], Order]:
    """A topic with a key."""

    @live.topic("/orders/{user_id}", Order)
    def orders(user_id: int) -> None:
        """The orders of one user."""

    return orders


@pytest.fixture
def news(live: Live) -> Topic[[], str]:
    """A topic without a key."""
    return live.topic("/news", str)


# Publishing


async def test_assigned_topic(app: FastAPI, news: Topic[[], str]) -> None:
    """Without a key it is assigned; its values reach all watchers, in order."""
    async with lifespan(app), connect(app, "/news") as one, connect(app, "/news") as other:
        positions = [await news.publish(text) for text in ("a", "b", "c")]
        assert await texts(one, 3) == await texts(other, 3) == ["a", "b", "c"]
    assert [position.offset for position in positions] == [1, 2, 3]
    assert len({position.epoch for position in positions}) == 1


async def test_key_of_a_publication(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """It reaches the watchers of that key, however either side spells it."""
    async with lifespan(app), connect(app, "/orders/007") as seven, connect(app, "/orders/8") as eight:
        publish: Any = orders.publish
        publish(Order(number=1), user_id=7)
        orders.publish(Order(number=2), 8)
        publish(Order(number=3), user_id="7")
        assert [(await seven.receive_json())["number"] for _ in range(2)] == [1, 3]
        assert await eight.receive_json() == {"number": 2, "price": 1.0}
        assert seven.waiting == eight.waiting == 0


async def test_key_with_a_default(app: FastAPI, live: Live) -> None:
    """Watchers and publishers may both leave a default out."""

    @live.topic("/lines", str)
    def lines(level: str = "info") -> None: ...

    async with lifespan(app), connect(app, "/lines?level=info") as info, connect(app, "/lines?level=debug") as debug:
        lines.publish("a")
        lines.publish("b", level="debug")
        assert (await info.receive(), await debug.receive()) == ("a", "b")


async def test_what_is_refused_when_publishing(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """Wrong values and wrong keys raise at once, with the name of the topic, and no watcher receives anything."""
    publish: Any = orders.publish
    async with lifespan(app), connect(app, "/orders/7") as client:
        for value in ({"number": "one"}, 5, None):
            with pytest.raises(InvalidValue, match="orders"):
                publish(value, user_id=7)
        for key in ({}, {"user_id": "seven"}, {"user_id": 7, "other": 1}):
            with pytest.raises(InvalidKey, match="orders"):
                publish(Order(number=1), **key)
        with pytest.raises(InvalidKey):
            publish(Order(number=1), 7, 8)
        await turns(10)
        assert client.waiting == 0
        assert orders.statistics().published == 0


async def test_what_fits_is_validated(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """A dictionary becomes the model, as everywhere in Pydantic."""
    publish: Any = orders.publish
    async with lifespan(app):
        await publish({"number": "5"}, user_id=7)
        assert await orders.latest(7) == Order(number=5)


def test_publishing_from_sync_endpoints(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """A plain ``def`` in a worker thread publishes, and may wait for the position."""
    offsets: list[int] = []

    @app.post("/orders/{user_id}")
    def place(user_id: int, order: Order) -> None:
        offsets.append(orders.publish(order, user_id).result(PATIENCE).offset)

    with TestClient(app) as client, client.websocket_connect("/orders/7") as websocket:
        for number in (1, 2):
            assert client.post("/orders/7", json={"number": number}).status_code == 200
            assert websocket.receive_json() == {"number": number, "price": 1.0}
    assert offsets == [1, 2]


async def test_publishing_from_threads(app: FastAPI, live: Live) -> None:
    """Publications of one thread keep their order, and none is lost."""
    numbers = live.topic("/numbers", tuple[int, int], keep=1000)
    threads, count = 4, 100

    def publish(thread: int) -> None:
        for number in range(count):
            numbers.publish((thread, number))

    async with lifespan(app), connect(app, "/numbers", max_waiting=1000) as client:
        await asyncio.gather(*(asyncio.to_thread(publish, thread) for thread in range(threads)))
        seen = [await client.receive_json() for _ in range(threads * count)]
    for thread in range(threads):
        assert [number for by, number in seen if by == thread] == list(range(count))


async def test_publishing_in_startup(live: Live, app: FastAPI, news: Topic[[], str]) -> None:
    """A value published by a lifespan after ``Live`` has started is available to the first watcher."""

    @live.topic("/replayed", str, replay=10)
    def replayed() -> None: ...

    async with lifespan(app):
        replayed.publish("early")
        async with connect(app, "/replayed") as client:
            assert await client.receive() == "early"


async def test_publishing_before_the_start(app: FastAPI, news: Topic[[], str]) -> None:
    """A value published before the start is sent after it; waiting for it earlier is a clear error."""
    receipt = news.publish("a")
    with pytest.raises(BindingError, match=r"news.*has not started.*with TestClient\(app\)"):
        await receipt
    async with lifespan(app):
        assert await news.latest() == "a"
        assert (await receipt).offset == 1


def test_publishing_to_a_router_of_no_app() -> None:
    """A topic that no app has included yet raises an error that says so."""
    lonely = LiveRouter().topic("/lonely", str)
    with pytest.raises(BindingError, match=r"lonely.*belongs to no running app"):
        lonely.publish("a")


async def test_publishing_after_the_stop(app: FastAPI, news: Topic[[], str]) -> None:
    """When the app has stopped, the receipt raises; publishing itself does not."""
    async with lifespan(app):
        news.publish("a")
    receipt = news.publish("b")
    with pytest.raises(Stopped, match="news"):
        await receipt
    with pytest.raises(Stopped):
        await asyncio.to_thread(news.publish("c").result, 1)


async def test_abandoned_failure_is_logged(
    app: FastAPI, news: Topic[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The failure of a receipt that is not awaited is logged."""
    async with lifespan(app):
        pass
    news.publish("b")
    gc.collect()
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "a publication failed" in record.getMessage()


def test_publishing_from_a_finished_loop(app: FastAPI, news: Topic[[], str]) -> None:
    """If the loop has ended without a shutdown, a publication fails in its receipt and does not hang."""

    async def use() -> None:
        async with connect(app, "/news") as client:
            await news.publish("a")
            assert await client.receive() == "a"

    asyncio.run(use())
    with pytest.raises(Stopped):
        news.publish("b").result(PATIENCE)


async def test_restart_of_the_app(app: FastAPI, news: Topic[[], str]) -> None:
    """An app that is started again has empty logs."""
    for text in ("a", "b"):
        async with lifespan(app), connect(app, "/news") as client:
            assert (await news.publish(text)).offset == 1
            assert await client.receive() == text


# Reading from Python


async def test_values_in_python(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """The values in the log of a key are available, typed, whether it is watched or not."""
    async with lifespan(app):
        assert await orders.latest(7) is None
        assert await orders.snapshot(7) == []
        for number in (1, 2):
            orders.publish(Order(number=number), 7)
        assert await orders.latest(7) == Order(number=2)
        assert await orders.snapshot(7) == [Order(number=1), Order(number=2)]
        assert [(each.position.offset, each.value.number) for each in await orders.history(7)] == [(1, 1), (2, 2)]
        assert await orders.snapshot(8) == []
        wrong: Any = orders.snapshot
        with pytest.raises(InvalidKey):
            await wrong("seven")


async def test_history_has_a_position(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """A history, an empty one as well, has the position from which a watcher gets everything that follows."""
    async with lifespan(app):
        assert await orders.history(7) == []
        empty = (await orders.history(7)).position
        assert (empty, empty.offset) == ((await orders.history(7)).position, 0)
        await orders.publish(Order(number=1), 7)
        history = await orders.history(7)
        assert history.position == history[-1].position
        for since, numbers in ((empty, [1, 2]), (history.position, [2])):
            async with connect(app, f"/orders/7?since={since}") as client:
                if len(numbers) == 2:
                    await orders.publish(Order(number=2), 7)
                assert [json.loads(await client.receive_text())["number"] for _ in numbers] == numbers


async def test_history_of_a_feed_starts_nothing(app: FastAPI, live: Live) -> None:
    """Reading a feed in Python neither runs it nor keeps it alive."""
    started: list[int] = []

    @live.feed("/ticks", keep=5, linger=0)
    async def ticks() -> AsyncIterator[int]:
        started.append(1)
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app):
        assert (await ticks.history()).position.offset == 0
        assert (started, ticks.statistics().keys) == ([], 0)
        async with connect(app, "/ticks?positions=1") as client:
            await client.receive_json()
            assert (await ticks.history()).position.offset == 1
        await until(lambda: ticks.statistics().keys == 0)
        assert (await ticks.history()).position.offset == 1


async def test_history_is_withheld(app: FastAPI, live: Live) -> None:
    """With ``history=False``, a client gets new values only, and learns what it missed, on every surface."""
    news = live.topic("/news", str, keep=10, history=False)
    async with lifespan(app), speaking(app) as speaker:
        start = (await news.history()).position
        await news.publish("a")
        for since in (start, Position("other", 1), await news.publish("b")):
            head = (await news.history()).position
            lost = head.offset - since.offset if since.epoch == head.epoch else None
            heard = await speaker.subscribed("news", recover=True, epoch=since.epoch, offset=since.offset)
            assert (heard.get("recovered", False), heard.get("publications", [])) == (lost == 0, [])
            await speaker.ask({"unsubscribe": {"channel": "news"}})
            async with (
                connect(app, f"/news?since={since}") as watcher,
                events_of(app, "/news", last_event_id=str(since)) as response,
            ):
                position = await news.publish("c")
                if lost != 0:
                    assert await watcher.receive_json() == {"lost": lost}
                    assert await response.event() == Event(json.dumps(lost), None, "lost")
                assert await watcher.receive() == "c"
                assert await response.event() == Event("c", str(position))
        assert (await speaker.ask({"history": {"channel": "news", "limit": 9}}))["error"]["code"] == 108
        assert await news.snapshot() == ["a", "b", "c", "c", "c"]


@pytest.mark.parametrize("history", [False, "resume"])
async def test_newest_value_is_withheld(app: FastAPI, live: Live, history: Literal[False, "resume"]) -> None:
    """A GET and a HEAD are refused if earlier values are withheld, in the same way with a value as without."""
    news = live.topic("/news", str, keep=10, history=history)

    async def answered(method: str, condition: str | None) -> tuple[int, dict[str, str], bytes]:
        headers = {} if condition is None else {"if-none-match": condition}
        async with Exchange(app, "/news", method=method, headers=headers) as exchange:
            body = await exchange.body()
            return exchange.status, exchange.headers, body

    async with lifespan(app):
        asked = [(method, each) for method in ("GET", "HEAD") for each in (None, "*")]
        empty = [await answered(*each) for each in asked]
        assert [status for status, _, _ in empty] == [406] * len(asked)
        position = await news.publish("a")
        assert [await answered(*each) for each in asked] == empty
        assert await answered("GET", f'"{position}"') == empty[0]
        news.complete()
        assert [await answered(*each) for each in asked] == empty


async def test_withheld_feed_is_not_started(app: FastAPI, live: Live) -> None:
    """A GET that is refused because earlier values are withheld does not start the feed."""
    started: list[int] = []

    @live.feed("/ticks", keep=5, history=False)
    async def ticks() -> AsyncIterator[int]:
        started.append(1)
        yield 1

    async with lifespan(app), Exchange(app, "/ticks") as exchange:
        assert exchange.status == 406
        assert started == []


async def test_history_is_for_those_who_return(app: FastAPI, live: Live) -> None:
    """With ``history="resume"``, a client cannot ask for earlier values, but gets those that it missed."""
    news = live.topic("/news", str, keep=10, history="resume")
    async with lifespan(app), speaking(app) as speaker:
        start = (await news.history()).position
        await news.publish("a")
        assert (await speaker.ask({"history": {"channel": "news", "limit": 9}}))["error"]["code"] == 108
        heard = await speaker.subscribed("news", recover=True, epoch=start.epoch, offset=0)
        assert [each["data"] for each in heard["publications"]] == ["a"]
        async with connect(app, f"/news?since={start}") as watcher:
            assert await watcher.receive() == "a"


@pytest.mark.parametrize("on_lag", ["close", "skip"])
async def test_clearing_a_log(app: FastAPI, live: Live, on_lag: Literal["close", "skip"]) -> None:
    """A log that was cleared holds nothing; its watchers, and clients that return, learn that entries are lost."""
    news = live.topic("/news", str, keep=10, replay=10, on_lag=on_lag)
    async with (
        lifespan(app), connect(app, "/news") as watcher, events_of(app, "/news") as response, speaking(app) as speaker,
    ):  # fmt: skip
        since = await news.publish("a")
        assert await watcher.receive() == "a"
        assert (await response.event()).data == "a"
        await speaker.subscribed("news")
        await news.clear()
        history = await news.history()
        assert (history, history.position.offset) == ([], since.offset + 1)
        if on_lag == "skip":
            assert await watcher.receive_json() == {"lost": None}
            assert await response.event() == Event("null", None, "lost")
        else:
            assert (await farewell(watcher)).code == 1013
            with pytest.raises(EOFError):
                await response.event()
        while "unsubscribe" not in (push := await speaker.push()):
            pass
        assert push["unsubscribe"]["code"] == 2500
        heard = await speaker.subscribed("news", recover=True, epoch=since.epoch, offset=since.offset)
        assert (heard.get("recovered", False), heard.get("publications", [])) == (False, [])
        async with connect(app, f"/news?since={since}") as returning, connect(app, "/news") as newcomer:
            assert await returning.receive_json() == {"lost": 1}
            await news.publish("b")
            assert await returning.receive() == await newcomer.receive() == "b"
    with TestClient(app) as http:
        news.publish("a").result(PATIENCE)
        http.portal.call(news.clear)  # type: ignore[union-attr]
        assert http.get("/news").status_code == 404


async def test_clearing_a_complete_topic(app: FastAPI, live: Live, news: Topic[[], str]) -> None:
    """A topic that was complete takes values again, whether it has held any or not."""
    async with lifespan(app):
        for value in ("a", "b"):
            await news.complete()
            async with connect(app, "/news") as watcher:
                assert (await farewell(watcher)).code == 1000
            await news.clear()
            async with connect(app, "/news") as watcher:
                await news.publish(value)
                assert await watcher.receive() == value
            await news.clear()


async def test_clearing_a_table(app: FastAPI, live: Live) -> None:
    """Watchers of a table get a reset, on every surface, and the rows that are published after."""
    stock = live.topic("/stock", Order, by="number")
    async with (
        lifespan(app),
        connect(app, "/stock") as watcher,
        speaking(app) as speaker,
        events_of(app, "/stock") as response,
    ):
        await speaker.subscribed("stock")
        await stock.publish(Order(number=1))
        assert (await watcher.receive_json())["key"] == (await speaker.push())["pub"]["data"]["key"] == 1
        assert '"key":1' in (await response.event()).data
        await stock.clear()
        assert await stock.snapshot() == []
        assert await watcher.receive_json() == (await speaker.push())["pub"]["data"] == {"reset": True}
        assert (await response.event()).type == "reset"
        await stock.publish(Order(number=3))
        assert (await watcher.receive_json())["key"] == (await speaker.push())["pub"]["data"]["key"] == 3
        assert '"key":3' in (await response.event()).data
    with TestClient(app) as http:
        stock.publish(Order(number=1)).result(PATIENCE)
        http.portal.call(stock.clear)  # type: ignore[union-attr]
        assert http.get("/stock").json() == []


async def test_clearing_the_newest_value(app: FastAPI, live: Live) -> None:
    """A newcomer gets no value; those that watch keep theirs until the next one."""
    price = live.topic("/price", int, keep="latest")
    async with lifespan(app):
        await price.clear()
        await price.publish(1)
        async with connect(app, "/price") as watcher:
            assert await watcher.receive() == "1"
            await price.clear()
            assert await price.latest() is None
            async with connect(app, "/price") as newcomer:
                await price.publish(2)
                assert await watcher.receive() == await newcomer.receive() == "2"


async def test_live_keys(app: FastAPI, live: Live, news: Topic[[], str]) -> None:
    """The keys that are watched are listed with their values, of the declared types, as long as they are watched."""

    @live.feed("/ticks/{day}", linger=0)
    async def ticks(day: date, size: int = 3) -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app):
        assert (ticks.keys(), news.keys()) == ([], [])
        async with connect(app, "/ticks/2026-01-02"), connect(app, "/ticks/2026-01-02?size=3"), connect(app, "/news"):
            assert (ticks.keys(), news.keys()) == ([{"day": date(2026, 1, 2), "size": 3}], [{}])
            assert await ticks.all_keys() == ticks.keys()
            assert await ticks.latest(**ticks.keys()[0]) == 1
        await until(lambda: (ticks.keys(), news.keys()) == ([], []))
        await news.publish("a")
        assert await news.all_keys() == []


async def test_the_app_gets_copies_of_keys(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader, a run and a reader of `keys()` may change the values of a key that they get: no others see it."""
    monkeypatch.setattr("wirespeed.hub.producer.random.uniform", lambda *_: 0.0)

    @live.topic("/stored", str)
    def stored(ids: Annotated[list[int], Query()]) -> None: ...

    @stored.load
    def load(ids: list[int]) -> list[str]:
        return [str(ids.pop())]

    @live.feed("/sum")
    async def total(ids: Annotated[list[int], Query()]) -> AsyncIterator[int]:
        yield sum(ids)
        ids.clear()
        total.keys()[0]["ids"].append(3)
        (await total.all_keys())[0]["ids"].append(4)
        raise RuntimeError

    async with lifespan(app), connect(app, "/sum?ids=1&ids=2") as watcher, connect(app, "/stored?ids=1&ids=2"):
        assert [await watcher.receive() for _ in range(3)] == ["3"] * 3
        assert total.keys() == stored.keys() == [{"ids": [1, 2]}]


async def test_keep_bounds_the_log(app: FastAPI, live: Live) -> None:
    """A log holds at most the declared number of entries."""
    numbers = live.topic("/numbers", int, keep=3)
    async with lifespan(app):
        for number in range(10):
            numbers.publish(number)
        assert await numbers.snapshot() == [7, 8, 9]


async def test_latest(app: FastAPI, live: Live) -> None:
    """With ``keep="latest"`` a new watcher receives the newest value, even if it was published without watchers."""
    numbers = live.topic("/numbers", int, keep="latest")
    async with lifespan(app):
        numbers.publish(1)
        numbers.publish(2)
        async with connect(app, "/numbers") as client:
            assert await client.receive() == "2"
        assert await numbers.snapshot() == [2]


async def test_statistics(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """All keys are counted together, with or without watchers."""
    async with lifespan(app), connect(app, "/orders/7") as client:
        orders.publish(Order(number=1), 7)
        orders.publish(Order(number=1), 8)
        await client.receive()
        heard = orders.statistics()
    assert (heard.keys, heard.watchers, heard.published, heard.delivered) == (1, 1, 2, 1)
    assert heard.producers == {}


# Tables


async def test_table(app: FastAPI, live: Live) -> None:
    """With ``by=`` a new watcher receives all rows, then changes and removals; a removed row is gone."""
    book = live.topic("/book", Order, by="number")

    def row(number: int, price: float) -> dict[str, Any]:
        return {"key": number, "value": {"number": number, "price": price}}

    async with lifespan(app):
        for number in (1, 2, 3):
            book.publish(Order(number=number))
        await book.remove(2)
        async with connect(app, "/book") as client:
            assert [await client.receive_json() for _ in range(2)] == [row(1, 1.0), row(3, 1.0)]
            book.publish(Order(number=1, price=5))
            assert await client.receive_json() == row(1, 5.0)
            book.remove(3)
            assert await client.receive_json() == {"key": 3, "removed": True}
            book.remove(3)
            book.remove("never there")
            book.publish(Order(number=4))
            assert await client.receive_json() == row(4, 1.0)
        assert await book.snapshot() == [Order(number=1, price=5), Order(number=4)]


async def test_large_table_after_a_removal(app: FastAPI, live: Live) -> None:
    """A new watcher receives each row of a large table once, after all clients that knew a removed row have left."""
    book = live.topic("/book", Order, by="number")
    async with lifespan(app):
        for number in range(3000):
            book.publish(Order(number=number))
        book.remove(0)
        async with connect(app, "/book") as client:
            assert (await client.receive_json())["key"] == 1
        async with connect(app, "/book") as client:
            assert [(await client.receive_json())["key"] for _ in range(2999)] == list(range(1, 3000))
            book.publish(Order(number=5))
            assert (await client.receive_json())["key"] == 5


async def test_table_that_is_full(caplog: pytest.LogCaptureFixture) -> None:
    """A row too many fails in its receipt; existing rows stay and may change."""
    app = FastAPI()
    book = Live(app, settings=Settings(max_table_rows=2)).topic("/book", Order, by="number")
    async with lifespan(app):
        for number in (1, 2, 1):
            await book.publish(Order(number=number))
        with pytest.raises(Exception, match="no room for another row"):
            await book.publish(Order(number=3))
        assert {order.number for order in await book.snapshot()} == {1, 2}
        assert book.statistics().failed == 1


async def test_remove_is_for_tables(app: FastAPI, news: Topic[[], str]) -> None:
    """A topic without rows cannot remove any."""
    async with lifespan(app):
        with pytest.raises(TypeError, match="by="):
            news.remove("a")


# A slow watcher


async def published_to_a_slow_client(topic: Topic[[], str], client: WebSocketClient, count: int) -> None:
    """Publish more than a client accepts and its connection holds."""
    for number in range(count):
        topic.publish(f"{number:0200}")
        await turns(3)
    assert client.waiting < count


async def test_lost_entries_are_told(app: FastAPI) -> None:
    """With ``on_lag="skip"`` a slow watcher learns how many values it has lost: all are accounted for."""
    topic = Live(app, settings=Settings(max_waiting_bytes=1000)).topic("/slow", str, keep=10, on_lag="skip")
    seen: list[int] = []
    lost = 0
    async with lifespan(app), connect(app, "/slow", max_waiting=1) as client:
        await published_to_a_slow_client(topic, client, 200)
        while not seen or seen[-1] != 199:
            message = await client.receive_text()
            if message.startswith("{"):
                lost += json.loads(message)["lost"]
            else:
                assert int(message) == len(seen) + lost
                seen.append(int(message))
        assert lost > 0
        assert lost + len(seen) == 200
        assert topic.statistics().lost == lost
        assert topic.statistics().delivered == len(seen)


async def test_lagging_closes(app: FastAPI) -> None:
    """By default a watcher that has lost entries is closed with 1013, after all earlier values in order."""
    topic = Live(app, settings=Settings(max_waiting_bytes=1000)).topic("/slow", str, keep=10)
    async with (
        lifespan(app),
        connect(app, "/slow", max_waiting=1) as client,
        connect(app, "/slow", max_waiting=500) as healthy,
    ):
        await published_to_a_slow_client(topic, client, 200)
        seen = [int(message) async for message in client]
        closed = await farewell(client)
        assert closed.code == 1013
        assert "values were lost" in closed.reason
        assert seen == list(range(len(seen)))
        assert [int(text) for text in await texts(healthy, 200)] == list(range(200))
        assert topic.statistics().watchers == 1


async def test_latest_skips(app: FastAPI) -> None:
    """With ``keep="latest"`` a slow watcher skips to the newest value; skipped values are counted."""
    topic = Live(app, settings=Settings(max_waiting_bytes=1000)).topic("/slow", str, keep="latest")
    seen: list[int] = []
    async with lifespan(app), connect(app, "/slow", max_waiting=1) as client:
        await published_to_a_slow_client(topic, client, 200)
        while not seen or seen[-1] != 199:
            seen.append(int(await client.receive_text()))
        heard = topic.statistics()
    assert seen == sorted(set(seen))
    assert (heard.delivered, heard.skipped, heard.lost) == (len(seen), 200 - len(seen), 0)


# Messages from watchers


async def test_messages_without_a_handler_are_refused(app: FastAPI, live: Live, news: Topic[[], str]) -> None:
    """Each gets an error frame, and the connection stays open."""
    async with lifespan(app), connect(app, "/news") as client:
        for message in ("a", "b"):
            await client.send_text(message)
            assert (await client.receive_json())["error"] == {"code": 422, "message": "This topic takes no messages."}
        news.publish("still there")
        assert await client.receive() == "still there"
    assert live.statistics().refused == {"invalid message": 2}


def current_user(token: Annotated[str, Header()] = "anonymous") -> str:
    """Return the connected user."""
    if token == "bad":
        raise HTTPException(401, "Who are you?")
    return token


async def test_handler_takes_messages(app: FastAPI, orders: Topic[[int], Order]) -> None:
    """Messages reach it validated, one after the other, with the key and the dependencies of the connection."""
    resolved: list[str] = []

    def user(name: Annotated[str, Depends(current_user)]) -> str:
        resolved.append(name)
        return name

    taken: list[tuple[int, str, int]] = []

    @orders.on_message
    async def take(order: Order, user_id: int, name: Annotated[str, Depends(user)]) -> None:
        await turns(3)
        taken.append((order.number, name, user_id))
        orders.publish(order, user_id)

    async with lifespan(app), connect(app, "/orders/7", headers={"token": "me"}) as client:
        for number in range(3):
            await client.send_json({"number": number})
        assert [(await client.receive_json())["number"] for _ in range(3)] == [0, 1, 2]
    assert taken == [(number, "me", 7) for number in range(3)]
    assert resolved == ["me"]
    assert (await refusal(app, "/orders/7", token="bad")).status == 401


async def test_bad_messages_to_a_handler(app: FastAPI, news: Topic[[], str], live: Live) -> None:
    """An invalid message is answered with FastAPI's detail in its turn; the next one is handled."""

    @news.on_message
    async def take(order: Order) -> None:
        news.publish(f"taken {order.number}")

    async with lifespan(app), connect(app, "/news") as client:
        await client.send_text("{")
        await client.send_json({"number": "x"})
        await client.send_json({"number": 5})
        codes = [(await client.receive_json())["error"] for _ in range(2)]
        assert [error["code"] for error in codes] == [422, 422]
        assert codes[1]["detail"][0]["loc"] == ["body", "number"]
        assert await client.receive() == "taken 5"
    assert live.statistics().refused == {"invalid message": 2}


async def test_errors_of_a_handler(
    app: FastAPI, news: Topic[[], str], live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """An HTTPException is reported, other exceptions are logged and hidden, a WebSocketException closes."""

    @news.on_message
    async def take(text: Text) -> None:
        if text == "teapot":
            raise HTTPException(418, "Short and stout.")
        if text == "close":
            raise WebSocketException(4000, "As you wish.")
        raise RuntimeError("a secret")

    async with lifespan(app), connect(app, "/news") as client:
        await client.send_text("teapot")
        assert (await client.receive_json())["error"] == {"code": 418, "message": "Short and stout."}
        await client.send_text("bug")
        assert (await client.receive_json())["error"] == {"code": 500, "message": "The handler failed."}
        await client.send_text("close")
        closed = await farewell(client)
        assert (closed.code, closed.reason) == (4000, "As you wish.")
    assert live.statistics().failed == 1
    assert "a secret" in caplog.text


async def test_sync_handler_runs_in_a_thread(app: FastAPI, news: Topic[[], str]) -> None:
    """A plain ``def`` does not block the loop."""

    @news.on_message
    def take(text: Text) -> None:
        news.publish(f"{text} {threading.current_thread() is threading.main_thread()}")

    async with lifespan(app), connect(app, "/news") as client:
        await client.send_text("main:")
        assert await client.receive() == "main: False"


async def test_handler_that_does_not_end_is_cancelled(
    app: FastAPI, news: Topic[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its client has left, a handler is cancelled after a while: its ``finally`` runs."""
    monkeypatch.setattr("wirespeed.surfaces.handling.HANDLING_TIMEOUT", 0.01)
    happened: list[str] = []

    @news.on_message
    async def take(text: Text) -> None:
        happened.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("ended")

    async with lifespan(app):
        async with connect(app, "/news") as client:
            await client.send_text("a")
            await until(lambda: happened)
        assert happened == ["began", "ended"]


async def test_last_words_are_heard(app: FastAPI, news: Topic[[], str]) -> None:
    """All messages that a client sends right before it leaves are handled, in order."""
    heard: list[str] = []

    @news.on_message
    async def take(text: Text) -> None:
        await asyncio.sleep(0)
        heard.append(text)

    async with lifespan(app):
        async with connect(app, "/news") as client:
            for word in "abc":
                await client.send_text(word)
        assert heard == ["a", "b", "c"]


async def test_handler_with_a_yield_dependency(app: FastAPI, news: Topic[[], str]) -> None:
    """The dependencies of a handler stay open as long as its connection."""
    happened: list[str] = []

    async def session() -> AsyncIterator[list[str]]:
        happened.append("opened")
        yield happened
        happened.append("closed")

    @news.on_message
    async def take(text: Text, opened: Annotated[list[str], Depends(session)]) -> None:
        opened.append(text)
        news.publish(text)

    async with lifespan(app), connect(app, "/news") as client:
        for text in ("a", "b"):
            await client.send_text(text)
            assert await client.receive() == text
    assert happened == ["opened", "a", "b", "closed"]


async def test_flooding_a_handler(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that wait for a handler are bounded: too many get an error frame and 1008."""
    monkeypatch.setattr("wirespeed.surfaces.handling.HANDLING_TIMEOUT", 0.01)  # this handler never ends by itself
    app = FastAPI()
    news = Live(app, settings=Settings(max_inbox_messages=2)).topic("/news", str)

    @news.on_message
    async def take(text: Text) -> None:
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/news") as client:
        for _ in range(4):
            await client.send_text("a")
            await turns(5)
        assert (await client.receive_json())["error"]["code"] == 429
        assert (await farewell(client)).code == 1008


# Declaring


def test_path_with_a_key_needs_a_function(live: Live, app: FastAPI) -> None:
    """A path with undeclared parameters is refused, and the error says what to do."""
    orders = live.topic("/orders/{user_id}", Order)
    with pytest.raises(DeclarationError, match="decorate a function"):
        orders.publish(Order(number=1))


def test_decorated_topic_names_itself(orders: Topic[[int], Order], news: Topic[[], str]) -> None:
    """Errors and logs name the topic."""
    assert [repr(each) for each in (orders, news)] == ["<topic '/orders/{user_id}' (orders)>", "<topic '/news'>"]


def test_unknown_options_are_refused(live: Live) -> None:
    """A misspelt option is an error that names it."""
    topic: Any = live.topic
    with pytest.raises(TypeError, match="'kepp'"):
        topic("/news", str, kepp=3)
