"""JSON schemas of odd types: as FastAPI names them, in the dialect of AsyncAPI, and never in the way of the others."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypeVar
from uuid import UUID

import pytest
from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, computed_field
from pydantic_core import core_schema
from typing_extensions import TypeAliasType, TypedDict

from tests.conforming import Conforming
from tests.parsing import check
from wirespeed import Live, Message
from wirespeed.asyncapi import document
from wirespeed.testing import lifespan

T = TypeVar("T")
Schema = dict[str, Any]


class Page(BaseModel, Generic[T]):
    items: list[T]


class Node(BaseModel):
    children: list["Node"] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    discriminator: str = "a property, not a keyword"


class Square(BaseModel):
    side: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


@dataclass
class Point:
    x: float
    y: float = 0.0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Color(Enum):
    RED = "r"
    BLUE = "b"


class First:
    class Thing(BaseModel):
        one: int


class Second:
    class Thing(BaseModel):
        two: str


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
UserId = NewType("UserId", int)
Names = TypeAliasType("Names", dict[str, list[str]])


class Everything(BaseModel):
    """Fields whose defaults are not JSON, or whose names are those of keywords."""

    at: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    after: timedelta = timedelta(seconds=3)
    price: Decimal = Decimal("1.50")
    path: PurePosixPath = PurePosixPath("/x")
    numbers: set[int] = {1}
    by_color: dict[Color, int] = {Color.RED: 1}
    by_letter: dict[Literal["a", "b"], int] = {}
    pair: tuple[int, str] = (1, "a")
    secret: SecretStr = SecretStr("x")
    infinite: float = float("inf")
    raw: bytes = b"a"
    inner: Json[int] | None = None
    items: list[int] = []
    properties: dict[str, int] = {}
    prefixItems: int = 1  # noqa: N815 - a keyword of JSON schema


TYPES: list[Any] = [
    Page[int], Page[Page[Cat]], Node, Pet, list[Pet], Square, Point, Movie, Color, First.Thing, Second.Thing, UserId,
    Names, Everything, Decimal, datetime, UUID, tuple[int, str], Literal[1, "a"], int | str | None, Any,
    list[Any],
]  # fmt: skip


def callable_of(type_: Any) -> Callable[..., Any]:
    """Return a function that takes and returns a type."""

    async def function(message: Annotated[type_, Body()]) -> type_:
        return message

    return function


def test_names_are_those_of_openapi(app: FastAPI, live: Live) -> None:
    """All types have valid schemas, whose names are those in OpenAPI, two models with one name included."""
    for number, each in enumerate(TYPES):
        live.call(f"/{number}")(callable_of(each))
    made = document(app)
    check(made)
    assert made["components"]["schemas"].keys() == app.openapi()["components"]["schemas"].keys()
    assert sum(name.endswith("Thing") for name in made["components"]["schemas"]) == 2


def details(app: FastAPI, live: Live, type_: Any) -> tuple[Schema, Schema, dict[str, Schema]]:
    """Return the schemas of a type as a message and as a value, and the named ones."""
    live.call("/x")(callable_of(type_))
    made = document(app)
    check(made)
    found = made["channels"]["x"]["x-wirespeed"]
    return found["message"], found["value"], made["components"]["schemas"]


def test_discriminator(app: FastAPI, live: Live) -> None:
    """A discriminator is the name of a property; a property of this name stays one."""
    message, value, schemas = details(app, live, Pet)
    assert message["discriminator"] == "kind"
    assert value["discriminator"] == "kind"
    assert schemas["Dog"]["properties"]["discriminator"]["type"] == "string"


def test_tuple(app: FastAPI, live: Live) -> None:
    """A tuple is a list with a schema for each place and for no further one."""
    message, _, _ = details(app, live, tuple[int, str])
    assert (message["items"], message["additionalItems"]) == ([{"type": "integer"}, {"type": "string"}], False)
    assert "prefixItems" not in message


def test_computed_field(app: FastAPI, live: Live) -> None:
    """A computed field is in values only."""
    _, _, schemas = details(app, live, Square)
    assert schemas["Square-Input"]["properties"].keys() == {"side"}
    assert schemas["Square-Output"]["properties"].keys() == {"side", "area"}


def test_required_fields(app: FastAPI, live: Live) -> None:
    """A field with a default is optional, as in OpenAPI; a model may say that its values always have it."""

    class Always(BaseModel):
        model_config = ConfigDict(json_schema_serialization_defaults_required=True)
        size: int = 5

    live.call("/cat")(callable_of(Cat))
    _, _, schemas = details(app, live, Always)
    assert "required" not in schemas["Cat"]
    assert "required" not in schemas["Always-Input"]
    assert schemas["Always-Output"]["required"] == ["size"]
    assert schemas == app.openapi()["components"]["schemas"] | {
        name: schemas[name] for name in ("HTTPValidationError", "ValidationError")
    }


def test_defaults(app: FastAPI, live: Live) -> None:
    """Defaults are written as values are; one that JSON does not have is null."""
    _, _, schemas = details(app, live, Everything)
    properties = schemas["Everything-Output"]["properties"]
    assert {name: each.get("default") for name, each in properties.items() if name in ("at", "price", "infinite")} == {
        "at": "2020-01-01T00:00:00Z",
        "price": "1.50",
        "infinite": None,
    }
    assert properties["pair"]["items"] == [{"type": "integer"}, {"type": "string"}]
    assert properties["prefixItems"]["type"] == "integer"
    assert properties["items"]["items"] == {"type": "integer"}


def test_default_without_json(app: FastAPI, live: Live) -> None:
    """A default that cannot be written as JSON is left out."""

    class Octets(BaseModel):
        octets: bytes = b"\xff"

    _, _, schemas = details(app, live, Octets)
    assert "default" not in schemas["Octets"]["properties"]["octets"]


def test_parameters(app: FastAPI, live: Live) -> None:
    """Parameters have their defaults in JSON; the choices of one in the path are texts."""

    @live.feed("/x/{color}/{number}/{flag}")
    async def values(
        color: Color,
        number: Literal[1, 2],
        flag: Literal[True],
        day: date = date(2020, 1, 2),
        colors: Annotated[tuple[Color, ...], Query()] = (Color.RED,),
    ) -> AsyncIterator[int]:
        yield 1

    made = document(app)
    check(made)
    (found,) = made["channels"].values()
    assert {name: each["enum"] for name, each in found["parameters"].items()} == {
        "color": ["r", "b"],
        "number": ["1", "2"],
        "flag": ["true"],
    }
    defaults = {each["name"]: each.get("default") for each in found["x-wirespeed"]["parameters"]}
    assert (defaults["day"], defaults["colors"]) == ("2020-01-02", ["r"])


class Unknown:
    """A type that Pydantic validates, and whose schema it does not know."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(cls)


