"""The methods that feeds and topics share: the values of their logs, and the apps that have them."""

import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, NewType

import pytest
from pydantic import BaseModel, Field

from tests.hub.watching import handle, topic
from wirespeed.definitions import (
    AppHub,
    Client,
    ClientGroup,
    Key,
    ListedClient,
    Publication,
    Receipt,
    Seen,
    Watched,
    WatchStatistics,
)
from wirespeed.errors import BindingError, DeclarationError
from wirespeed.log.base import Entry, Marks
from wirespeed.log.position import Position

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int
    customer: str = Field(alias="for")


class Item(BaseModel):
    item_count: int = Field(serialization_alias="itemCount")
    weight: float = 1.0


@dataclass
class Point:
    x: int


Name = NewType("Name", str)
ADA = {"id": 1, "for": "ada"}


class Shelf(AppHub):
    """A hub that holds values, encoded with the topic's encoder."""

    def __init__(self, *values: Any) -> None:
        self.values = values
        self.over = False
        self.asked: list[str] = []
        self.published: list[tuple[str, Any]] = []
        self.marks: list[Marks | None] = []
        """The marks of each publication; of each value that it holds, if there are any."""

    def publish(self, watched: Watched[Any, Any], key: str, value: Any, marks: Marks | None) -> Receipt:
        """Record a publication."""
        self.published.append((key, value))
        self.marks.append(marks)
        return Receipt(watched.title, Position("e", len(self.published)))

    def complete(self, watched: Watched[Any, Any], key: str) -> Receipt:
        """Record a completion."""
        return self.publish(watched, key, "complete", None)

    async def entries(self, watched: Watched[Any, Any], key: str, values: Mapping[str, Any]) -> list[Entry]:
        """Return the values."""
        self.asked.append(key)
        encode = watched.log_kind.values.encode
        held = zip(self.values, self.marks or [None] * len(self.values), strict=True)
        return [Entry(Position("e", at), encode(value), None, marks) for at, (value, marks) in enumerate(held, 1)]

    async def held(
        self, watched: Watched[Any, Any], key: str, values: Mapping[str, Any]
    ) -> tuple[list[Entry], Position]:
        """Return the values, and the position of the newest one."""
        held = await self.entries(watched, key, values)
        return held, Position("e", len(held))

    async def watch(self, watched: Watched[Any, Any], values: Mapping[str, Any]) -> AsyncGenerator[Seen, None]:
        """Yield the values."""
        for entry in await self.entries(watched, watched.key.text(values), values):
            yield Seen(b"v", entry.payload, b"")

    async def empty(self, watched: Watched[Any, Any], key: str) -> None:
        """Drop the values."""
        self.values = ()

    def keys(self, watched: Watched[Any, Any]) -> list[Mapping[str, Any]]:
        """Return no keys."""
        return []

    async def all_keys(self, watched: Watched[Any, Any], timeout: float) -> list[Mapping[str, Any]]:
        """Return no keys."""
        return []

    def clients(self, watched: Watched[Any, Any], key: str) -> list[Client]:
        """Return no clients."""
        self.asked.append(key)
        return []

    def all_clients(self, watched: Watched[Any, Any], key: str) -> ClientGroup:
        """Return a group that does nothing."""

        async def find(most: int, timeout: float) -> list[ListedClient]:
            return []

        self.asked.append(key)
        return ClientGroup(lambda *_: None, find)

    def watching(self, watched: Watched[Any, Any]) -> WatchStatistics:
        """Return figures of seven watchers."""
        return WatchStatistics()._replace(watchers=7)

    def is_over(self) -> bool:
        """Return whether the app has stopped."""
        return self.over


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (str, 'a "text"'),
        (Name, "name"),
        (Annotated[str, Field(max_length=5)], "text"),
        (bytes, b"\xff\x00"),
        (int, 7),
        (Order, Order.model_validate(ADA)),
        (Point, Point(3)),
        (dict[str, list[int]], {"a": [1, 2]}),
        (int | None, None),
    ],
)
async def test_values_come_back_as_they_were(type_: Any, value: Any) -> None:
    """A log's payloads are decoded to values of the declared type, with aliases or without."""
    watched = topic(type_)
    watched.bind(Shelf(value, value))
    assert await handle(watched).latest() == value
    assert await handle(watched).snapshot() == [value, value]
    history = await handle(watched).history()
    assert history == [Publication(Position("e", 1), value), Publication(Position("e", 2), value)]
    assert type((await handle(watched).snapshot())[0]) is type(value)


