"""Publishers: processes that do not serve an app publish to its topics, with its code and without it."""

import asyncio
import gc
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, wait
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Query
from fastapi import Path as InPath
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tests.brokers.valkey import Pipe, Valkey
from tests.live.multiplexing import speaking
from tests.waiting import PATIENCE, until, until_async, wait_until
from wirespeed import (
    BacklogFull,
    BindingError,
    BrokerDown,
    DeclarationError,
    Identity,
    InvalidKey,
    InvalidValue,
    Live,
    LiveRouter,
    Publisher,
    Receipt,
    Settings,
    Stopped,
    Tagged,
    Topic,
)
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int
    note: str = ""


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    user_name: str
    count: int = 0


class Priced(BaseModel):
    price: Decimal
    count: int = 0


class Color(Enum):
    RED = "red"


class Shop:
    """An app as one process has it."""

    def __init__(self, url: str, **options: Any) -> None:
        self.app = FastAPI()
        self.live = Live(self.app, broker=url, **options)
        router = LiveRouter(prefix="/shop")
        self.news: Topic[[], str] = self.live.topic("/news", str, keep=3)
        self.stock: Topic[[], Order] = self.live.topic("/stock", Order, by="id")

        @router.topic("/orders/{user_id}", Order)
        def orders(user_id: int, kind: Literal["new", "old"] = "new", day: date | None = None) -> None: ...

        self.orders = orders
        self.app.include_router(router)


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


def test_app_is_known(url: str) -> None:
    """With the app's code, its own topics publish from a script and all of its threads, and check what they publish."""
    serving, script = Shop(url), Shop(url)
    with TestClient(serving.app) as client, Publisher(script.app):
        thread = threading.Thread(target=lambda: script.news.publish("from a thread"))
        thread.start()
        thread.join()
        script.orders.publish(Order(id=1), user_id=7).result(PATIENCE)
        assert client.get("/shop/orders/7").json() == {"id": 1, "note": ""}
        assert client.get("/news").text == "from a thread"
        with pytest.raises(InvalidValue):
            script.news.publish(5)  # type: ignore[arg-type]


async def test_app_is_known_to_a_coroutine(url: str) -> None:
    """The same in an event loop; leaving waits until the broker has everything."""
    serving, worker = Shop(url), Shop(url)
    async with lifespan(serving.app):
        async with Publisher(worker.app) as publisher:
            assert (await worker.news.publish("awaited")).offset == 1
            receipt = worker.news.publish("not awaited")
            assert (await publisher.publish("/news", "by its path")).offset == 3
        assert receipt.done()
        assert await serving.news.snapshot() == ["awaited", "not awaited", "by its path"]


async def test_clients_are_reached(url: str) -> None:
    """A script with the app's code reaches the clients of the processes that serve the app."""

    async def ada(token: str, connection: HTTPConnection) -> Identity:
        return Identity(user="ada")

    def run() -> None:
        with Publisher(script.app):
            script.live.all_clients("ada").send("hello")

    serving, script = Shop(url, authenticate=ada), Shop(url)
    async with lifespan(serving.app), speaking(serving.app) as speaker:
        await asyncio.to_thread(run)
        assert (await speaker.push())["message"]["data"] == "hello"


async def declared(shop: Shop, url: str) -> None:
    """Wait until the topics of a running app are known to others."""

    async def is_declared() -> bool:
        async with Publisher(url) as publisher:
            try:
                return bool(publisher.topic("/news"))
            except BindingError:
                return False

    await until_async(is_declared)


async def test_app_is_not_known(url: str) -> None:
    """Without the app's code, topics have their paths; keys, rows, tags and the retention are the app's."""
    shop = Shop(url)
    async with lifespan(shop.app):
        await declared(shop, url)
        async with Publisher(url) as publisher:
            for number in range(5):
                await publisher.publish("/news", str(number))
            for key in ({"user_id": 7}, {"user_id": "007", "kind": "new"}):
                await publisher.publish("/shop/orders/{user_id}", {"id": 1}, **key)
            await publisher.publish("/shop/orders/{user_id}", Order(id=2), 7, day="2026-01-02")
            await publisher.publish("/stock", Tagged({"id": 1, "note": "a"}, {"place": "left"}))
            await publisher.publish("/stock", Order(id=2))
            await publisher.topic("/stock", Order).remove(1)
            with pytest.raises(InvalidKey):
                publisher.publish("/shop/orders/{user_id}", {"id": 1}, user_id=7, kind="none")
            with pytest.raises(InvalidValue):
                publisher.topic("/stock", Order).publish({"id": "x"})  # type: ignore[arg-type]
        assert await shop.news.snapshot() == ["2", "3", "4"]
        assert await shop.orders.snapshot(7) == [Order(id=1), Order(id=1)]
        assert await shop.orders.snapshot(7, day=date(2026, 1, 2)) == [Order(id=2)]
        assert await shop.stock.snapshot() == [Order(id=2)]


