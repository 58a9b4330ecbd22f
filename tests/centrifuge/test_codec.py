"""The properties of both formats."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import calls_in
from tests.centrifuge.samples import IDS, PUBLICATIONS, PUSHES, SUBSCRIBED
from tests.centrifuge.sides import SIDES, Fields, Side
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codec import MAX_FIELDS, Codec
from wirespeed.centrifuge.json_codec import JSON
from wirespeed.centrifuge.protobuf import PROTOBUF

CODECS = "wirespeed/centrifuge"
"""The part of a path that codecs have in common."""

both = pytest.mark.parametrize("codec", [JSON, PROTOBUF], ids=lambda codec: codec.name)


@both
@given(id_=IDS, result=SUBSCRIBED, pubs=st.lists(PUBLICATIONS, max_size=3))
def test_items_are_what_a_reply_has(codec: Codec, id_: int, result: m.SubscribeResult, pubs: list[m.Pub]) -> None:
    """Publications that were encoded before are in a reply like those that are encoded for it."""
    items = b"".join(map(codec.item, pubs))
    made_before = codec.reply(id_, result._replace(publications=items))
    assert made_before == codec.reply(id_, result._replace(publications=pubs))


@both
@given(pushes=st.lists(PUSHES, max_size=4))
def test_messages_are_delimited(codec: Codec, pushes: list[m.Push]) -> None:
    """Any number of joined messages can be separated again."""
    messages = list(map(codec.push, pushes))
    assert [codec.split(each)[0] for each in messages] == codec.split(b"".join(messages))


@both
def test_a_ping_is_an_empty_message(codec: Codec) -> None:
    """The server's ping is empty, and the client's empty frame is the answer."""
    frame = codec.frame(codec.ping)
    assert list(codec.commands(frame.decode() if codec is JSON else frame)) == [m.Pong()]


def tree(count: int) -> Fields:
    """Return a filter with a number of nodes in several levels."""
    return {"op": "and", "nodes": [{"op": "and", "nodes": [{}] * 99}] * (count // 100)}


LONG: dict[str, Callable[[int], Fields]] = {
    "nodes": lambda count: {"subscribe": {"channel": "c", "tf": {"op": "and", "nodes": [{}] * count}}},
    "nodes of nodes": lambda count: {"subscribe": {"channel": "c", "tf": tree(count)}},
    "values": lambda count: {"subscribe": {"channel": "c", "tf": {"cmp": "in", "vals": [""] * count}}},
    "headers": lambda count: {"connect": {"headers": {str(each): "" for each in range(count)}}},
    "positions": lambda count: {"connect": {"subs": {str(each): {} for each in range(count)}}},
}
"""Commands that are long in several ways."""


@pytest.mark.parametrize("side", SIDES, ids=repr)
@pytest.mark.parametrize("command", LONG.values(), ids=LONG)
def test_a_long_command_is_not_read_to_its_end(side: Side, command: Callable[[int], Fields]) -> None:
    """A command with too many parts is unreadable, the others of its frame are not, and its length costs nothing."""

    def steps(count: int) -> int:
        frame = side.frame([{"id": 6, "rpc": {}}, {"id": 7, **command(count)}, {"id": 8, "rpc": {}}])
        commands: list[Any] = []
        taken = calls_in(CODECS, lambda: commands.extend(side.codec.commands(frame)))
        assert [each.id for each in commands] == [6, 7, 8]
        assert [isinstance(each, m.Malformed) for each in commands] == [False, True, False]
        assert "too many" in commands[1].problem
        return taken

    assert steps(12_000) <= steps(6000)


@pytest.mark.parametrize("side", SIDES, ids=repr)
def test_subscribes_are_counted_without_reading_them(side: Side) -> None:
    """The number of subscribes in a frame, readable or not, costs the same whatever their filters have."""

    def steps(nodes: int) -> int:
        filter_ = {"op": "and", "nodes": [{}] * nodes}
        subscribe = {"id": 7, "subscribe": {"channel": "c", "tf": filter_}}
        frame = side.frame([{"id": 6, "rpc": {}}, subscribe, subscribe])
        counted: list[int] = []
        taken = calls_in(CODECS, lambda: counted.append(side.codec.subscribes(frame)))
        assert counted == [2]
        return taken

    assert steps(1) == steps(700) == steps(6000)


@both
@given(frame=st.text(max_size=60) | st.binary(max_size=60))
def test_any_frame_has_some_subscribes(codec: Codec, frame: str | bytes) -> None:
    """Subscribes are counted in any frame, even if it cannot be read."""
    assert codec.subscribes(frame) >= 0


def test_subscribes_end_at_what_cannot_be_read() -> None:
    """A frame of commands that cannot be read costs the same whatever their number: the first one ends the counting."""
    unreadable = b"\1\0"
    ten, many = unreadable * 10, unreadable * 10_000
    assert calls_in(CODECS, lambda: PROTOBUF.subscribes(ten)) == calls_in(CODECS, lambda: PROTOBUF.subscribes(many))


def test_members_of_a_command_are_fields() -> None:
    """Unknown members beside a command's payload count as its fields: its data is found by reading past all of them."""
    beside = {f"{each}": 0 for each in range(MAX_FIELDS)}
    [command] = JSON.commands(json.dumps({"id": 7, **beside, "rpc": {"data": 1}}))
    assert command == m.Malformed(7, "it has too many fields or elements")


@both
@given(sizes=st.lists(st.integers(0, 300), max_size=20))
def test_all_commands_are_counted(codec: Codec, sizes: list[int]) -> None:
    """The number of commands in a frame is known without reading them, whatever their sizes."""
    side = next(each for each in SIDES if each.codec is codec)
    assert codec.count(side.frame([{"rpc": {"method": "x" * size}} for size in sizes])) == max(len(sizes), 1)