async def test_values_are_read_by_the_names_that_are_sent() -> None:
    """Fields whose names in JSON only the serialiser knows come back, at any depth, and so does NaN."""
    value = {"a": [Item(item_count=7, weight=math.nan)]}
    watched = topic(dict[str, list[Item]])
    watched.bind(Shelf(value))
    seen = [each async for each in handle(watched).watch()]
    found = [await handle(watched).latest(), *await handle(watched).snapshot(), *seen]
    found += [each.value for each in await handle(watched).history()]
    assert [repr(each) for each in found] == [repr(value)] * 4


@pytest.mark.parametrize(("type_", "value"), [(bytes, b"text"), (str, "text"), (Order, Order.model_validate(ADA))])
async def test_tags_come_back(type_: Any, value: Any) -> None:
    """History has a copy of each value's tags; tags do not change the value."""
    watched, tags = topic(type_), {"side": "buy"}
    shelf = Shelf(value, value)
    shelf.marks = [Marks(tags), None]
    watched.bind(shelf)
    assert [type(each) for each in (await handle(watched).latest(), *await handle(watched).snapshot())] == [type_] * 3
    first, second = await handle(watched).history()
    assert first == Publication(Position("e", 1), value, tags)
    assert second == Publication(Position("e", 2), value)
    assert second.tags == {}
    assert first.tags is not tags
    assert (type(first.value), type(second.value)) == (type_, type_)


async def test_nothing_is_none() -> None:
    """An empty log has no newest value."""
    watched = topic(int)
    watched.bind(Shelf())
    assert (await handle(watched).latest(), await handle(watched).snapshot(), await handle(watched).history()) == (
        None,
        [],
        [],
    )


async def test_key_is_asked_for_in_its_spelling() -> None:
    """Values are those of the key in the call."""
    watched, shelf = topic(int), Shelf(1)
    watched.key = Key("x", [parameter("number", int)])
    watched.bind(shelf)
    await handle(watched).latest(7)
    await handle(watched).snapshot(number="007")
    assert shelf.asked == ["number=7", "number=7"]


def parameter(name: str, annotation: Any) -> Parameter:
    """Return a parameter of a key."""
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)


async def test_who_belongs_to_no_app_says_so() -> None:
    """Without an app, every method raises an error that names the topic and says how to get an app."""
    watched = topic(int, "/news")
    for ask in (handle(watched).latest, handle(watched).snapshot, handle(watched).history):
        with pytest.raises(BindingError, match="topic '/news' belongs to no running app: include its LiveRouter"):
            await ask()
    with pytest.raises(BindingError):
        handle(watched).statistics()
    with pytest.raises(BindingError):
        handle(watched).publish(1)


async def test_open_path_wants_its_function() -> None:
    """A topic whose path has parameters cannot be used before a function says what they are."""
    watched = topic(int, "/orders/{user_id}")
    watched.bind(Shelf(1))
    assert watched.is_open()
    with pytest.raises(DeclarationError, match="decorate a function that declares them"):
        await handle(watched).latest()
    with pytest.raises(DeclarationError):
        handle(watched).publish(1)


async def test_first_app_is_asked() -> None:
    """A definition that two apps include has each hub once, and the values and figures of the first."""
    watched, first, second = topic(int), Shelf(1), Shelf(2)
    for shelf in (first, second, first):
        watched.bind(shelf)
    assert (await handle(watched).latest(), handle(watched).statistics().watchers) == (1, 7)


async def test_app_that_has_stopped_makes_way() -> None:
    """A hub that has stopped is skipped; the last one still answers."""
    watched, first, second, third = topic(int), Shelf(1), Shelf(2), Shelf(3)
    watched.bind(first)
    watched.bind(second)
    first.over = True
    handle(watched).publish(5)
    assert (await handle(watched).latest(), first.published, second.published) == (2, [], [("", 5)])
    second.over = True
    assert await handle(watched).latest() == 1
    watched.bind(third)
    first.over = False
    assert await handle(watched).latest() == 3


def test_name_in_errors() -> None:
    """Errors, logs and ``repr`` use the same name."""
    watched = topic(int, "/news")
    assert (watched.title, repr(handle(watched))) == ("topic '/news'", "<topic '/news'>")
