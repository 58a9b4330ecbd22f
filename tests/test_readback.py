"""Values read back from their payloads: by the names, and in the forms, in which their types are sent."""

import dataclasses
import math
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    RootModel,
    TypeAdapter,
    ValidationError,
    computed_field,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from wirespeed.readback import SentField, field_reader, name_in_python, reader, sent_field

CAMEL = AliasGenerator(serialization_alias=to_camel)


class Item(BaseModel):
    model_config = ConfigDict(alias_generator=CAMEL)

    item_count: int = 0
    sub_items: list["Item"] = []
    any_weight: float = 1.0


class Sent(BaseModel):
    item_count: int = Field(serialization_alias="itemCount")


@dataclasses.dataclass
class Standard:
    item_count: Annotated[int, Field(serialization_alias="itemCount")] = 0
    item: Item | None = None


@pydantic.dataclasses.dataclass
class Pydantic:
    item_count: int = Field(0, serialization_alias="itemCount")


class Typed(TypedDict):
    item_count: Annotated[int, Field(serialization_alias="itemCount")]
    standard: Standard


class Swapped(BaseModel):
    a: int = Field(serialization_alias="b")
    b: int = Field(serialization_alias="a")


class Cat(BaseModel):
    kind: Literal["cat"] = Field("cat", serialization_alias="Kind")
    item_count: int = Field(0, serialization_alias="itemCount")


class Dog(BaseModel):
    kind: Literal["dog"] = Field("dog", serialization_alias="Kind")
    item_count: int = Field(0, serialization_alias="itemCount")


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    at: date = Field(serialization_alias="At")
    price: Decimal | None = None

    @computed_field
    def double(self) -> int:
        return 2


class Texts(BaseModel):
    numbers: Json[list[int]]
    anything: Json[Any]


class Binary(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")

    data: bytes


class Outer(BaseModel):
    inner: Binary
    data: bytes = b"text"


class Chosen(BaseModel):
    item_count: int = Field(validation_alias=AliasChoices("count", AliasPath("counts", 0)))


class Hidden(BaseModel):
    a: int = Field(7, exclude=True)
    b: int = Field(serialization_alias="a")


class Initialised(BaseModel):
    item_count: int = Field(serialization_alias="itemCount")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Items(RootModel[list[Item]]):
    pass


class Numbers(BaseModel):
    first: float | str
    second: int | float
    third: float | None
    fourth: Annotated[float, Field(ge=0)] = 1.0


ITEM = Item(item_count=3, sub_items=[Item(item_count=4)])


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Item, ITEM),
        (Sent, Sent(item_count=3)),
        (Standard, Standard(4, ITEM)),
        (Pydantic, Pydantic(4)),
        (Typed, {"item_count": 4, "standard": Standard(7)}),
        (dict[str, Item], {"item_count": ITEM}),
        (list[Item | int], [ITEM, 4]),
        (tuple[Item, Standard], (ITEM, Standard(2))),
        (Item | None, ITEM),
        (Item | None, None),
        (Items, Items([ITEM])),
        (Swapped, Swapped(a=1, b=2)),
        (Cat | Dog, Dog(kind="dog", item_count=3)),
        (Pet, Pet(pet=Dog(kind="dog", item_count=3))),
        (Strict, Strict(at=date(2026, 1, 1), price=Decimal("3.10"))),
        (Texts, Texts.model_validate({"numbers": "[1,2]", "anything": '{"a":1}'})),
        (Binary, Binary(data=b"\xff")),
        (Outer, Outer(inner=Binary(data=b"\xff"))),
        (Chosen, Chosen.model_validate({"counts": [4]})),
        (Hidden, Hidden(a=7, b=3)),
        (Initialised, Initialised(item_count=3)),
        (Numbers, Numbers(first="1", second=1, third=None)),
        (Numbers, Numbers(first=1.0, second=1.5, third=1.0, fourth=2)),
        (int, 3),
    ],
    ids=lambda each: getattr(each, "__name__", None) or type(each).__name__,
)
def test_what_a_type_sends_is_read(type_: Any, value: Any) -> None:
    """A payload, with the names and forms that a type sends at any depth, is the value again."""
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    back = reader(adapter)(adapter.dump_json(value, by_alias=True))
    assert repr(back) == repr(value)  # of a union, the same member


def test_names_that_the_type_reads() -> None:
    """A value that a serializer of the app writes by the names that its type reads is read, too."""
    read = reader(TypeAdapter(Chosen))
    assert read(b'{"count":4}') == read(b'{"counts":[4]}') == Chosen.model_validate({"count": 4})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_is_nan(number: float) -> None:
    """NaN and infinite numbers, which JSON has as null, are NaN, or None where the type allows it."""
    numbers = Numbers.model_construct(first=number, second=number, third=number, fourth=number)
    adapter = TypeAdapter(list[Numbers])
    back = reader(adapter)(adapter.dump_json([numbers]))[0]
    assert all(map(math.isnan, (back.first, back.second, back.fourth)))  # type: ignore[arg-type]
    assert back.third is None


def test_null_where_no_number_may_be_nan() -> None:
    """Null is refused where the type has no number that may be NaN."""
    finite: TypeAdapter[float] = TypeAdapter(Annotated[float, Field(allow_inf_nan=False)])
    for read in (reader(TypeAdapter(int)), reader(finite)):
        with pytest.raises(ValidationError):
            read(b"null")


@pytest.mark.parametrize(
    ("type_", "name", "field"),
    [
        (Item, "item_count", SentField("itemCount", is_excluded=False)),
        (Annotated[Item | None, "news"], "item_count", SentField("itemCount", is_excluded=False)),
        (Standard, "item_count", SentField("itemCount", is_excluded=False)),
        (Pydantic, "item_count", SentField("itemCount", is_excluded=False)),
        (Typed, "item_count", SentField("itemCount", is_excluded=False)),
        (Hidden, "a", SentField("a", is_excluded=True)),
        (Item, "itemCount", None),
        (dict[str, int], "item_count", None),
        (int, "item_count", None),
    ],
)
def test_fields_as_they_are_sent(type_: Any, name: str, field: SentField | None) -> None:
    """A field of a model, dataclass or TypedDict has a name in JSON, by which it is found again."""
    assert sent_field(TypeAdapter(type_), name) == field
    if field is not None and not field.is_excluded:
        assert name_in_python(TypeAdapter(type_), field.name) == name


@pytest.mark.parametrize(
    ("type_", "name", "payload", "value"),
    [
        (Item, "sub_items", b'{"itemCount":"x","subItems":[{"itemCount":4}]}', [Item(item_count=4)]),
        (Standard, "item", b'{"itemCount":"x","item":{"itemCount":4}}', Item(item_count=4)),
        (Typed, "standard", b'{"itemCount":"x","standard":{"itemCount":4}}', Standard(4)),
        (Strict, "price", b'{"At":"x","price":"10","double":2}', Decimal(10)),
    ],
)
def test_one_field_is_read(type_: Any, name: str, payload: bytes, value: Any) -> None:
    """One field of a payload is a value of its type, whatever the other fields are."""
    assert field_reader(TypeAdapter(type_), name)(payload) == value


def test_one_field_is_missing() -> None:
    """A field that is missing has its default; without one, and with a wrong value, reading it raises."""
    assert field_reader(TypeAdapter(Item), "item_count")(b"{}") == 0
    read = field_reader(TypeAdapter(Sent), "item_count")
    for payload, error in ((b"{}", KeyError), (b'{"itemCount":"x"}', ValidationError)):
        with pytest.raises(error):
            read(payload)
