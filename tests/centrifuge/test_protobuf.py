"""The Protobuf format, compared with code that is generated from the protocol's own definition."""

from collections.abc import Mapping
from typing import Any

import pytest
from centrifuge.protocol import client_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.centrifuge.samples import COMMANDS, ERRORS, IDS, PUSHES, RESULTS
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Error, ProtocolError
from wirespeed.centrifuge.protobuf import PROTOBUF

NAMES: dict[type, str] = {
    m.Connect: "connect",
    m.Subscribe: "subscribe",
    m.Unsubscribe: "unsubscribe",
    m.Publish: "publish",
    m.Presence: "presence",
    m.PresenceStats: "presence_stats",
    m.History: "history",
    m.Rpc: "rpc",
    m.Send: "send",
    m.Refresh: "refresh",
    m.SubRefresh: "sub_refresh",
    m.Ping: "ping",
}
UNKNOWN = {"is_text"}
"""Bytes that are not a field."""


def filled(theirs: Any, ours: Any) -> Any:
    """Fill a generated message with the content of ours, as far as it knows the fields."""
    known = theirs.DESCRIPTOR.fields_by_name
    for name, value in zip(ours._fields, ours, strict=True):
        if name in UNKNOWN or name == "id" or name not in known or value is None:
            continue
        field = getattr(theirs, name)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            field.SetInParent()
            filled(field, value)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                if isinstance(each, str):
                    field[key] = each
                else:
                    field[key].SetInParent()
                    filled(field[key], each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                filled(field.add(), each) if hasattr(each, "_fields") else field.append(each)
        else:
            setattr(theirs, name, value)
    return theirs


def stripped(theirs: Any) -> Any:
    """Return a generated message without unknown fields."""
    theirs.DiscardUnknownFields()
    return theirs


def undelimited(data: bytes) -> bytes:
    """Return the one message that was encoded."""
    (message,) = PROTOBUF.split(data)
    return message


@given(COMMANDS)
def test_commands_of_others_are_read(command: m.Command) -> None:
    """Our codec reads what the generated code writes."""
    theirs = client_pb2.Command(id=getattr(command, "id", 0))
    expected: Any = command
    if type(command) in NAMES:
        field = getattr(theirs, NAMES[type(command)])
        field.SetInParent()
        filled(field, command)
        unknown = {name for name in command._fields if name not in field.DESCRIPTOR.fields_by_name} - {"id"}
        expected = command._replace(**{name: type(command)._field_defaults[name] for name in unknown})
        if isinstance(expected, m.Connect):
            kept = {channel: each._replace(type=0) for channel, each in expected.subs.items()}
            expected = expected._replace(subs=kept)
    data = theirs.SerializeToString()
    read = list(PROTOBUF.commands(bytes(len_prefixed(data))))
    assert [plain(each) for each in read] == [plain(expected)]


def len_prefixed(data: bytes) -> bytes:
    """Return a message preceded by its length."""
    size, prefix = len(data), bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(prefix) + bytes([size]) + data


def plain(value: Any) -> Any:
    """Return a message as lists and dicts, so that tuples and lists are equal."""
    if hasattr(value, "_fields"):
        return (type(value).__name__, [plain(each) for each in value])
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@given(IDS, RESULTS)
def test_replies_are_read_by_others(id_: int, result: m.Result) -> None:
    """Our bytes of a result are those of the generated code."""
    name = type(result).__name__.removesuffix("Result")
    name = {"PresenceStats": "presence_stats", "SubRefresh": "sub_refresh"}.get(name, name.lower())
    theirs = client_pb2.Reply(id=id_)
    getattr(theirs, name).SetInParent()
    filled(getattr(theirs, name), result)
    assert stripped(client_pb2.Reply.FromString(undelimited(PROTOBUF.reply(id_, result)))) == theirs


@given(IDS, ERRORS)
def test_errors_are_read_by_others(id_: int, error: Error) -> None:
    """Our bytes of an error are those of the generated code."""
    theirs = client_pb2.Reply(id=id_)
    theirs.error.SetInParent()
    filled(theirs.error, error)
    assert client_pb2.Reply.FromString(undelimited(PROTOBUF.error(id_, error))) == theirs


def pushed(push: m.Push) -> Any:
    """Return the push as a generated message."""
    theirs = client_pb2.Push(channel=getattr(push, "channel", ""))
    name = "pub" if isinstance(push, m.PublicationPush) else type(push).__name__.removesuffix("Push").lower()
    getattr(theirs, name).SetInParent()
    filled(getattr(theirs, name), push.pub if isinstance(push, m.PublicationPush) else push)
    return theirs


@given(PUSHES)
def test_pushes_are_read_by_others(push: m.Push) -> None:
    """Our bytes of a push are those of the generated code."""
    theirs = pushed(push)
    reply = stripped(client_pb2.Reply.FromString(undelimited(PROTOBUF.push(push))))
    assert reply.push == theirs


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x05\x08\x01", id="cut off"),
        pytest.param(b"\xff" * 11, id="a length that does not end"),
        pytest.param(b"\x02\x22\x00", id="a connect without an id"),
        pytest.param(b"\x07\x08\x80\x80\x80\x80\x80\x01", id="an id that is too large"),
        pytest.param("text", id="text"),
    ],
)
def test_what_is_no_command_is_a_bad_request(frame: str | bytes) -> None:
    """A frame that cannot be read closes the connection with 3501."""
    with pytest.raises(ProtocolError) as raised:
        list(PROTOBUF.commands(frame))
    assert raised.value.disconnect.code == 3501


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(b"\x08\x07", id="an id and nothing else"),
        pytest.param(b"\x08\x07\x20\x01", id="a connect that is a number"),
        pytest.param(b"\x08\x07\x2b\x2c", id="a group"),
        pytest.param(b"\x08\x07\x2a\x03\x0a\x01\xff", id="a channel that is not UTF-8"),
        pytest.param(b"\x08\x07\x2a\x05\x0a\x03\xed\xa0\xbd", id="a channel with half a surrogate pair"),
        pytest.param(b"\x08\x07\x2a\x02\x0a\x05", id="a field that is cut off"),
        pytest.param(b"\x08\x07\x2a\x05", id="a command that is cut off"),
    ],
)
def test_a_malformed_command_is_one_command(command: bytes) -> None:
    """A command that cannot be read but has an id does not affect the commands around it."""
    good = PROTOBUF_RPC
    commands = list(PROTOBUF.commands(good + bytes([len(command)]) + command + good))
    assert isinstance(commands[1], m.Malformed)
    assert [each.id for each in commands if not isinstance(each, m.Pong | m.Send)] == [6, 7, 6]


