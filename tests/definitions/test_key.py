"""Keys: each has one spelling, however its values are written."""

from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, signature
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from fastapi import Query
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AnyUrl, BaseModel, Field, HttpUrl, Json, SecretStr, create_model

from wirespeed.definitions import Key, Validated
from wirespeed.errors import DeclarationError, InvalidKey


class Side(Enum):
    BUY = "buy"


def one(symbol: str, limit: int = 5) -> None:
    """Return a key of two parameters."""


def optional(symbol: str | None = None, limit: Annotated[int, Query(le=10)] = 5) -> None:
    """Return a key of optional parameters."""


def typed(number: int, side: Side, flag: bool, kind: Literal["a", "b"], uuid: UUID) -> None:
    """Return a key of many types."""


def key_of(function: Any) -> Key:
    """The key that a function's signature declares."""
    return Key("topic '/x'", list(signature(function).parameters.values()))


def test_key_without_parameters_is_empty() -> None:
    """Without parameters there is one key, and every argument is refused."""
    key = Key("topic '/x'")
    assert not key
    assert (key.names, key.of_call((), {}), key.text_of_call((), {}), key.text({})) == (frozenset(), {}, "", "")
    with pytest.raises(InvalidKey):
        key.text_of_call((1,), {})
    with pytest.raises(InvalidKey):
        key.text_of_call((), {"user_id": 1})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("BTC",), {}),
        (("BTC", 5), {}),
        ((), {"symbol": "BTC"}),
        ((), {"limit": "005", "symbol": "BTC"}),
        (("BTC", 5.0), {}),
    ],
)
def test_one_key_has_one_spelling(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Positions, names, defaults and values that validate to the same make no difference, also when repeated."""
    key = key_of(one)
    assert {key.text_of_call(args, kwargs) for _ in range(3)} == {"symbol=BTC&limit=5"}
    assert key.of_call(args, kwargs) == {"symbol": "BTC", "limit": 5}


def test_equal_arguments_may_be_different_keys() -> None:
    """Arguments that are equal in Python, such as 1 and True, are validated each by itself."""

    def strict(flag: bool) -> None:
        """A key."""

    key = key_of(strict)
    assert key.text_of_call((True,), {}) == key.text_of_call((1,), {}) == "flag=bool(True)"
    assert key.text_of_call((False,), {}) == key.text_of_call((0,), {}) == "flag=bool(False)"
    assert key_of(one).text_of_call(("a",), {"limit": True}) == "symbol=a&limit=1"


def test_types_are_spelled_by_their_values() -> None:
    """Enums, booleans and UUIDs of a client and of code give one key."""
    key = key_of(typed)
    uuid = UUID(int=7)
    told = key.text_of_call((1, Side.BUY, True, "a", uuid), {})
    assert told == f"number=1&side=Side(BUY)&flag=bool(True)&kind=a&uuid=UUID({uuid})"
    assert key.text_of_call(("1", "buy", "yes", "a", str(uuid)), {}) == told


class Id(UUID):
    """A UUID of an app's own class."""


class Word(str, Enum):  # noqa: UP042 - many apps have such an enum
    A = "a"


class Twice(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (PurePath, "a/b", Path("a/b")),
        (PurePosixPath, "a/b", PurePosixPath("a/b")),
        (UUID, str(UUID(int=7)), Id(int=7)),
        (AnyUrl, "http://a", HttpUrl("http://a")),
        (complex, "1", complex(1, -0.0)),
        (str, "a", Word.A),
        (Literal["a"], "a", Word.A),
        (int, "1", True),
        (tuple[int, int], ["1", "2"], Twice(1, 2)),
    ],
)
def test_a_client_and_code_name_one_key(annotation: Any, text: Any, value: Any) -> None:
    """A text of a client, and an equal value of the app's code that is of a subclass, give one key."""
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=annotation)])
    assert key.text_of_call((text,), {}) == key.text_of_call((value,), {})


class Filters(BaseModel):
    limit: int = 1


class Wider(Filters):
    more: int = 2


@dataclass
class Place:
    x: int = 1