def test_script_without_the_app(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script takes the broker from the environment, publishes by path, and leaves when everything was sent."""
    shop = Shop(url)
    with TestClient(shop.app) as client:
        with Publisher(url) as publisher:
            wait_until(lambda: is_known(publisher, "/news"))
        monkeypatch.setenv("WIRESPEED_BROKER", url)
        publisher = Publisher()
        with publisher:
            receipts = [publisher.publish("/news", str(number)) for number in range(1000)]
        assert [receipt.result().offset for receipt in receipts] == list(range(1, 1001))
        wait_until(lambda: client.get("/news").text == "999")  # the app's copy follows the broker
        with publisher:  # again
            publisher.publish("/news", "again").result(PATIENCE)
        wait_until(lambda: client.get("/news").text == "again")


def is_known(publisher: Publisher, path: str) -> bool:
    """Return whether an app has declared a topic."""
    try:
        return bool(publisher.topic(path))
    except BindingError:
        return False


async def test_topics_outlive_the_app(url: str, server: Valkey) -> None:
    """Topics are known while their app does not run; a running app declares them to a server that restarts empty."""
    shop = Shop(url)
    async with lifespan(shop.app):
        await declared(shop, url)
        server.kill()
        await until(lambda: shop.live.health().state == "down")
        server.start()
        await until(lambda: shop.live.health().state == "ok")
        await declared(shop, url)
    async with Publisher(url) as publisher:
        await publisher.publish("/news", "later")
    async with lifespan(shop.app):
        assert await shop.news.latest() == "later"


async def test_declarations_may_change(url: str) -> None:
    """A publisher that stays open publishes as the newest version of the app has declared it."""
    async with Publisher(url) as publisher:
        for keep in (1, 2):
            app = FastAPI()
            news = Live(app, broker=url).topic("/news", int, keep=keep)
            async with lifespan(app):
                await until(partial(retains, publisher, keep))
                for number in range(3):
                    await publisher.publish("/news", number)
                assert len(await news.snapshot()) == keep


def retains(publisher: Publisher, entries: int) -> bool:
    """Return whether a publisher knows that a topic retains a number of entries."""
    return is_known(publisher, "/news") and publisher.topic("/news")._definition.retention.entries == entries


async def test_unknown_topic_is_named(url: str) -> None:
    """A path that no app has declared is an error that names the known ones; each namespace has its own."""
    shop = Shop(url)
    async with Publisher(url) as publisher:
        with pytest.raises(BindingError, match=r"No app has declared a topic '/news'.* Topics there: none"):
            publisher.publish("/news", "x")
        async with lifespan(shop.app):
            await until(lambda: is_known(publisher, "/news"))
            with pytest.raises(BindingError, match=r"Topics there: /news, /shop/orders/{user_id}, /stock"):
                publisher.publish("/other", "x")
    async with Publisher(url, namespace="other") as publisher:
        assert not is_known(publisher, "/news")


async def test_types_of_keys(url: str) -> None:
    """Types that only the app knows, or that change their values, cannot be part of a key without the app's code."""
    app = FastAPI()
    live = Live(app, broker=url)

    @live.topic("/checked/{name}/{number}", int)
    def checked(name: Annotated[str, InPath(max_length=9)], number: Annotated[int, InPath(ge=1)]) -> None: ...

    @live.topic("/color", int)
    def color(color: Color = Color.RED) -> None: ...

    @live.topic("/lower", int)
    def lower(name: Annotated[str, AfterValidator(str.lower)], size: Annotated[int, Query()] = 1) -> None: ...

    async with lifespan(app), Publisher(url) as publisher:
        await until(lambda: is_known(publisher, "/checked/{name}/{number}"))
        await publisher.publish("/checked/{name}/{number}", 1, name="A", number=5)
        assert await checked.latest("A", 5) == 1
        for path in ("/color", "/lower"):
            with pytest.raises(DeclarationError, match="whose type only the app knows"):
                publisher.publish(path, 1)


async def test_keys_that_cannot_be_declared(url: str) -> None:
    """A process elsewhere refuses keys that it would check, spell or fill in otherwise than the app does."""
    app = FastAPI()
    live = Live(app, broker=url)

    @live.topic("/union", str)
    def union(part: Annotated[int | str, Query(union_mode="left_to_right")]) -> None: ...

    @live.topic("/coerced", str)
    def coerced(part: Annotated[str, Field(coerce_numbers_to_str=True)]) -> None: ...

    @live.topic("/pattern", str)
    def pattern(part: Annotated[str, Query(pattern="^a")]) -> None: ...

    @live.topic("/strict", str)
    def strict(part: Annotated[int, Query(strict=True)]) -> None: ...

    @live.topic("/digits", str)
    def digits(part: Annotated[Decimal, Query(max_digits=3)]) -> None: ...

    @live.topic("/default", str)
    def default(part: date | str = date(2026, 1, 2)) -> None: ...

    async with lifespan(app), Publisher(url) as publisher:
        for topic in (union, coerced, pattern, strict, digits, default):
            with pytest.raises(DeclarationError, match="whose type only the app knows"):
                await until(partial(is_known, publisher, topic.path))


async def test_defaults_of_keys(url: str) -> None:
    """A process elsewhere has the defaults of a key, including numbers that JSON does not have."""
    app = FastAPI()
    live = Live(app, broker=url)

    @live.topic("/news", str)
    def news(most: float = math.inf, day: date = date(2026, 1, 2), price: Decimal = Decimal("1.50")) -> None: ...

    async with lifespan(app), Publisher(url) as publisher:
        await until(lambda: is_known(publisher, "/news"))
        await publisher.publish("/news", "x")
        assert await news.latest() == "x"


async def test_rows_whose_field_has_an_alias(url: str) -> None:
    """A process elsewhere knows rows by the name in JSON: in dicts, in values of the app's types, and with a type."""
    app = FastAPI()
    live = Live(app, broker=url)
    table = live.topic("/table", Aliased, by="user_name")
    async with lifespan(app), Publisher(url) as publisher:
        await until(lambda: is_known(publisher, "/table"))
        await publisher.publish("/table", {"userName": "ada", "count": 1})
        await publisher.publish("/table", Aliased(user_name="eve", count=2))
        await publisher.topic("/table", Aliased).publish(Aliased(user_name="ada", count=3))
        with pytest.raises(KeyError):
            await publisher.publish("/table", {"user_name": "joe"})
        rows = {each.user_name: each.count for each in await table.snapshot()}
        assert rows == {"eve": 2, "ada": 3}


async def test_keys_of_rows_are_read_as_the_app_reads_them(url: str) -> None:
    """A process elsewhere names a row by any text that the app reads as its key."""
    app = FastAPI()
    table = Live(app, broker=url).topic("/table", Priced, by="price")
    async with lifespan(app), Publisher(url) as publisher:
        await until(lambda: is_known(publisher, "/table"))
        await table.publish(Priced(price=Decimal("1.50")))
        await publisher.publish("/table", {"price": "1.500", "count": 2})
        assert [each.count for each in await table.snapshot()] == [2]
        await publisher.topic("/table").remove("1.50")
        assert await table.snapshot() == []
        await publisher.publish("/table", {"price": "free"})
        assert (await publisher.topic("/table").remove("free")).offset == 5


async def test_apps_that_mix_are_warned_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """If two apps declare a path differently in one namespace, all say so; the same app may start often."""
    shop = Shop(url)
    async with lifespan(shop.app), lifespan(Shop(url).app):
        await declared(shop, url)
        assert not caplog.records
        other = FastAPI()
        Live(other, broker=url).topic("/news", int)
        async with lifespan(other):
            await until(lambda: len(caplog.records) == 3)
    assert all("topic '/news': another app" in record.getMessage() for record in caplog.records)


# Errors


def test_broker_that_is_away_is_an_error(url: str, server: Valkey) -> None:
    """Entering raises if the broker cannot be reached, with the app and without it."""
    server.kill()
    try:
        for source in (url, Shop(url).app):
            with pytest.raises(BrokerDown, match=str(server.port)), Publisher(source):
                raise AssertionError
    finally:
        server.start()


async def test_values_that_are_not_sent_are_an_error(server: Valkey, url: str) -> None:
    """Leaving raises if the broker has not got everything in time; an exception of the block comes first."""
    pipe = Pipe(server.port)
    await pipe.open()
    shop = Shop(f"redis://127.0.0.1:{pipe.port}", settings=Settings(max_publish_backlog_bytes=1))
    publisher = Publisher(shop.app, timeout=0.1)

    async def lose(error: Exception | None = None) -> None:
        async with publisher:
            pipe.cut()
            receipts.append(shop.news.publish("lost"))
            with pytest.raises(BacklogFull):
                shop.news.publish("too much")
            if error is not None:
                raise error

    receipts: list[Receipt] = []
    with pytest.raises(BrokerDown, match=r"\d+ bytes of publications did not reach the broker within 0.1 s"):
        await lose()
    await pipe.open()
    with pytest.raises(ZeroDivisionError):
        await lose(ZeroDivisionError())
    for receipt in receipts:
        with pytest.raises(Stopped):
            await receipt
    await pipe.close()


async def test_wrong_use_is_an_error(url: str) -> None:
    """An app without a broker, a publisher that is open or not open, and a running app are errors that say so."""
    app = FastAPI()
    Live(app, broker=None)
    with pytest.raises(BindingError, match="A Publisher needs a broker"):
        Publisher(app)
    publisher = Publisher(url)
    with pytest.raises(BindingError, match="The Publisher is not open"):
        publisher.publish("/news", "x")
    async with publisher:
        with pytest.raises(BindingError, match="open already"):
            publisher.__enter__()
    shop = Shop(url)
    async with lifespan(shop.app):
        with pytest.raises(BindingError, match="publish without a Publisher"):
            await Publisher(shop.app).__aenter__()


FORKS = """
import os, sys
from tests.test_publisher import Shop
from wirespeed import BindingError, Publisher, Stopped

url = sys.argv[1]
shop = Shop(url)
one, two = Publisher(url), Publisher(shop.app)
with one, two:
    shop.news.publish("parent").result()
    child = os.fork()
    if child == 0:
        try:
            shop.news.publish("child").result()
        except Stopped as error:
            assert "forked" in str(error), error
        else:
            os._exit(1)
        with Publisher(shop.app):
            shop.news.publish("child").result()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    shop.news.publish("parent again").result()
with two:
    shop.news.publish("parent at last").result()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork(url: str, server: Valkey) -> None:
    """A process that was forked cannot use the connection of the other, says so, and opens its own; both work."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", FORKS, url], env=environment, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    shop = Shop(url)
    with TestClient(shop.app) as client:
        assert client.get("/news").text == "parent at last"


