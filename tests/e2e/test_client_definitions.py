"""The Python client with the definitions of an app instead of paths, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from typing import Any, assert_type

import pytest

from tests.apps import typed
from tests.apps.typed import (
    Order,
    Quote,
    Side,
    Stock,
    add,
    chat,
    count,
    echo,
    greet,
    notices,
    price,
    quotes,
    reverse,
    shop,
    stock,
    stock_of,
    stocks,
    ticks,
)
from tests.servers import serve
from tests.waiting import PATIENCE, until_async
from wirespeed import InvalidKey, RowChange
from wirespeed.client import ClientConnection, ServerRefused, bind, changes, connect, watch

DAY = date(2026, 1, 2)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Start a server."""
    with serve("tests.apps.typed:app") as server:
        yield server.url


def run(url: str, main: Callable[[ClientConnection], Awaitable[None]]) -> None:
    """Run a test with a connection of its own, and with a timeout."""

    async def limited() -> None:
        async with asyncio.timeout(PATIENCE), connect(url) as connection:
            await main(connection)

    asyncio.run(limited())


def test_values_have_the_declared_type(url: str) -> None:
    """A feed and streams yield instances of their types, for the key and the message that were passed."""

    async def main(connection: ClientConnection) -> None:
        async for quote in watch(url, price, "BTC", side=Side.SELL, tags=["a"]):
            assert_type(quote, Quote)
            assert quote == Quote(symbol="BTC SELL ['a'] 5", price=Decimal("1.10"), day=DAY)
        assert [each.symbol async for each in connection.watch(price, symbol="B C")] == ["B C BUY None 5"]
        counted = [each async for each in connection.watch(count, Order(articleName="tea", count=2), 7)]
        assert [each.symbol for each in counted] == ["tea 7 ada", "tea 8 ada"]
        assert [each async for each in connection.watch(ticks)] == [1, 2, 3]

    run(url, main)


def test_options_with_bind(url: str) -> None:
    """A definition that is bound to its key takes the options of a path."""

    async def main(connection: ClientConnection) -> None:
        async for quote in watch(url, bind(price, "BTC"), newest=True, headers={"x": "y"}):
            assert_type(quote, Quote)
        async for publication in connection.publications(bind(price, "BTC"), lossy=True):
            assert publication.value.day == DAY
        with pytest.raises(TypeError, match="there is no option 'newst'"):
            await anext(connection.watch(bind(price, "BTC"), newst=True))  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="there is no option 'limit'"):
            await anext(connection.watch("/api/v1/price/BTC", limit=5))  # type: ignore[call-overload]

    run(url, main)


def test_messages_of_a_duplex_stream(url: str) -> None:
    """A duplex stream takes its messages as its function does."""

    async def texts() -> AsyncIterator[str]:
        yield "one"
        yield "end"

    async def main(connection: ClientConnection) -> None:
        assert [each async for each in connection.watch(echo, texts())] == ["one", "end"]

    run(url, main)


def test_rows_of_a_table(url: str) -> None:
    """A table yields changes whose values are rows; as a feed without rows it is refused, and the other way round."""

    async def main(connection: ClientConnection) -> None:
        found: list[RowChange[Quote]] = []
        async with aclosing(changes(url, quotes, DAY)) as changing:
            async for change in changing:
                found += [change] if change.kind == "value" else []
                if len(found) == 2:
                    break
        assert [(each.row, each.value) for each in found] == [
            (symbol, Quote(symbol=symbol, price=Decimal(number), day=DAY)) for number, symbol in [(1, "A"), (2, "B")]
        ]
        history = await connection.history(quotes, DAY)
        assert [each.value.price for each in history] == [1, 2]
        with pytest.raises(TypeError, match="is a table; use changes"):
            await anext(connection.watch(quotes, DAY))
        with pytest.raises(TypeError, match="is a table; use changes"):
            await anext(connection.publications(bind(quotes, DAY)))
        with pytest.raises(TypeError, match="is not a table; use watch"):
            await anext(connection.changes(price, "BTC"))

    run(url, main)


def test_values_are_read_by_the_names_that_are_sent(url: str) -> None:
    """Watches, changes, history and calls read fields whose names in JSON only the serialiser knows."""
    row = Stock(id=1, item_count=7)

    async def main(connection: ClientConnection) -> None:
        assert [each async for each in connection.watch(stock)] == [row]
        async with aclosing(connection.changes(stocks)) as changing:
            async for change in changing:
                if change.kind == "value":
                    assert change.value == row
                    break
        assert [each.value for each in await connection.history(stocks)] == [row]
        assert await connection.call(stock_of, 1) == [row]

    run(url, main)


def test_topic(url: str) -> None:
    """A topic takes messages that its handler accepts, and has history and presence."""

    async def main(connection: ClientConnection) -> None:
        async with aclosing(connection.watch(chat, "hall")) as texts:
            waiting = asyncio.ensure_future(anext(texts))
            await until_async(lambda: connection.presence(chat, room="hall"))
            await connection.publish(chat, Order(articleName="tea", count=2), "hall")
            assert_type(await waiting, str)
        assert waiting.result() == "2 tea"
        history = await connection.history(bind(chat, "hall"), limit=1)
        assert [each.value for each in history] == ["2 tea"]
        assert [each.value for each in await connection.history(chat, room="hall")] == ["2 tea"]
        wrong: Any = {"count": "many"}
        with pytest.raises(InvalidKey, match=r"message\.articleName"):
            await connection.publish(chat, wrong, room="hall")
        with pytest.raises(TypeError, match=r"'/notices' .*takes no messages"):
            await connection.publish(notices, "hi")

    run(url, main)


def test_calls(url: str) -> None:
    """A call is made with the arguments of its function, and returns its type."""

    async def main(connection: ClientConnection) -> None:
        total = await connection.call(add, [Decimal("0.1"), Decimal("0.2")], start=Decimal(1))
        assert_type(total, Decimal)
        assert total == Decimal("1.3")
        assert await connection.call(greet, "ada", "hi", typed.Filter(low=2)) == {"hi ada": 7}
        assert await connection.call(shop.open, day=DAY) is True
        assert await connection.call(reverse, b"\xff\x00") == b"\x00\xff"
        with pytest.raises(ServerRefused) as raised:
            await connection.call(greet, "eve", "hi", typed.Filter())
        assert (raised.value.status, raised.value.detail) == (404, {"missing": "eve"})
        with pytest.raises(TypeError, match="is a stream, not a call; use watch"):
            await connection.call(ticks)
        with pytest.raises(TypeError, match="/api/v1/add is a call; use call"):
            await anext(connection.watch(bind(add, [Decimal(1)])))

    run(url, main)
