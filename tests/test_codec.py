"""Codecs: values become bytes, and clients' messages become values."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, NewType

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator
from pydantic.errors import PydanticUserError
from typing_extensions import TypeAliasType, TypedDict

from wirespeed.codec import MAX_TEXT, _is_long, as_json, decoder, encoder, error_json
from wirespeed.errors import InvalidMessage
from wirespeed.frames import BINARY, TEXT


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Order(BaseModel):
    id: int
    side: Side = Side.BUY


class Aliased(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    best_bid: float = Field(serialization_alias="bestBid", validation_alias="bestBid")


class Bag(BaseModel):
    model_config = ConfigDict(extra="allow")


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]


@dataclass
class Point:
    x: int
    y: int = 0


class Row(TypedDict):
    name: str


class Unknown:
    """A class that Pydantic cannot handle."""


Symbol = NewType("Symbol", str)
Masked = Annotated[str, PlainSerializer(lambda value: value[0] + "*" * (len(value) - 1))]
Payment = Annotated[Card | Cash, Field(discriminator="kind")]
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)

ON_THE_WIRE = [
    pytest.param(str, "hi", TEXT, b"hi", id="str: as it is"),
    pytest.param(str, "", TEXT, b"", id="str: empty"),
    pytest.param(str, '"', TEXT, b'"', id="str: not quoted"),
    pytest.param(str, "grüße 🎉", TEXT, "grüße 🎉".encode(), id="str: not ASCII"),
    pytest.param(Symbol, "BTC", TEXT, b"BTC", id="NewType of str"),
    pytest.param(Annotated[str, "note"], "hi", TEXT, b"hi", id="Annotated str"),
    pytest.param(TypeAliasType("Name", str), "hi", TEXT, b"hi", id="alias of str"),
    pytest.param(Literal["up", "down"], "up", TEXT, b'"up"', id="literal: JSON"),
    pytest.param(bytes, b"\x00\xff", BINARY, b"\x00\xff", id="bytes: as they are"),
    pytest.param(bytes, bytearray(b"ab"), BINARY, b"ab", id="bytearray where bytes are expected"),
    pytest.param(bytes, memoryview(b"ab"), BINARY, b"ab", id="memoryview where bytes are expected"),
    pytest.param(int, 42, TEXT, b"42", id="int"),
    pytest.param(int, 10**30, TEXT, b"1" + b"0" * 30, id="int: large"),
    pytest.param(float, 0.5, TEXT, b"0.5", id="float"),
    pytest.param(float, float("nan"), TEXT, b"null", id="float: NaN, which JSON has not"),
    pytest.param(float, float("inf"), TEXT, b"null", id="float: infinity, which JSON has not"),
    pytest.param(bool, True, TEXT, b"true", id="bool"),
    pytest.param(None, None, TEXT, b"null", id="None"),
    pytest.param(datetime, MIDNIGHT, TEXT, b'"2026-11-01T00:00:00Z"', id="datetime"),
    pytest.param(Side, Side.SELL, TEXT, b'"sell"', id="enum: its value"),
    pytest.param(str | None, "hi", TEXT, b'"hi"', id="union with str: JSON"),
    pytest.param(str | None, None, TEXT, b"null", id="union with None"),
    pytest.param(list[int], [1, 2], TEXT, b"[1,2]", id="list"),
    pytest.param(dict[str, Any], {"a": [None, "ü"]}, TEXT, '{"a":[null,"ü"]}'.encode(), id="dict"),
    pytest.param(Any, {"at": MIDNIGHT}, TEXT, b'{"at":"2026-11-01T00:00:00Z"}', id="Any"),
    pytest.param(Order, Order(id=1), TEXT, b'{"id":1,"side":"buy"}', id="model: with defaults, compact"),
    pytest.param(Point, Point(1), TEXT, b'{"x":1,"y":0}', id="dataclass"),
    pytest.param(Row, {"name": "a"}, TEXT, b'{"name":"a"}', id="TypedDict"),
    pytest.param(Payment, Cash(kind="cash"), TEXT, b'{"kind":"cash"}', id="tagged union"),
    pytest.param(Aliased, Aliased(best_bid=1.5), TEXT, b'{"bestBid":1.5}', id="alias, as FastAPI does"),
    pytest.param(list[Aliased], [Aliased(best_bid=1.5)], TEXT, b'[{"bestBid":1.5}]', id="alias, further in"),
    pytest.param(Any, Aliased(best_bid=1.5), TEXT, b'{"bestBid":1.5}', id="alias in Any"),
    pytest.param(dict[str, Any], {"a": Aliased(best_bid=1.5)}, TEXT, b'{"a":{"bestBid":1.5}}', id="alias below Any"),
    pytest.param(list[object], [Aliased(best_bid=1.5)], TEXT, b'[{"bestBid":1.5}]', id="alias in object"),
    pytest.param(
        Bag,
        Bag.model_validate({"more": Aliased(best_bid=1.5)}),
        TEXT,
        b'{"more":{"bestBid":1.5}}',
        id="alias in an extra field",
    ),
    pytest.param(
        Annotated[int, PlainSerializer(lambda value: Aliased(best_bid=value))],
        1,
        TEXT,
        b'{"bestBid":1.0}',
        id="alias in what a serializer returns",
    ),
    pytest.param(Masked, "secret", TEXT, b"s*****", id="str with a serializer"),
    pytest.param(
        Annotated[str, PlainSerializer(str.upper, when_used="json")], "a", TEXT, b"A", id="str with one for JSON only"
    ),
    pytest.param(
        Annotated[bytes, PlainSerializer(bytes.hex, when_used="json")], b"a", BINARY, b"a", id="bytes with one for JSON"
    ),
    pytest.param(NewType("Name", Masked), "secret", TEXT, b"s*****", id="NewType of str with a serializer"),
    pytest.param(Annotated[bytes, PlainSerializer(bytes.upper)], b"a", BINARY, b"A", id="bytes with a serializer"),
]

TAKEN = [
    pytest.param(str, "hi", "hi", id="str: as it is"),
    pytest.param(str, '"hi"', '"hi"', id="str: not unquoted"),
    pytest.param(Symbol, "BTC", "BTC", id="NewType of str"),
    pytest.param(bytes, b"\x00\xff", b"\x00\xff", id="bytes: as they are"),
    pytest.param(int, "42", 42, id="int"),
    pytest.param(Side, '"sell"', Side.SELL, id="enum"),
    pytest.param(Order | None, "null", None, id="None"),
    pytest.param(list[int], " [1, 2] ", [1, 2], id="list, with spaces"),
    pytest.param(Order, '{"id": 1, "side": "sell"}', Order(id=1, side=Side.SELL), id="model"),
    pytest.param(Order, '{"id": "1"}', Order(id=1), id="model: lax, as FastAPI is"),
    pytest.param(Point, '{"x": 1}', Point(1), id="dataclass"),
    pytest.param(Row, '{"name": "a"}', {"name": "a"}, id="TypedDict"),
    pytest.param(Payment, '{"kind": "cash"}', Cash(kind="cash"), id="tagged union"),
    pytest.param(Aliased, '{"bestBid": 1}', Aliased(best_bid=1), id="alias"),
]


@pytest.mark.parametrize(("annotation", "value", "opcode", "payload"), ON_THE_WIRE)
def test_value_on_the_wire(annotation: Any, value: Any, opcode: int, payload: bytes) -> None:
    """Text stays text, bytes become binary, and everything else becomes JSON by Pydantic's rules."""
    encode = encoder(annotation)
    assert (encode.opcode, encode.encode(value)) == (opcode, payload)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        pytest.param(str, 5, id="int for str"),
        pytest.param(str, b"hi", id="bytes for str"),
        pytest.param(bytes, "hi", id="str for bytes"),
        pytest.param(bytes, 5, id="int for bytes: not five zeros"),
        pytest.param(str, "\ud800", id="lone surrogate"),
        pytest.param(dict[str, str], {"a": "\ud800"}, id="lone surrogate in JSON"),
        pytest.param(Any, object(), id="what JSON cannot say"),
        pytest.param(Annotated[str, PlainSerializer(len)], "ab", id="int of a serializer for str"),
        pytest.param(Annotated[bytes, PlainSerializer(bytes.hex)], b"a", id="str of a serializer for bytes"),
    ],
)
def test_value_that_cannot_travel_raises(annotation: Any, value: Any) -> None:
    """A value that does not fit its frame raises an error."""
    with pytest.raises((TypeError, ValueError)):
        encoder(annotation).encode(value)


