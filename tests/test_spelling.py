"""Canonical text: equal values have the same text, and different values have different texts."""

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyAddress,
    PastDate,
    PrivateAttr,
    SecretBytes,
    SecretStr,
    field_serializer,
)
from typing_extensions import TypedDict

from wirespeed.log.table import row_key
from wirespeed.spelling import Unspellable, problems, spelled, uniform

EAST = timezone(timedelta(hours=5))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Filters(BaseModel):
    """A model whose JSON hides a field and rounds another."""

    limit: int = 1
    tenant: str = Field(default="a", exclude=True)
    price: float = 0.0

    @field_serializer("price")
    def rounded(self, price: float) -> int:
        return round(price)


@dataclasses.dataclass(frozen=True)
class Held:
    """A dataclass around a value."""

    value: Any


class Open(BaseModel, extra="allow"):
    """A model that accepts more than its fields."""

    a: int = 1


@dataclasses.dataclass
class Place:
    """A dataclass."""

    x: int
    y: int = dataclasses.field(default=0, compare=False)


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: int


class Word(str, Enum):  # class Word(str, Enum):  # noqa: UP042 - many apps have such an enum
    A = "a"


class Number(IntEnum):
    ONE = 1


class Flags(Flag):
    A = 1
    B = 2


class Hidden(BaseModel):
    """A model with more than its fields."""

    a: int
    _more: int = PrivateAttr(0)


class Nested(BaseModel):
    """A model with a secret in a nested field."""

    inner: list[dict[str, SecretStr | None]]


class Row(TypedDict):
    """A dictionary with a type that cannot be spelled."""

    run: Callable[[], None]


@pydantic.dataclasses.dataclass(config=ConfigDict(extra="allow"))
class OpenPlace:
    """A dataclass that keeps fields that it does not declare."""

    x: int = 0


class OpenAround(BaseModel, extra="allow"):
    """A model with a plain dataclass, which keeps such fields in it."""

    around: list[Place]


class Itself(BaseModel):
    """A model that contains itself."""

    more: "Itself | None" = None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({3, 1, 2}, {2, 3, 1}),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (Decimal("1.0"), Decimal("1.00")),
        (Decimal(100), Decimal("1e2")),
        (Decimal("0.0"), Decimal("-0")),
        (0.0, -0.0),
        (float("nan"), float("nan")),
        (NOON, datetime(2026, 1, 1, 17, tzinfo=EAST)),
        (datetime.min.replace(tzinfo=EAST), datetime.min.replace(tzinfo=timezone(timedelta(hours=5), "name"))),
        (time(12, tzinfo=UTC), time(17, tzinfo=EAST)),
        (timedelta(hours=24), timedelta(days=1)),
        ([1, 2], (1, 2)),
        (complex(1, -0.0), complex(1, 0)),
        (complex(-0.0, 1), 1j),
        (PureWindowsPath("A/b"), PureWindowsPath("a/B")),
        (AnyUrl("http://a"), HttpUrl("http://a")),
        (Filters(limit=2, tenant="b"), Filters(tenant="b", limit=2)),
    ],
)
def test_equal_values_have_one_text(one: object, other: object) -> None:
    """Equal values have the same text, however they were written."""
    assert spelled(one) == spelled(other)


def subclass_of(kind: Any) -> Any:
    """Return a subclass that only looks different."""
    shown = {name: lambda *_: "?" for name in ("__str__", "__repr__", "__format__", "isoformat")}
    return type("Sub", (kind,), shown)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (str, ["a"]), (str, ["1"]), (int, [5]), (float, [1.5]), (bytes, [b"a"]), (complex, [1, 2]),
        (Decimal, ["1.5"]), (Decimal, ["NaN"]), (datetime, [2026, 1, 1]), (datetime, [2026, 1, 1, 0, 0, 0, 0, UTC]),
        (date, [2026, 1, 1]), (time, [12]), (time, [12, 0, 0, 0, UTC]), (timedelta, [1]), (Fraction, [1, 2]),
        (UUID, ["12345678123456781234567812345678"]), (type(Path()), ["a/b"]), (PurePosixPath, ["a/b"]),
        (PureWindowsPath, ["a/b"]), (IPv4Address, ["1.2.3.4"]), (IPv4Interface, ["1.2.3.4/8"]),
        (IPv4Network, ["1.0.0.0/8"]), (IPv6Address, ["::1"]), (IPv6Interface, ["::1/8"]), (IPv6Network, ["::/8"]),
        (AnyUrl, ["http://a"]), (list, [[1]]), (tuple, [[1]]), (set, [[1]]), (dict, [{"a": 1}]), (deque, [[1]]),
    ],
)  # fmt: skip
def test_instances_of_subclasses_have_the_text_of_their_family(kind: Any, arguments: Sequence[Any]) -> None:
    """A value and an equal one of a subclass, which Pydantic lets through unchanged, have the same text."""
    assert spelled(subclass_of(kind)(*arguments)) == spelled(kind(*arguments))


