"""Tables in an order: what is read of them as a whole is ordered by a field."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NotRequired

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, computed_field, create_model, field_validator
from pydantic_core import core_schema
from typing_extensions import TypedDict

from tests.exchanges import Exchange, events_of
from tests.live.multiplexing import Speaker, speaking
from wirespeed import DeclarationError, Live, Snapshot, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int
    price: Decimal | None = None
    text: str = ""


ROWS = [Row(id=1, price=Decimal(9)), Row(id=2), Row(id=3, price=Decimal(10)), Row(id=4, price=Decimal("0.5"))]


@pytest.fixture(params=["price", "-price"])
def table(live: Live, request: pytest.FixtureRequest) -> Topic[[], Row]:
    """A table that is ordered by a number, which is text in JSON and may be missing."""
    return live.topic("/table", Row, by="id", order_by=request.param)


def order_of(table: Topic[[], Row]) -> list[int]:
    """Return the rows in the order of the table."""
    return {"price": [4, 1, 3, 2], "-price": [3, 1, 4, 2]}[table._definition.options.order_by or ""]


async def history(page: Speaker, **fields: Any) -> list[int]:
    answer = await page.ask({"history": {"channel": "table", **fields}})
    return [each["data"]["key"] for each in answer["history"]["publications"]]


async def got(app: FastAPI, path: str) -> Any:
    async with Exchange(app, path) as answer:
        return json.loads(await answer.body()), answer.status


async def test_each_surface_reads_in_order(app: FastAPI, table: Topic[[], Row]) -> None:
    """New watchers, GETs, history and the app read rows in order; rows without a value come last."""
    async with lifespan(app), speaking(app) as page:
        for row in ROWS:
            await table.publish(row)
        order = order_of(table)
        assert [each.id for each in await table.snapshot()] == order
        assert [each.value.id for each in await table.history()] == order
        assert (await table.latest()) == ROWS[-1]
        assert [each["id"] for each in (await got(app, "/table"))[0]] == order
        async with connect(app, "/table") as watcher:
            assert [(await watcher.receive_json())["key"] for _ in order] == order
            table.publish(Row(id=3, text="new"))
            assert (await watcher.receive_json())["key"] == 3
        async with events_of(app, "/table") as events:
            assert len(await events.events(4)) == 4
        table.publish(ROWS[2])
        await page.subscribed("table")
        assert [(await page.pub("table"))["key"] for _ in order] == order
        assert await history(page, limit=2) == order[:2]
        assert await history(page, limit=-1, reverse=True) == order[::-1]


class Renamed(BaseModel):
    """A row that does not read what it writes."""

    model_config = ConfigDict(extra="forbid")

    id: int
    price: Decimal = Field(serialization_alias="p")

    @computed_field
    def double(self) -> Decimal:
        return 2 * self.price


async def test_rows_that_do_not_read_what_they_write(app: FastAPI, live: Live) -> None:
    """Names that only the JSON has, and computed fields, do not stop the order."""
    table = live.topic("/renamed", Renamed, by="id", order_by="price")
    async with lifespan(app):
        for row in ROWS:
            if row.price is not None:
                await table.publish(Renamed(id=row.id, price=row.price))
        assert [each["id"] for each in (await got(app, "/renamed"))[0]] == [4, 1, 3]


class Sent(BaseModel):
    id: int
    price: Decimal = Field(Decimal(0), serialization_alias="p")
    words: list[str] = Field([], serialization_alias="price")


class Typed(TypedDict):
    id: int
    price: NotRequired[Annotated[Decimal, Field(serialization_alias="p")]]


@dataclass
class Data:
    id: int
    price: Annotated[Decimal, Field(serialization_alias="p")]


@pytest.mark.parametrize(
    ("type_", "make"),
    [
        (Sent, Sent),
        (Typed, Typed),
        (Data, Data),
        (dict[str, Decimal], dict),
        (dict[str, Any], lambda **row: row | {"price": float(row["price"])}),
    ],
)
async def test_rows_are_ordered_as_python_orders_their_values(
    app: FastAPI, live: Live, type_: Any, make: Callable[..., Any]
) -> None:
    """A field that has another name in JSON, or that is text there, is ordered by its value in rows of each type."""
    table: Topic[[], Any] = live.topic("/any", type_, by="id", order_by="price")
    async with lifespan(app):
        for id_, price in [(1, 9), (2, 10), (3, 2)]:
            await table.publish(make(id=id_, price=Decimal(price)))
        assert [int(each["id"]) for each in (await got(app, "/any"))[0]] == [3, 1, 2]


class Version:
    """A value of the app's own, which is before equal ones, too."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __lt__(self, other: "Version") -> bool:
        return self.number <= other.number

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.number),
        )


@pytest.mark.parametrize(
    ("kind", "value_of"),
    [
        (Version, lambda number: Version(number % 10)),
        (set[str], lambda number: set("abcd"[number % 4 :: number % 3 + 1])),
    ],
)
async def test_values_that_are_in_no_order(app: FastAPI, live: Live, kind: Any, value_of: Callable[[int], Any]) -> None:
    """A watcher of a large table gets each row once, in the order of what is sent of such values."""
    entry: Any = create_model("Entry", id=(int, ...), value=(kind, ...), text=(str, ...))
    table: Topic[[], Any] = live.topic("/odd", entry, by="id", order_by="value")
    async with lifespan(app):
        for number in range(1000):
            table.publish(entry(id=number, value=value_of(number), text="x" * 300))
        async with connect(app, "/odd", max_waiting=1) as watcher:
            seen = [(await watcher.receive_json())["value"] for _ in range(1000)]
            table.publish(entry(id=1000, value=value_of(0), text="new"))
            assert (await watcher.receive_json())["value"]["text"] == "new"
    assert {each["id"] for each in seen} == set(range(1000))
    assert [each["value"] for each in seen] == sorted(each["value"] for each in seen)