@pytest.mark.parametrize(("annotation", "value", "payload"), [(int, "5", b'"5"'), (Order, {"id": 1}, b'{"id":1}')])
def test_value_of_another_type_is_sent_with_a_warning(annotation: Any, value: Any, payload: bytes) -> None:
    """A value of another type than declared is sent as JSON of its own type, with Pydantic's warning."""
    with pytest.warns(UserWarning, match="Pydantic serializer warnings"):
        assert encoder(annotation).encode(value) == payload


def test_serializer_that_returns_another_type() -> None:
    """The error names both types: the value itself has the right one."""
    with pytest.raises(TypeError, match="a serializer of str has to return str, not int"):
        encoder(Annotated[str, PlainSerializer(len)]).encode("ab")
    with pytest.raises(TypeError, match="a serializer of bytes has to return bytes, not str"):
        encoder(Annotated[bytes, PlainSerializer(bytes.hex)]).encode(b"a")


@pytest.mark.parametrize(("annotation", "message", "value"), TAKEN)
def test_message_becomes_a_value(annotation: Any, message: str | bytes, value: Any) -> None:
    """A message is validated by its type."""
    assert decoder(annotation).decode(message) == value


@pytest.mark.parametrize(
    ("annotation", "message", "text"),
    [
        pytest.param(str, b"hi", "Expected a text message, got a binary one.", id="bytes for text"),
        pytest.param(bytes, "hi", "Expected a binary message, got a text one.", id="text for bytes"),
        pytest.param(Order, b"{}", "Expected a JSON text message, got a binary one.", id="no JSON"),
        pytest.param(Order, "{", "Invalid JSON: EOF while parsing an object at line 1 column 1", id="not JSON"),
        pytest.param(Order, "", "Invalid JSON: EOF while parsing a value at line 1 column 0", id="empty"),
        pytest.param(Order, "[]", "Input should be an object", id="wrong shape"),
        pytest.param(Order, "{}", "id: Field required", id="missing field"),
        pytest.param(list[Order], '[{"id": null}]', "0.id: Input should be a valid integer", id="further in"),
        pytest.param(
            Annotated[str, Field(max_length=2)], "abc", "String should have at most 2 characters", id="constraint"
        ),
    ],
)
def test_message_that_does_not_fit(annotation: Any, message: str | bytes, text: str) -> None:
    """A message that does not validate is refused in one sentence that names the place."""
    with pytest.raises(InvalidMessage) as caught:
        decoder(annotation).decode(message)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("annotation", "value", "payload"),
    [
        (str, 'a "é"\n', '"a \\"é\\"\\n"'.encode()),
        (NewType("Name", str), "a", b'"a"'),
        (Masked, "ab", b'"a*"'),
        (int, 1, b"1"),
        (list[str], ["a"], b'["a"]'),
    ],
)
def test_text_is_a_json_string_where_all_is_json(annotation: Any, value: Any, payload: bytes) -> None:
    """As JSON, text gets quotes, on one line. Other values are unchanged."""
    assert as_json(encoder(annotation)).encode(value) == payload


