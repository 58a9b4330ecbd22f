"""Types of the decorators, as type checkers infer them; the inferred type is part of the API."""

import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, assert_type

from fastapi import FastAPI
from pydantic import BaseModel

from wirespeed import Feed, Live, LiveRouter, Message, Publications, Receipt, Statistics, Tagged, Topic, WatchStatistics

ROOT = Path(__file__).parents[1]

live = Live(FastAPI())
router = LiveRouter(prefix="/v1", tags=["numbers"])


class Hello(BaseModel):
    message: str


@live.stream("/count")
async def count(hello: Hello, start: int = 0) -> AsyncIterator[int]:
    yield start


@router.stream("/words", overlap="replace", name="words")
def words(text: Annotated[str, Message()]) -> Iterator[str]:
    yield from text.split()


@live.stream("/echo")
def echo(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    return messages


@live.call("/add")
async def add(numbers: list[int], start: int = 0) -> int:
    return start + sum(numbers)


@router.call("/greet", dependencies=[], name="greet", http=False)
def greet(hello: Hello) -> str:
    return hello.message


@live.feed("/price/{symbol}")
async def price(symbol: str, limit: int = 5) -> AsyncIterator[float]:
    yield 1.0


@router.feed("/rows", keep=100, by=None)
def rows() -> Iterator[Hello]:
    yield Hello(message="hi")


@live.feed("/trades/{symbol}")
async def trades(symbol: str) -> AsyncIterator[Tagged[Hello]]:
    yield Tagged(Hello(message="hi"), {"side": "buy"})


@router.feed("/some")
def some() -> Iterator[int | Tagged[int]]:
    yield 1


news = live.topic("/news", Hello, keep=1000)
anything: Topic[[], Any] = live.topic("/anything", int | str)


@live.topic("/orders/{user_id}", Hello)
def orders(user_id: int) -> None: ...


@orders.on_message
async def take(message: Hello, user_id: int) -> None: ...


class Counter:
    def __init__(self, start: int) -> None:
        self.start = start

    async def count(self) -> AsyncIterator[int]:
        yield self.start


def test_decorated_function_keeps_its_type() -> None:
    """A decorated function can be called as before, with its declared arguments and result."""
    assert_type(count(Hello(message="hi"), start=1), AsyncIterator[int])
    assert_type(words("a b"), Iterator[str])
    assert_type(list(words(text="a b")), list[str])


def test_duplex_stream_keeps_its_type() -> None:
    """A plain function that returns an async iterator can be a stream, too."""
    checked: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] = echo
    assert checked is echo


def test_call_keeps_its_type() -> None:
    """A decorated function is called as before, whether it is awaited or not."""
    checked: Callable[[list[int], int], Awaitable[int]] = add
    assert checked is add
    assert_type(greet(hello=Hello(message="hi")), str)


def test_bound_method_keeps_its_type() -> None:
    """A decorated method stays the method."""
    decorated = live.stream("/counter")(Counter(1).count)
    assert_type(decorated(), AsyncIterator[int])


def test_statistics_are_typed() -> None:
    """Figures are numbers with names."""
    statistics = live.statistics()
    assert_type(statistics, Statistics)
    assert_type(statistics.connections, int)


def test_feeds_and_topics_have_their_types() -> None:
    """A feed or topic has the parameters of its key and the type of its values."""
    for_price: Callable[[str, int], Awaitable[float | None]] = price.latest
    assert for_price == price.latest
    assert_type(rows, Feed[[], Hello])
    assert_type(some, Feed[[], int])
    assert_type(news, Topic[[], Hello])
    assert isinstance(price, Feed)
    assert isinstance(orders, Topic)