@pytest.mark.parametrize("path", [PurePath("a/b"), PurePosixPath("a/b"), Path("a/b")])
@pytest.mark.skipif(os.name != "posix", reason="paths of this platform have another flavour")
def test_paths_of_one_flavour_have_one_text(path: PurePath) -> None:
    """Paths that are equal have one text, whatever their class."""
    assert spelled(path) == "PurePosixPath(a%2Fb)"


def test_different_values_never_share_a_text() -> None:
    """Different values differ, even if Python or JSON take them for equal, and even if their types differ."""
    values = [
        1, -1, "1", "-1", "", "a", "'a'", "A", "None", "None()", None, True, False, "True", "bool(True)", 1.0, 1.5,
        float("inf"), Decimal(1), Decimal("1.1"), Decimal(10), Decimal("NaN"), Decimal("-Infinity"),
        Decimal("1" * 40), Decimal("1" * 39 + "2"),
        NOON, NOON.replace(tzinfo=None), NOON.date(), date(2026, 1, 2), time(12), time(12, tzinfo=UTC),
        timedelta(1), timedelta(1, 0, 1), b"", b"a", [], ["a"], ["a", "b"], ["a,b"], [["a"], "b"], {"a"}, {},
        {"a": "b"}, {"a:b": ""}, Pair(1, 2), [1, 2], Word.A, Number.ONE, Flags.A, Flags.A | Flags.B,
        Filters(), Filters(tenant="b"), Filters(price=0.25), Filters(limit=2), Open(), Open.model_validate({"b": 1}),
        Open(a=2), Place(1), Place(1, 1), Place(2), "\ud800", "\ud801", "é", "a b", "a%20b", "a+b",
        PurePosixPath("a"), PurePosixPath("A"), PureWindowsPath("a"), AnyUrl("http://a"), AnyUrl("http://b"), 1j,
        IPv4Address("1.2.3.4"), IPv4Interface("1.2.3.4"), IPv4Network("1.2.3.4"), UUID(int=1), UUID(int=2), 1 + 1j,
    ]  # fmt: skip
    texts = [spelled(value) for value in values]
    assert len(set(texts)) == len(texts)


families = st.uuids() | st.ip_addresses() | st.fractions() | st.complex_numbers(allow_nan=False) | st.timedeltas()


@given(st.dates() | st.times() | st.datetimes() | st.text() | st.decimals(allow_nan=False) | families)
def test_a_subclass_changes_no_text(value: Any) -> None:
    """Equal values have the same text, also if one is an instance of a subclass."""
    if type(value) is Fraction or isinstance(value, UUID):
        other = subclass_of(type(value))(str(value))
    elif isinstance(value, (timedelta, datetime, date, time)):
        other = subclass_of(type(value))(*_parts(value))
    else:
        other = subclass_of(type(value))(value)
    assert other == value
    assert spelled(other) == spelled(value)