def test_detail_is_fastapis() -> None:
    """The detail lists every error as FastAPI does for a body."""
    with pytest.raises(InvalidMessage) as caught:
        decoder(Order).decode('{"id": "x", "side": "hold"}')
    assert [(item["type"], item["loc"], item["input"]) for item in caught.value.detail] == [
        ("int_parsing", ["body", "id"], "x"),
        ("enum", ["body", "side"], "hold"),
    ]
    assert {"msg", "type", "loc", "input"} <= caught.value.detail[0].keys()
    assert "url" not in caught.value.detail[0]


@pytest.mark.parametrize("build", [encoder, decoder])
def test_unknown_type_is_refused_when_built(build: Callable[[Any], Any]) -> None:
    """A type that Pydantic does not support raises before there is a value."""
    with pytest.raises(PydanticUserError):
        build(Unknown)


# Error frames


def strict_json(payload: bytes) -> Any:
    """Read JSON as browsers do. Python's own reader also accepts NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(payload.decode(), parse_constant=refuse)


def refusal(annotation: Any, message: str | bytes) -> bytes:
    """Return the error that answers an invalid message."""
    with pytest.raises(InvalidMessage) as caught:
        decoder(annotation).decode(message)
    error = caught.value
    return error_json(error.code, error.message, error.detail)


def test_error_without_detail() -> None:
    """An error is one JSON object with a code and a sentence."""
    assert error_json(500, "The stream failed.") == b'{"error":{"code":500,"message":"The stream failed."}}'


def test_error_frame_of_an_invalid_message() -> None:
    """A message that does not validate is answered with code, sentence and FastAPI's detail."""
    message = "id: Input should be a valid integer, unable to parse string as an integer"
    assert strict_json(refusal(Order, '{"id": "x"}')) == {
        "error": {
            "code": 422,
            "message": message,
            "detail": [{"type": "int_parsing", "loc": ["body", "id"], "msg": message[4:], "input": "x"}],
        }
    }


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        pytest.param(list[int], json.dumps(["x"] * 10_000), id="many errors"),
        pytest.param(Annotated[str, Field(max_length=2)], "x" * 60_000, id="long text"),
        pytest.param(list[int], json.dumps(["x" * 5_000] * 12), id="long items"),
        pytest.param(dict[str, int], json.dumps({"k" * 60_000: "x"}), id="long name"),
        pytest.param(dict[str, dict[str, int]], json.dumps({"k" * 60_000: dict.fromkeys("abcdef", "x")}), id="nested"),
        pytest.param(Payment, json.dumps({"kind": "x" * 60_000}), id="long tag, which Pydantic's text repeats"),
    ],
)
def test_answer_does_not_dwarf_the_question(annotation: Any, message: str) -> None:
    """The size of an error frame is bounded, whatever the client sent."""
    assert len(refusal(annotation, message)) <= 32 * 1024


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        pytest.param(Order, "NaN", id="NaN"),
        pytest.param(Order, '{"id": Infinity}', id="Infinity"),
        pytest.param(float, "9" * 309, id="an integer that is infinite as a float"),
        pytest.param(Order, "9" * 5000, id="a number of more digits than Python takes"),
        pytest.param(Annotated[bytes, Field(max_length=2)], b"\xff\xff\xff", id="bytes that are not UTF-8"),
        pytest.param(Order, '"\\ud800"', id="lone surrogate, escaped"),
        pytest.param(Order, '"\ud800"', id="lone surrogate"),
        pytest.param(Order, "[" * 10_000, id="nested deeply"),
        pytest.param(Order, "\x00", id="zero"),
    ],
)
def test_answer_is_json_whatever_the_question_was(annotation: Any, message: str | bytes) -> None:
    """A browser can read the answer to an unusual message."""
    assert strict_json(refusal(annotation, message))["error"]["code"] == 422