class Named(Place):
    """A subclass of a dataclass, without fields of its own."""


@pytest.mark.parametrize("value", [Wider(), [Wider()], {"a": Wider()}, Named()])
def test_instance_of_a_subclass_is_refused(value: Any) -> None:
    """No address leads to a model's subclass, so that it cannot be a key; the error names it."""
    annotation: Any = Filters | list[Filters] | dict[str, Filters] | Place
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=annotation)])
    with pytest.raises(InvalidKey, match=r"(Wider|Named) is a subclass of the declared class"):
        key.text_of_call((value,), {})
    assert key.text_of_call((Filters(),), {}) == "it=Filters(limit=1)"


def test_declared_subclass_is_taken() -> None:
    """A subclass that is declared itself is a key."""
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=Filters | Wider)])
    assert key.text_of_call((Wider(),), {}) == "it=Wider(limit=1,more=2)"


class Renamed(BaseModel):
    """A model that is read by other names than Python's, and that hides a field when it is sent."""

    low: int = Field(0, alias="from")
    tenant: str = Field("a", exclude=True)


def test_other_processes_read_what_this_one_writes() -> None:
    """The values of a key in the types of JSON, as processes send them, name the same key."""
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=Renamed)])
    values = {"it": Renamed.model_validate({"from": 5, "tenant": "b"})}
    assert key.plain(values) == {"it": {"from": 5, "tenant": "b"}}
    assert key.of_call((), key.plain(values)) == values


def test_validated_values_are_not_validated_again() -> None:
    """A value that FastAPI has validated is taken as it is: some validators change a value each time."""
    plus = Annotated[int, AfterValidator(lambda number: number + 1)]
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=plus)])
    assert key.text_of_call((Validated({"it": 5}),), {}) == "it=5"
    assert key.text_of_call((5,), {}) == "it=6"


@pytest.mark.parametrize(
    ("annotation", "names", "more"),
    [
        (Annotated[Renamed, Query()], ["from", "tenant"], False),
        (Annotated[Renamed | None, Query()], ["from", "tenant"], False),
        (Annotated[create_model("Open", __config__={"extra": "allow"}, a=int), Query()], ["a"], True),
        (Annotated[Json[Renamed], Query()], ["it"], False),
        (Annotated[int, Query(alias="number")], ["number"], False),
    ],
)
def test_names_in_urls(annotation: Any, names: list[str], more: bool) -> None:
    """A parameter has its alias in URLs, and a model has its fields in place of its own name."""
    key = Key("topic '/x'", [Parameter("it", Parameter.KEYWORD_ONLY, annotation=annotation)])
    assert [*key.by_spelling] == names
    assert (key.reads(names[0]), key.reads("since")) == (True, more)


def test_none_is_no_text() -> None:
    """The key without a value differs from the key with the text "null"."""
    key = key_of(optional)
    assert key.text_of_call((), {}) == key.text_of_call((None,), {}) == "limit=5"
    assert key.text_of_call(("null",), {}) == "symbol=null&limit=5"


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "missing a required argument: 'symbol'"),
        (("a", 1, 2), {}, "too many positional arguments"),
        (("a",), {"user": 1}, "unexpected keyword argument 'user'"),
        (("a",), {"symbol": "a"}, "multiple values"),
        ((1,), {}, "symbol=1: Input should be a valid string"),
        (("a", "x"), {}, "limit='x': Input should be a valid integer"),
        (("a", []), {}, r"limit=\[\]: Input should be a valid integer"),
    ],
)
def test_no_such_key(args: tuple[Any, ...], kwargs: dict[str, Any], problem: str) -> None:
    """The error names the topic, the argument and the problem."""
    with pytest.raises(InvalidKey, match=f"topic '/x': no such key: .*{problem}"):
        key_of(one).text_of_call(args, kwargs)


def test_long_values_are_cut_in_errors() -> None:
    """An error does not repeat a megabyte."""
    with pytest.raises(InvalidKey) as error:
        key_of(one).of_call(("a", "x" * 1_000_000), {})
    assert len(str(error.value)) < 300