class Raising:
    """A type whose own schema raises."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Schema:
        raise LookupError("no schema today")


class Partly(BaseModel):
    known: int
    unknown: Unknown


@pytest.mark.parametrize(("type_", "reason"), [(Unknown, "IsInstance"), (Raising, "no schema today"), (Partly, "")])
def test_type_without_schema(
    app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture, type_: Any, reason: str
) -> None:
    """A type without a schema is any JSON, the log names its definition once, and all other types have theirs."""

    @live.stream("/bad")
    async def bad(message: Annotated[Any, Message()]) -> AsyncIterator[type_]:
        yield message

    live.call("/good")(callable_of(Cat))
    made = document(app)
    check(made)
    value = made["channels"]["bad"]["x-wirespeed"]["value"]
    schemas = made["components"]["schemas"]
    if type_ is Partly:
        properties = schemas["Partly"]["properties"]
        assert (properties["known"]["type"], "type" in properties["unknown"]) == ("integer", False)
    else:
        assert value == {"description": "Any JSON: the type of Python has no JSON schema."}
    assert schemas["Cat"]["properties"]["lives"]["type"] == "integer"
    document(app)
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert line.startswith("stream '/bad' (bad): AsyncAPI describes a part of its value as any JSON")
    assert reason in line


def test_schemas_of_the_app(app: FastAPI, live: Live) -> None:
    """Additions of the app may hold any object, and references to nothing are left out: the document stays valid."""

    more: Schema = {
        "examples": [{"at": date(2020, 1, 2)}],
        "discriminator": {"no": "name"},
        "nested": {"$ref": "#/nowhere"},
        "allOf": [{"$ref": "#/nowhere"}, {"title": "Title"}],
    }

    class Extended(BaseModel):
        model_config = ConfigDict(json_schema_extra=more)
        at: date

    _, value, schemas = details(app, live, Extended)
    assert value == {"$ref": "#/components/schemas/Extended"}
    assert schemas["Extended"]["examples"] == [{"at": "2020-01-02"}]
    assert schemas["Extended"]["allOf"] == [{}, {"title": "Title"}]
    assert not {"discriminator", "nested"} & schemas["Extended"].keys()


VALUES: list[tuple[Any, Any]] = [
    (Page[int], Page[int](items=[1])),
    (Node, Node(children=[Node()])),
    (Pet, Cat()),
    (Square, Square(side=2)),
    (Point, Point(1)),
    (Movie, {"title": "Alien"}),
    (dict[Color, Point], {Color.BLUE: Point(1)}),
    (UserId, UserId(5)),
    (Names, {"a": ["b"]}),
    (Everything, Everything(infinite=1, raw=b"a")),
    (tuple[int, str], (1, "a")),
    (Decimal, Decimal("1.5")),
    (UUID, UUID(int=1)),
    (None, None),
]


@pytest.mark.anyio
async def test_values_are_as_described(app: FastAPI, live: Live) -> None:
    """The values that are really sent fit the schemas of their types."""

    def stream_of(type_: Any, value: Any) -> Callable[..., AsyncIterator[Any]]:
        async def stream() -> AsyncIterator[type_]:
            yield value

        return stream

    for number, (type_, value) in enumerate(VALUES):
        live.stream(f"/{number}")(stream_of(type_, value))
    client = Conforming(app)
    async with lifespan(app):
        for number in range(len(VALUES)):
            await client.watch(f"/{number}")
    assert client.unseen == set()
