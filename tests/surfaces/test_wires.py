"""Wires: the bytes of an entry, of a loss and of a reset on a raw WebSocket and as Server-Sent Events."""

import json
from typing import Annotated, Any, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.hub.watching import topic
from wirespeed.frames import BINARY, TEXT, messages
from wirespeed.log.base import Wire
from wirespeed.log.position import Position
from wirespeed.surfaces.bodies import event
from wirespeed.surfaces.wires import event_wire, raw_wire

PLACE = Position("e1", 7)
Name = NewType("Name", str)


class Tick(BaseModel):
    number: int


def wire_of(type_: Any, *, positions: bool = False) -> Wire:
    """Return the raw WebSocket's wire for a topic of a type."""
    return raw_wire(topic(type_), positions=positions)


def only(frames: bytes) -> tuple[int, bytes]:
    """Return the one message in some bytes."""
    (message,) = messages(frames)
    return message


@pytest.mark.parametrize(
    ("type_", "opcode"), [(str, TEXT), (Name, TEXT), (bytes, BINARY), (Annotated[bytes, "x"], BINARY), (Tick, TEXT)]
)
def test_value_is_one_message(type_: Any, opcode: int) -> None:
    """A payload stays as it is; only bytes are binary."""
    assert only(wire_of(type_).value(b"payload", PLACE, None)) == (opcode, b"payload")


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("type_", [str, bytes, Tick, dict[str, int]])
def test_format_is_one_object(type_: Any, positions: bool) -> None:
    """All watchers of a topic, and of other topics of its kind, share one object, so that they share bytes."""
    assert wire_of(type_, positions=positions) is wire_of(type_, positions=positions)


@pytest.mark.parametrize(
    ("type_", "payload", "value"),
    [(str, b'say "hi"\n', 'say "hi"\n'), (Name, "ä".encode(), "ä"), (Tick, b'{"number":1}', {"number": 1})],
)
def test_value_comes_with_its_position(type_: Any, payload: bytes, value: Any) -> None:
    """With positions each message is JSON, even for text, and a client can hand the position back."""
    opcode, told = only(wire_of(type_, positions=True).value(payload, PLACE, None))
    assert opcode == TEXT
    assert json.loads(told) == {"position": "e1:7", "value": value}


def test_rows_are_told_by_their_keys() -> None:
    """Rows of a table come with their keys, and their removals, too; with positions, if the client wants them."""
    wire, positions = wire_of(Tick), wire_of(Tick, positions=True)
    told = [
        only(each)
        for wire_ in (wire, positions)
        for each in (wire_.row(b'"a"', b'{"number":1}', PLACE, None), wire_.removed(b'"a"', PLACE))
    ]
    assert {opcode for opcode, _ in told} == {TEXT}
    assert [json.loads(payload) for _, payload in told] == [
        {"key": "a", "value": {"number": 1}},
        {"key": "a", "removed": True},
        {"position": "e1:7", "key": "a", "value": {"number": 1}},
        {"position": "e1:7", "key": "a", "removed": True},
    ]


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize(("count", "lost"), [(17, b'{"lost":17}'), (None, b'{"lost":null}')])
def test_loss_and_reset_are_told(positions: bool, count: int | None, lost: bytes) -> None:
    """Losses and resets are text messages, even for values of bytes."""
    wire = wire_of(bytes, positions=positions)
    assert only(wire.lost(count)) == (TEXT, lost)
    assert only(wire.reset()) == (TEXT, b'{"reset":true}')


def test_events() -> None:
    """An event's id is its position; losses and resets have a type of their own and no id, so that resuming works."""
    wire = event_wire(grows=False)
    assert wire.value(b"payload", PLACE, None) == b"id: e1:7\ndata: payload\n\n"
    assert wire.row(b'"a"', b"1", PLACE, None) == b'id: e1:7\ndata: {"key":"a","value":1}\n\n'
    assert wire.removed(b'"a"', PLACE) == b'id: e1:7\ndata: {"key":"a","removed":true}\n\n'
    assert wire.lost(17) == b"event: lost\ndata: 17\n\n"
    assert wire.lost(None) == b"event: lost\ndata: null\n\n"
    assert wire.reset() == b"event: reset\ndata: \n\n"


def parsed(data: bytes) -> list[str]:
    """Return the data of the events in a stream, parsed as the specification says."""
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    events = []
    for block in text.split("\n\n")[:-1]:
        lines = [line.removeprefix("data: ") for line in block.split("\n") if line.startswith("data:")]
        events.append("\n".join(lines))
    return events


@given(st.text(alphabet=st.sampled_from("a:\r\n d\tä\u2028\x0b"), max_size=20))
def test_no_text_breaks_out_of_its_event(text: str) -> None:
    """A text with any line breaks is one event, and its line breaks arrive."""
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parsed(event(text.encode())) == [expected]
    assert parsed(event_wire(grows=False).value(text.encode(), PLACE, None) * 2) == [expected] * 2