def _parts(value: Any) -> list[Any]:
    names = {timedelta: ["days", "seconds", "microseconds"], date: ["year", "month", "day"]}
    clock = ["hour", "minute", "second", "microsecond"]
    names |= {time: clock, datetime: [*names[date], *clock]}
    return [getattr(value, name) for name in names[type(value)]]


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def typed(value: object) -> object:
    """Return a value with the types of all its parts, so that only values of the same types are equal."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    return [typed(each) for each in value] if isinstance(value, list) else (type(value), value)


@given(nested, nested)
def test_texts_agree_exactly_where_values_do(one: object, other: object) -> None:
    """Nested values have the same text exactly if they are equal, types included."""
    assert (spelled(one) == spelled(other)) is (typed(one) == typed(other))


whole_hours = st.builds(timezone, st.builds(lambda hours: timedelta(hours=hours), st.integers(-23, 23)))
spellings = (
    st.decimals(-100, 100, places=1)
    | st.sampled_from([Decimal(each) for each in ("0", "-0.0", "1E+2", "1E+99", "10E+98", "1E-99", "10E-100", "NaN")])
    | st.builds(datetime, st.just(2026), st.just(1), st.integers(1, 2), st.integers(0, 23), tzinfo=whole_hours)
    | st.builds(time, st.integers(0, 23), tzinfo=whole_hours)
    | st.sampled_from([0.0, -0.0, 1.5])
)


@given(spellings, spellings)
def test_uniform_values_have_one_json_exactly_where_values_have_one_text(one: Any, other: Any) -> None:
    """By themselves, and inside a tuple, a mapping and a dataclass; where only the order differs, too."""
    is_one = spelled(one) == spelled(other)
    for around in (tuple, dict, Held):
        first, second = (around([("a", each)]) for each in (one, other))
        assert (row_key(uniform(first)) == row_key(uniform(second))) == is_one
    assert (row_key(uniform(one)) == row_key(uniform(other))) == is_one
    assert row_key(uniform({one, "a", "b", "c"})) == row_key(uniform({"c", "b", "a", one}))
    assert row_key(uniform({"a": one, (1, 2): 1})) == row_key(uniform({(1, 2): 1, "a": one}))


def test_uniform_decimals_look_like_numbers() -> None:
    """Whole numbers keep their zeros, and no digit is lost."""
    many = "12345678901234567890123456789012345678901234567890"
    texts = ["100", "1E+2", "1.50", many, "-0.00", "0E+9", f"{many}.5"]
    assert [str(uniform(Decimal(each))) for each in texts] == ["100", "100", "1.5", many, "0", "0", f"{many}.5"]


@pytest.mark.parametrize("value", [object(), SecretStr("a"), SecretBytes(b"a"), len, [object()], int])
def test_what_has_no_text_is_refused(value: object) -> None:
    """A value without a text raises; its address or the stars of a secret are never used as its text."""
    with pytest.raises(Unspellable):
        spelled(value)


@pytest.mark.parametrize(
    "annotation",
    [
        int, str | None, list[int], Sequence[int], set[Decimal], dict[str, datetime], tuple[int, ...], Filters, Place,
        Literal["a", 1], Word, Annotated[int, AfterValidator(abs)], NewType("Id", int), Itself, Pair, Any, Open,
        AwareDatetime, list[PastDate], IPvAnyAddress, AnyUrl,
    ],
)  # fmt: skip
def test_types_of_values_that_have_parts_are_taken(annotation: Any) -> None:
    """Types whose values have parts, or are simple, have no problems."""
    assert list(problems(annotation)) == []


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (SecretStr, "SecretStr is a secret"),
        (SecretBytes | None, "SecretBytes is a secret"),
        (Nested, "SecretStr is a secret"),
        (Callable[[], None], "values of Callable cannot be compared"),
        (Row, "values of Callable cannot be compared"),
        (type[int], "values of type cannot be compared"),
        (Hidden, "Hidden has private attributes"),
        (list[OpenPlace], "OpenPlace is a dataclass that keeps fields"),
        (Place | OpenAround | Place, "Place is a dataclass that keeps fields"),
    ],
)
def test_types_that_cannot_name_a_key_say_why(annotation: Any, problem: str) -> None:
    """A type that cannot be spelled is found anywhere in the annotation."""
    assert [each[: len(problem)] for each in problems(annotation)] == [problem]


def test_classes_of_one_name_do_not_share_a_key() -> None:
    """Classes with the same name are a problem: their values would have the same text."""

    def other() -> type[BaseModel]:
        class Filters(BaseModel):
            limit: int = 1

        return Filters

    assert [each[:36] for each in problems(Filters | other())] == ["two different classes are named Filt"]