class Wide(BaseModel):
    a: int
    b: int
    c: int


def test_long_inputs_are_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that is too long for the answer is left out without being encoded, however many errors quote it."""
    quoted: list[Any] = []
    monkeypatch.setattr("wirespeed.codec._json_safe", lambda value: quoted.append(value))
    with pytest.raises(InvalidMessage):
        decoder(Wide).decode(json.dumps({"a": "x", "d": [[1] * 1000]}))
    assert quoted == ["x"]


class Picky(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def refuse(cls, value: int) -> int:
        raise ValueError(f"not {value}")


def test_users_own_validators_are_heard() -> None:
    """The text of a user's validator reaches the client, although its exception is not JSON."""
    assert strict_json(refusal(Picky, '{"id": 7}'))["error"]["message"] == "id: Value error, not 7"


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["id", "kind", "x", "name"]), inner),
).map(json.dumps)


@given(message=JSON_LIKE, times=st.integers(0, 150))
def test_only_long_inputs_are_left_out(message: str, times: int) -> None:
    """Nothing is found too long whose JSON an answer has room for."""
    value = [json.loads(message)] * times
    assert not _is_long(value) or len(json.dumps(value)) > MAX_TEXT


MESSAGES = JSON_LIKE | st.text(st.characters()) | st.binary()
TYPES = [str, bytes, int, Order, Point, Row, Payment, Aliased, list[Order], dict[str, int], Order | None, Any]
BOUNDED = [Annotated[str, Field(max_length=1)], Annotated[bytes, Field(max_length=1)]]


@given(message=MESSAGES)
@settings(max_examples=300)
def test_any_message_is_a_value_or_an_error(message: str | bytes) -> None:
    """Any message becomes a value of the type, or is refused with an error frame that is JSON."""
    for annotation in [*TYPES, *BOUNDED]:  # for all types: to make a message takes longer than to decode it
        note(f"as {annotation}")
        try:
            decoder(annotation).decode(message)
        except InvalidMessage as error:
            payload = error_json(error.code, error.message, error.detail)
            assert strict_json(payload)["error"]["message"]


@pytest.mark.parametrize("annotation", [Order, Point, Row, Payment, list[Order], dict[str, int], Order | None])
@given(data=st.data())
def test_what_is_sent_can_be_taken(annotation: Any, data: st.DataObject) -> None:
    """Encoding and then decoding a value gives an equal value."""
    value = data.draw(st.from_type(annotation) if annotation != Payment else st.builds(Cash) | st.builds(Card))
    payload = encoder(annotation).encode(value)
    assert decoder(annotation).decode(payload.decode()) == value


@pytest.mark.parametrize(
    ("detail", "sent"),
    [(None, {}), ("No.", {}), ([], {"detail": []}), ({"by": "Ada"}, {"detail": {"by": "Ada"}}), (["x" * 70_000], {})],
)
def test_errors_for_clients(detail: Any, sent: dict[str, Any]) -> None:
    """An error has its detail, unless that is the message itself or too large."""
    assert json.loads(error_json(409, "No.", detail)) == {"error": {"code": 409, "message": "No."} | sent}
