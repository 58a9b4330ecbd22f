"""Definitions with their arguments, as a client in another process passes them."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretBytes,
    SecretStr,
    computed_field,
    model_serializer,
)

from tests.apps import typed
from wirespeed import BindingError, InvalidKey, Live
from wirespeed.client import Bound, bind

# mypy would refuse what these tests pass on purpose.
loosely: Any = bind


@pytest.mark.parametrize(
    ("bound", "path"),
    [
        (bind(typed.price, "BTC"), "/api/v1/price/BTC"),
        (bind(typed.price, symbol="A/B °?"), "/api/v1/price/A%2FB%20%C2%B0%3F"),
        (bind(typed.price, "BTC", typed.Side.SELL, limit=3), "/api/v1/price/BTC?side=sell&limit=3"),
        (bind(typed.price, "BTC", tags=["a", "b&c"]), "/api/v1/price/BTC?tag=a&tag=b%26c"),
        (bind(typed.price, "BTC", tags=None), "/api/v1/price/BTC"),
        (bind(typed.quotes, day=date(2026, 1, 2)), "/api/v1/quotes/2026-01-02"),
        (bind(typed.files, "a/b c", path=True), "/api/v1/files/a/b%20c?path=true"),
        (bind(typed.chat, "hall"), "/chat/hall"),
        (bind(typed.notices), "/notices"),
        (bind(typed.ticks), "/ticks"),
        (bind(typed.count, typed.Order(articleName="tea"), start=3), "/api/v1/count/3"),
        (bind(typed.greet, "ada", "hi", only=typed.Filter(low=1, high=4)), "/api/v1/greet/ada?low=1&high=4"),
        (bind(typed.shop.open, date(2026, 1, 2)), "/open?day=2026-01-02"),
    ],
    ids=lambda each: each.path if isinstance(each, Bound) else "",
)
def test_path(bound: Bound[Any], path: str) -> None:
    """A path has the prefixes of all routers; what it does not name is in the query, if it was given."""
    assert bound.path == path


def test_message() -> None:
    """A message is in the types of JSON, as its type has validated it."""
    assert bind(typed.count, typed.Order(articleName="tea"), start=1).message == {"articleName": "tea", "count": 1}
    assert loosely(typed.count, {"articleName": "tea", "count": "3"}, start="1").message["count"] == 3
    assert bind(typed.add, [Decimal("1.10")]).message == ["1.10"]


class Inner(BaseModel):
    password: SecretStr
    key: SecretBytes = SecretBytes(b"k")
    hidden: int = Field(default=0, exclude=True)


class Sent(BaseModel):
    """A message whose fields are not sent as they are read."""

    model_config = ConfigDict(extra="forbid")
    inner: Inner
    many: list[Inner] = Field(validation_alias=AliasChoices("all", "many"), serialization_alias="ALL")
    by_name: dict[str, SecretStr] = Field(validation_alias="byName")
    own: Annotated[int, PlainSerializer(hex), BeforeValidator(lambda given: int(str(given), 0))] = 16

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.many)


class Written(BaseModel):
    """A message that is serialised by a function of the app."""

    secret: SecretStr

    @model_serializer
    def sent(self) -> dict[str, str]:
        return {"secret": self.secret.get_secret_value(), "more": "x"}


def test_message_is_as_the_server_reads_it() -> None:
    """A message and a parameter have the names by which the server reads their fields, and secrets are not masked."""
    live, inner = Live(FastAPI()), {"password": "p", "key": "k", "hidden": 3}
    given = {"inner": inner, "all": [inner], "byName": {"a": "b"}, "own": "0x11"}

    @live.call("/send")
    def send(sent: Sent, old: Annotated[Inner | None, Query()] = None) -> int:
        return len(sent.many)

    @live.call("/write")
    def write(written: Written) -> int:
        return 1

    assert bind(send, Sent.model_validate(given)).message == given
    assert loosely(send, given).message == given
    assert bind(send, Sent.model_validate(given), Inner(password=SecretStr("p"))).path == "/send?password=p&key=k"
    assert bind(write, Written(secret=SecretStr("p"))).message == {"secret": "p", "more": "x"}


@pytest.mark.anyio
async def test_further_messages_are_valid() -> None:
    """The messages of a duplex stream are written as a single one is, and the first that is not valid raises."""
    live = Live(FastAPI())

    @live.stream("/talk")
    async def talk(messages: AsyncIterator[Inner]) -> AsyncIterator[int]:
        async for _ in messages:
            yield 1

    messages = loosely(talk, [Inner(password=SecretStr("p")), {"word": 1}]).messages
    assert await anext(messages) == {"password": "p", "key": "k"}
    with pytest.raises(InvalidKey, match=r"message.password=.* Field required"):
        await anext(messages)


def test_types_and_kinds() -> None:
    """The type of the values is the declared one."""
    assert [(each.type, each.kind, each.is_table) for each in (bind(typed.quotes, date.max), bind(typed.ticks))] == [
        (typed.Quote, "feed", True),
        (int, "stream", False),
    ]


@pytest.mark.parametrize(
    ("definition", "args", "key", "problem"),
    [
        (typed.price, (), {}, "missing a required argument: 'symbol'"),
        (typed.price, ("BTC",), {"limt": 3}, "unexpected keyword argument 'limt'"),
        (typed.price, ("BTC",), {"limit": "many"}, "limit='many'"),
        (typed.price, ("BTC", typed.Side.BUY, None, 5, 6), {}, "too many positional arguments"),
        (typed.count, (), {"start": 1}, "missing a required argument: 'order'"),
        (typed.count, ({"articleName": "tea"},), {}, "missing a required argument: 'start'"),
        (typed.count, ({"articleName": "tea", "count": "x"},), {"start": 1}, "order.count='x'"),
        (typed.count, ({"articleName": "tea"}, 1, "ada"), {}, "'who' is not for clients to pass"),
        (typed.count, (), {"begin": 1}, "unexpected keyword argument 'begin'"),
    ],
)
def test_wrong_argument_is_named(definition: Any, args: tuple[Any, ...], key: dict[str, Any], problem: str) -> None:
    """An argument that is missing, unknown or not valid is an error before anything is sent."""
    with pytest.raises(InvalidKey, match=problem):
        loosely(definition, *args, **key)


def test_key_and_argument() -> None:
    """An error speaks of a key where there is one, and not for the arguments of a stream or call."""
    with pytest.raises(InvalidKey, match=r"^feed '/price/{symbol}' \(price\): no such key: missing"):
        loosely(typed.price)
    with pytest.raises(InvalidKey, match=r"^stream '/count/{start}' \(count\): start='x': Input should be"):
        loosely(typed.count, {"articleName": "tea"}, "x")


async def unknown() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (typed.lonely, "'/unserved' .* is not .* of an app in this process: import the module"),
        (unknown, "unknown .* is not .* of an app in this process"),
        (typed.double, "is served at /a/twice and /b/twice: give one of the paths"),
    ],
)
def test_definition_without_a_path(definition: Any, problem: str) -> None:
    """A definition that no app serves, or that has two paths, is refused."""
    with pytest.raises(BindingError, match=problem):
        loosely(definition)


def test_definition_that_is_declared_later() -> None:
    """A definition has its path as soon as it is declared, also if others of the app were bound before."""
    live = Live(FastAPI())
    first = live.topic("/first", int)
    assert bind(first).path == "/first"
    assert bind(live.topic("/second", int)).path == "/second"


def test_names_in_urls() -> None:
    """A parameter has the name by which the server reads it, the preferred one if there are several."""
    live = Live(FastAPI())

    @live.feed("/rows")
    async def rows(
        most: Annotated[int, Query(validation_alias="limit")] = 5,
        number: Annotated[int, Query(validation_alias=AliasChoices("no", "nr"))] = 1,
        plain: Annotated[int, Query(alias="p", validation_alias="q")] = 1,
    ) -> AsyncIterator[int]:
        yield number

    assert bind(rows, most=3, number=2, plain=4).path == "/rows?limit=3&no=2&q=4"


class Found(BaseModel):
    """A model of query parameters."""

    low: int | None = Field(5, alias="from")
    more: dict[str, int] = {}
    tags: list[str] = ["a"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"number": None}, "number=None cannot be said in an address, where it is read as 5"),
        ({"required": None}, "missing a required argument: 'required'"),
        ({"tags": []}, r"tags=\[\] cannot be said"),
        ({"found": Found.model_validate({"from": None})}, "found=.* cannot be said"),
        ({"found": Found.model_validate({"tags": []})}, "found=.* cannot be said"),
        ({"found": Found.model_validate({"more": {"a": 1}})}, "found=.* cannot be said"),
    ],
)
def test_value_that_an_address_cannot_say(values: dict[str, Any], problem: str) -> None:
    """A value that the server would read as another one is refused, for a key and for the arguments of a call."""
    live = Live(FastAPI())

    @live.topic("/rows", int)
    def rows(
        required: int | None,
        number: int | None = 5,
        tags: Annotated[list[str], Query()] = ["a"],  # noqa: B006 - FastAPI copies it
        found: Annotated[Found, Query()] = Found.model_validate({}),  # noqa: B008
    ) -> None: ...

    @live.call("/call")
    def call(
        message: dict[str, int],
        required: int | None,
        number: int | None = 5,
        tags: Annotated[list[str], Query()] = ["a"],  # noqa: B006
        found: Annotated[Found, Query()] = Found.model_validate({}),  # noqa: B008
    ) -> int:
        return 1

    with pytest.raises(InvalidKey, match=problem):
        loosely(rows, **{"required": 1} | values)
    with pytest.raises(InvalidKey, match=problem):
        loosely(call, {}, **{"required": 1} | values)
    said = loosely(rows, required=1, number=6, found=Found.model_validate({"from": 7, "tags": ["b", "c"]}))
    assert said.path == "/rows?required=1&number=6&from=7&tags=b&tags=c"


def test_default_may_be_named() -> None:
    """None and an empty list are taken where they are the default: the server reads them as such."""
    live = Live(FastAPI())

    @live.topic("/rows", int)
    def rows(number: int | None = None, tags: Annotated[list[str], Query()] = []) -> None: ...  # noqa: B006

    assert bind(rows, number=None, tags=[]).path == "/rows"


def test_something_else_is_refused() -> None:
    """A value that is not a definition is named."""
    with pytest.raises(TypeError, match="5 is not a feed, topic, stream or call"):
        loosely(5)