def test_life_without_a_block(url: str) -> None:
    """A publisher may be opened and closed; then nothing is published, and the receipts say so."""
    shop = Shop(url)
    publisher = Publisher(shop.app)
    publisher.open()
    assert shop.news.publish("x").result(PATIENCE).offset == 1
    publisher.close()
    publisher.close()
    with pytest.raises(Stopped, match="the Publisher is closed"):
        shop.news.publish("y").result(PATIENCE)


@pytest.mark.parametrize("is_open", [False, True])
def test_interrupt_while_it_opens(url: str, monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
    """Ctrl-C while a publisher opens leaves no thread, and it can be opened again."""

    class Interrupted(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            if is_open:
                wait([self])
            monkeypatch.undo()
            self.__class__ = Future  # type: ignore[assignment]
            raise KeyboardInterrupt

    shop = Shop(url)
    publisher = Publisher(shop.app)
    monkeypatch.setattr("wirespeed.publisher.Future", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        publisher.open()
    wait_until(lambda: not any(each.name == "wirespeed-publisher" for each in threading.enumerate()))
    with publisher:
        assert shop.news.publish("x").result(PATIENCE).offset == 1


def test_failures_are_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of a receipt that is never awaited is in the log."""
    shop = Shop(url, settings=Settings(max_table_rows=1))
    with Publisher(shop.app):
        for number in range(2):
            shop.stock.publish(Order(id=number))
    gc.collect()
    assert "a publication failed." in caplog.text
    assert "the table has no room" in caplog.text