class Panic(BaseException):
    """An error other than an ``Exception``, as libraries in Rust raise."""


@pytest.mark.parametrize("error", [Panic, SystemExit, asyncio.CancelledError])
async def test_validator_that_panics_while_a_client_reads(app: FastAPI, live: Live, error: type[BaseException]) -> None:
    """Whatever the code of one table raises in the clock's turn, its clients get all rows, and others their values."""
    is_armed = False

    class Checked(BaseModel):
        id: int
        price: int
        text: str = "x" * 300

        @field_validator("price")
        @classmethod
        def check(cls, price: int) -> int:
            if is_armed:
                raise error("no such price")
            return price

    table, news = live.topic("/checked", Checked, by="id", order_by="price"), live.topic("/news", int)
    async with lifespan(app), connect(app, "/news") as other:
        for number in range(1000):
            table.publish(Checked(id=number, price=1))
        changed = Checked(id=0, price=2, text="new")
        async with connect(app, "/checked", max_waiting=1) as watcher:
            seen = [(await watcher.receive_json())["key"]]
            is_armed = True
            table.publish(changed)
            while len(set(seen)) < 1000 or seen[-1] != 0:
                seen.append((await watcher.receive_json())["key"])
            news.publish(1)
            assert await other.receive_json() == 1


async def test_limit(app: FastAPI, table: Topic[[], Row], live: Live) -> None:
    """A GET takes the first rows only; a limit that is not a number, or not of a table, is refused."""
    news = live.topic("/news", str)
    async with lifespan(app):
        for row in ROWS:
            await table.publish(row)
        await news.publish("a")
        everything, _ = await got(app, "/table")
        for limit in (0, 1, 3, 100):
            assert await got(app, f"/table?limit={limit}") == (everything[:limit], 200)
        for path in ("/table?limit=-1", "/table?limit=x", "/news?limit=1"):
            answer, status = await got(app, path)
            assert (status, answer["detail"][0]["loc"]) == (422, ["query", "limit"])


async def test_large_table_that_changes_while_it_is_read(app: FastAPI, live: Live) -> None:
    """A slow watcher of a table with many pieces gets every row in order, and what changes meanwhile after that."""
    count = 3000
    table = live.topic("/large", Row, by="id", order_by="-id", retain=None)
    async with lifespan(app):
        for number in range(count):
            table.publish(Row(id=number, text="x" * 100))
        async with connect(app, "/large?positions=1", max_waiting=1) as watcher:
            first = [await watcher.receive_json() for _ in range(10)]
            for number in range(0, count, 7):
                table.remove(number)
                table.publish(Row(id=number + 1, text="new"))
            assert await table.snapshot()  # in another order, of another head
            held = {each["key"]: each["value"]["text"] for each in first}
            ids = [each["key"] for each in first]
            while any(held.get(number + 1) != "new" or number in held for number in range(0, count, 7)):
                seen = await watcher.receive_json()
                if seen.get("removed"):
                    held.pop(seen["key"], None)
                else:
                    held[seen["key"]] = seen["value"]["text"]
                    ids += [seen["key"]] * (seen["value"]["text"] != "new")
        assert ids == sorted(ids, reverse=True)
        assert {each.id: each.text for each in await table.snapshot()} == held


async def test_client_that_leaves_in_the_middle(app: FastAPI, live: Live) -> None:
    """A client that resumes before it has all rows gets the whole table, even if it has the newest row."""
    table = live.topic("/table", Row, by="id", order_by="-id")
    async with lifespan(app):
        for number in range(3):
            await table.publish(Row(id=number))
        async with connect(app, "/table?positions=1") as watcher:
            positions = [(await watcher.receive_json())["position"] for _ in range(3)]
        async with connect(app, f"/table?positions=1&since={positions[0]}") as watcher:
            assert await watcher.receive_json() == {"reset": True}
            assert [(await watcher.receive_json())["key"] for _ in range(3)] == [2, 1, 0]
        async with connect(app, f"/table?positions=1&since={positions[2]}") as watcher:
            table.publish(Row(id=9))
            assert (await watcher.receive_json())["key"] == 9


async def test_snapshots_in_order(app: FastAPI, live: Live) -> None:
    """A feed's table is ordered, too; values of several types are ordered as text, and dicts by their keys."""

    @live.feed("/table", by="id", order_by="n")
    async def table() -> AsyncIterator[Snapshot[dict[str, Any]]]:
        yield Snapshot([{"id": 1, "n": 2}, {"id": 2}, {"id": 3, "n": 1}, {"id": 4, "n": "x"}])

    async with lifespan(app):
        assert [each["id"] for each in (await got(app, "/table"))[0]] == [3, 1, 4, 2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"order_by": "price"}, "order_by= orders the rows of a table"),
        ({"by": "id", "order_by": "-cost"}, "order_by='cost' is not a field of Row"),
        ({"by": "id", "order_by": "id", "grows": "text"}, "order_by= and grows= do not go together"),
    ],
)
def test_declarations_that_cannot_work(live: Live, options: dict[str, Any], problem: str) -> None:
    """An order needs a table, and a field of its rows."""
    with pytest.raises(DeclarationError, match=problem):
        live.topic("/table", Row, **options)