def test_markers_of_fastapi_are_understood() -> None:
    """A default and a bound may be declared in both of FastAPI's ways."""

    def marked(limit: int = Query(5, le=10), word: str = Query(...)) -> None:
        """A key."""

    key = key_of(marked)
    assert key.text_of_call((), {"word": "a"}) == "limit=5&word=a"
    assert key_of(optional).text_of_call((), {}) == "limit=5"
    for each, kwargs in ((key, {"limit": 11, "word": "a"}), (key_of(optional), {"limit": 11}), (key, {})):
        with pytest.raises(InvalidKey):
            each.text_of_call((), kwargs)


def test_values_are_picked_from_the_arguments() -> None:
    """The key takes its own values from those that FastAPI resolved."""
    assert key_of(one).pick({"symbol": "a", "limit": 1, "user": "ada"}) == {"symbol": "a", "limit": 1}


def test_many_keys_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of spellings is bounded; a spelling that was dropped is found again."""
    monkeypatch.setattr("wirespeed.definitions.key._TEXTS", 10)
    key = key_of(one)
    for _ in range(2):
        for number in range(100):
            assert key.text_of_call(("a", number), {}) == f"symbol=a&limit={number}"
            assert len(key._texts) <= 10


def test_keys_that_another_thread_forgets_meanwhile() -> None:
    """Publishing works while another thread clears the cache."""

    class Cleared(dict[object, str]):
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            self.clear()
            return found

    key = key_of(one)
    key._texts = Cleared()
    assert [key.text_of_call(("a", 1), {}) for _ in range(2)] == ["symbol=a&limit=1"] * 2


@given(st.text(), st.text(), st.text(), st.text())
def test_different_texts_are_different_keys(first: str, second: str, third: str, fourth: str) -> None:
    """No text can be spelled so that it runs into its neighbour."""

    def two(a: str, b: str) -> None:
        """A key."""

    key = key_of(two)
    same = (first, second) == (third, fourth)
    try:
        spelled = key.text_of_call((first, second), {}), key.text_of_call((third, fourth), {})
    except UnicodeEncodeError:
        return
    assert (spelled[0] == spelled[1]) is same


def test_a_default_is_validated_as_what_clients_send() -> None:
    """A default of another type than its parameter gives the key of a client that sends this value."""

    def defaulted(side: Side = "buy", limit: float = 5) -> None:  # type: ignore[assignment]
        """A key."""

    key = key_of(defaulted)
    resolved = {each.name: each.default for each in key.parameters}  # FastAPI passes defaults on as they are declared
    assert resolved == {"side": Side.BUY, "limit": 5.0}
    assert key.text(resolved) == key.text_of_call((), {}) == key.text_of_call(("buy",), {"limit": 5.0})


def test_long_spellings_are_not_remembered() -> None:
    """A long spelling is not cached."""
    key = key_of(one)
    assert key.text_of_call(("a" * 10_000,), {}).startswith("symbol=aaa")
    assert not key._texts


def test_types_that_cannot_be_spelled_are_refused_where_they_are_declared() -> None:
    """The error names the parameter and says what to write."""

    def secret(token: SecretStr) -> None:
        """A key."""

    with pytest.raises(DeclarationError, match=r"'token' cannot be part of the key: SecretStr is a secret.*Depends"):
        key_of(secret)


def test_what_a_validator_makes_has_to_be_spelled_as_well() -> None:
    """A validator's object without a spelling is refused, so that no two of them share a key."""

    def made(value: Annotated[str, AfterValidator(lambda _: object())]) -> None:
        """A key."""

    with pytest.raises(InvalidKey, match="a value of type object cannot identify a key"):
        key_of(made).text_of_call(("a",), {})


def test_parameters_are_kept_as_declared() -> None:
    """FastAPI gets the parameters as the user declared them."""
    key = key_of(optional)
    assert [each.name for each in key.parameters] == ["symbol", "limit"]
    assert all(isinstance(each, Parameter) for each in key.parameters)
    assert key.names == {"symbol", "limit"}