async def values_of_feeds_and_topics() -> None:
    """Check the types of their methods with mypy; never called."""
    assert_type(await price.latest("BTC", limit=3), float | None)
    assert_type(await rows.snapshot(), list[Hello])
    assert_type(await trades.latest("BTC"), Hello | None)
    assert_type(news.publish(Tagged(Hello(message="hi"), {"side": "buy"})), Receipt)
    assert_type(await orders.history(user_id=5), Publications[Hello])
    assert_type((await orders.history(5))[0].value, Hello)
    assert_type(orders.publish(Hello(message="hi"), user_id=5), Receipt)
    assert_type(news.remove("row"), Receipt)
    assert_type(news.statistics(), WatchStatistics)
    await take(Hello(message="hi"), user_id=5)
    assert_type(await add([1, 2], start=3), int)


SNIPPET = """
    from collections.abc import AsyncIterator, Iterator
    from dataclasses import dataclass
    from datetime import timedelta
    from typing import Any

    from fastapi import APIRouter, Depends, FastAPI

    from wirespeed import Live, LiveRouter, Publisher, Sender, Settings, Tagged
    from wirespeed.client import ClientConnection, bind, changes, watch

    @dataclass
    class Order:
        id: int

    live = Live(FastAPI(), allowed_origins=["null"], settings=Settings(max_threads=2))
    router = LiveRouter()

    async def right() -> AsyncIterator[int]:
        yield 1

    def right_too() -> Iterator[int]:
        yield 1

    async def coroutine() -> int:
        return 1

    async def coroutine_of_an_iterator() -> AsyncIterator[int]:
        return right()

    def number() -> int:
        return 1

    live.stream("/right")(right)
    live.stream("/right-too", dependencies=[Depends(number)])(right_too)
    router.stream("/right")(right)
    live.stream("/coroutine")(coroutine)  # error
    live.stream("/coroutine-of-an-iterator")(coroutine_of_an_iterator)  # error
    live.stream("/number")(number)  # error
    live.stream("/not-a-function")("right")  # error
    live.stream("/overlap", overlap="drop")(right)  # error
    live.stream("/guards", dependencies=[number])(right)  # error
    live.stream(right)  # error
    router.stream("/coroutine")(coroutine)  # error
    live.stream("/decorated")(right)(1)  # error
    FastAPI().include_router(router, prefix="/v1")

    live.call("/call")(coroutine)
    router.call("/call", dependencies=[Depends(number)], http=False)(number)
    print(live.call("/call")(number)() + 1)
    live.call("/not-a-function")("right")  # error
    live.call("/overlap", overlap="queue")(coroutine)  # error
    live.call("/guards", dependencies=[number])(number)  # error
    live.call(coroutine)  # error
    live.call("/decorated")(number)(1)  # error

    async def keyed(symbol: str, limit: int = 5) -> AsyncIterator[float]:
        yield 1.0

    price = live.feed("/price/{symbol}", keep=timedelta(seconds=5), on_lag="skip")(keyed)
    live.feed("/right", keep="latest", max_rate=5, retain=None)(right_too)
    live.feed("/documented", summary="Right", tags=["a"], deprecated=True, include_in_schema=False)(right_too)
    live.call("/documented/call", response_description="A number.")(number)
    live.feed("/summary", summary=5)(right)  # error
    live.call("/sumary", sumary="A number.")(number)  # error
    live.feed("/coroutine")(coroutine)  # error
    live.feed("/number")(number)  # error
    live.feed("/keep", keep="newest")(right)  # error
    live.feed("/lag", on_lag="wait")(right)  # error
    live.feed("/linger", linger="5")(right)  # error
    live.feed("/option", overlap="queue")(right)  # error
    print(price.latest("BTC"))
    print(price.latest(symbol="BTC", limit=3))
    print(price.latest())  # error
    print(price.latest(5))  # error
    print(price.latest("BTC", side="buy"))  # error
    price.publish(1.0, "BTC")  # error
    price("BTC")  # error

    news = live.topic("/news", str, keep=5, replay=2)
    live.topic("/news")  # error
    live.topic("/news", str, linger=5)  # error
    live.topic("/news", str, keep="newest")  # error

    @router.topic("/orders/{user_id}", Order, by="id")
    def orders(user_id: int) -> None: ...

    @orders.on_message
    def take(message: Order) -> None: ...

    sender = Sender(client="1")
    news.publish("text")
    news.publish(Tagged("text", {"side": "buy"}))
    news.publish(Tagged(5, {"side": "buy"}))  # error
    news.publish(Tagged("text", {"side": 5}))  # error
    news.publish(Tagged("text"))  # error
    orders.publish(Order(id=1), user_id=5)
    orders.publish(Order(id=1), 5)
    orders.remove(1, user_id=5)
    take(Order(id=1))
    news.publish_as(sender, "text")
    orders.publish_as(sender, Order(id=1), user_id=5)
    news.publish()  # error
    news.publish_as("text")  # error
    news.publish_as(sender, 5)  # error
    orders.publish_as(sender, Order(id=1), user_id="5")  # error
    news.publish(5)  # error
    news.publish(value="text")  # error
    news.publish("text", user_id=5)  # error
    orders.publish(Order(id=1))  # error
    orders.publish(Order(id=1), user=5)  # error
    orders.publish(Order(id=1), user_id="5")  # error
    orders.publish("text", user_id=5)  # error
    orders.publish(value=Order(id=1), user_id=5)  # error
    orders.remove(user_id=5)  # error
    print(orders.history(user=5))  # error
    take("text")  # error
    publisher = Publisher("redis://localhost", namespace="shop")
    publisher.publish("/orders/{user_id}", Order(id=1), user_id=5)
    publisher.topic("/orders/{user_id}", Order).publish(Order(id=1), user_id=5)
    publisher.topic("/news", str | None).publish("text")
    publisher.topic("/orders/{user_id}", Order).publish("text", user_id=5)  # error
    publisher.topic("/orders/{user_id}", by="id")  # error

    URL = "http://localhost"
    price_too = live.feed("/price-too/{symbol}")(keyed)
    watch(URL, price_too, symbol="BTC")
    watch(URL, price_too, "BTC", limit=3)
    watch(URL, price_too)  # error
    watch(URL, price_too, symbol=5)  # error
    watch(URL, price_too, symbol="BTC", side="buy")  # error
    watch(URL, bind(price_too, "BTC"), newest=True)
    watch(URL, bind(price_too, "BTC"), newest="yes")  # error
    watch(URL, bind(price_too))  # error
    watch(URL, orders, user_id=5)
    watch(URL, orders, user_id="5")  # error
    watch(URL, right)
    watch(URL, keyed, "BTC")
    watch(URL, keyed)  # error
    watch(URL, "price/BTC", float, newest=True)
    watch(URL, "price/BTC", symbol="BTC")  # error
    watch(URL, 5)  # error
    changes(URL, orders, 5)
    changes(URL, keyed, "BTC")  # error

    async def ask(connection: ClientConnection) -> None:
        print(await connection.call(number) + 1)
        await connection.call(number, 5)  # error
        await connection.publish(orders, Order(id=1), user_id=5)
        await connection.publish(orders, Order(id=1))  # error
        await connection.publish(price_too, 1.0, "BTC")  # error
        print((await connection.history(price_too, "BTC"))[0].value.hex())
        print((await connection.history(orders, 5))[0].value.name)  # error
        await connection.presence(orders, user_id=5)
        await connection.presence(keyed, "BTC")  # error
        async for value in connection.watch(price_too, "BTC"):
            print(value.hex())
            print(value.upper())  # error

    Publisher(5)  # error
    LiveRouter(prefix=1)  # error
    Live(APIRouter())  # error
    Live(FastAPI(), settings={"threads": 2})  # error
    Settings(max_threads="2")  # error
    Settings(2)  # error
    Settings().max_threads = 2  # error
"""


def errors_of_mypy(program: Path) -> set[int]:
    """Return the lines of a program in which mypy finds errors with the project's own configuration."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error: " in line}


def test_type_checker_refuses_what_cannot_work(tmp_path: Path) -> None:
    """mypy finds an error in every line with ``# error``, and in no other line."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(SNIPPET))
    lines = program.read_text().splitlines()
    assert errors_of_mypy(program) == {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