PROTOBUF_RPC = b"\x04\x08\x06\x6a\x00"


def test_unknown_fields_are_passed_over() -> None:
    """Unknown fields of all wire types are ignored."""
    unknown = b"\xa0\x06\x01" + b"\xa2\x06\x01x" + b"\xa5\x06" + bytes(4) + b"\xa1\x06" + bytes(8)
    inner = b"\x0a\x01c" + unknown
    command = b"\x08\x07\x2a" + bytes([len(inner)]) + inner + unknown
    assert list(PROTOBUF.commands(bytes([len(command)]) + command)) == [m.Subscribe(7, "c")]


def test_fields_without_end() -> None:
    """Fields that are unknown, or repeated, are passed over only if there are not too many."""
    for many in (b"\xa0\x06\x01" * 6000, b"\x18\x01" * 6000):
        for command in (b"\x08\x07\x2a" + len_prefixed(b"\x0a\x01c" + many), b"\x08\x07\x2a\x00" + many):
            (found,) = PROTOBUF.commands(len_prefixed(command))
            assert found == m.Malformed(7, "it has too many fields or elements")


@given(st.binary(max_size=60))
def test_any_bytes_are_commands_or_refused(frame: bytes) -> None:
    """Any bytes are read as commands, or refused with 3501."""
    try:
        assert all(isinstance(each, m.Command | m.Malformed) for each in PROTOBUF.commands(frame))
    except ProtocolError as error:
        assert error.disconnect.code == 3501  # noqa: PT017 - one of two ways


@given(st.lists(COMMANDS, min_size=1, max_size=3), st.data())
def test_damaged_frames_are_commands_or_refused(commands: list[m.Command], data: st.DataObject) -> None:
    """A frame with a byte changed, lost or added is read as other commands, or refused with 3501."""
    frame = bytearray(b"".join(framed(each) for each in commands))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    test_any_bytes_are_commands_or_refused.hypothesis.inner_test(bytes(frame))  # type: ignore[attr-defined]


def framed(command: m.Command) -> bytes:
    """Return a command in the bytes of the generated code."""
    theirs = client_pb2.Command(id=getattr(command, "id", 0))
    if type(command) in NAMES:
        getattr(theirs, NAMES[type(command)]).SetInParent()
        filled(getattr(theirs, NAMES[type(command)]), command)
    return len_prefixed(theirs.SerializeToString())


def test_emulation_requests_of_others_are_read() -> None:
    """A request with commands names its connection, and carries a frame."""
    body = client_pb2.EmulationRequest(session="s", node="n", data=b"\x00").SerializeToString()
    request = PROTOBUF.emulation(body)
    assert (request.session, request.node, request.data) == ("s", "n", b"\x00")


@pytest.mark.parametrize("body", [b"\x12\x05s", b"\x12\x01\xff", b"\x10\x01"])
def test_emulation_requests_that_cannot_be_read(body: bytes) -> None:
    """A request that cannot be read is refused."""
    with pytest.raises(ProtocolError):
        PROTOBUF.emulation(body)


@given(st.text(max_size=20), st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_the_fast_way_gives_the_same(channel: str, data: bytes, offset: int) -> None:
    """The fast encoder of plain publications gives the same bytes."""
    push = m.PublicationPush(channel, m.Pub(data, offset))
    fast = client_pb2.Reply.FromString(undelimited(PROTOBUF.publications(channel)(data, offset)))
    assert fast == client_pb2.Reply.FromString(undelimited(PROTOBUF.push(push)))


@given(st.text(max_size=20), st.sampled_from([m.JoinPush, m.LeavePush]), st.text(max_size=5))
def test_a_push_in_two_parts_is_the_same(channel: str, kind: type[m.JoinPush | m.LeavePush], user: str) -> None:
    """The part that is made once for all channels gives the same bytes with each of them."""
    info = m.ClientInfo(user, "8", b'{"name":"Ann"}')
    whole = PROTOBUF.push(kind(channel or "c", info))
    assert PROTOBUF.pushes(channel or "c")(PROTOBUF.about(kind("", info))) == whole
