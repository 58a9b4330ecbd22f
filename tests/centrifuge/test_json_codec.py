"""The JSON format."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.centrifuge.samples import COMMANDS, IDS, PUSHES, RESULTS
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Error, ProtocolError
from wirespeed.centrifuge.json_codec import JSON

from .test_protobuf import NAMES, plain


def spelled(value: Any) -> Any:
    """Return a message as JSON, by the names of its fields."""
    if isinstance(value, m.Pub) and value.is_text:
        return spelled(value._replace(is_text=False)) | {"data": value.data.decode()}
    if hasattr(value, "_fields"):
        written_fields = zip(value._fields, value, strict=True)
        return {name: spelled(each) for name, each in written_fields if each and name != "id"}
    if isinstance(value, Mapping):
        return {key: spelled(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(each) for each in value]
    return json.loads(value) if isinstance(value, bytes) else value


def line(command: m.Command) -> str:
    """Return a command in a client's form."""
    if isinstance(command, m.Pong):
        return "{}"
    return json.dumps({"id": getattr(command, "id", 0), NAMES[type(command)]: spelled(command)})


@given(st.lists(COMMANDS, min_size=1, max_size=4), st.booleans())
def test_commands_are_read(commands: list[m.Command], ends: bool) -> None:
    """The commands of a frame are read in order. A line end after the last one changes nothing."""
    frame = "\n".join(map(line, commands)) + "\n" * ends
    assert [plain(compact(each)) for each in JSON.commands(frame)] == [plain(each) for each in commands]


def compact(command: m.Command | m.Malformed) -> Any:
    """Return a command whose data is written as the samples have it."""
    given: Any = command
    if not getattr(given, "data", b""):
        return given
    data = json.dumps(json.loads(given.data), ensure_ascii=False, separators=(",", ":"))
    return given._replace(data=data.encode())


@pytest.mark.parametrize(
    "data", ['{"a": 1, "a":2}', "-0", "1.10", "[ ]", '"\\u0041\\/"', "\t1", "12345678901234567890.0", "null"]
)
@pytest.mark.parametrize(
    "line",
    [
        '{"id":1,"rpc":{"method":"m","data":%s}}', '{"rpc":{"method":"m","data":%s},"id":1}',
        '{"id": 1, "rpc": {"data": %s, "method": "m"}}', '{"rpc":{"data":3,"data":%s,"method":"m"},"id":1}',
        ' { "rpc" :{"data":4} , "x":[{}],"rpc": {"y":{"data":1},"method":"m","data":%s, "z":"}}"}, "id":1}',
        '{"id":1,"rpc":{"method":"m","data":%s,"data":%s}}',
    ],
)  # fmt: skip
def test_data_is_as_the_client_wrote_it(line: str, data: str) -> None:
    """Data keeps its duplicate keys, digits and escapes, wherever it is in the command; white space around it is not
    part of it."""
    (command,) = JSON.commands(line.replace("%s", data))
    assert command == m.Rpc(1, "m", data.strip().encode())


@given(IDS, RESULTS)
def test_replies_tell_all_that_is_not_zero(id_: int, result: m.Result) -> None:
    """A reply is one line with the id and the result, even if that is empty. All fields that are not zero are right."""
    written = JSON.reply(id_, result)
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    written_fields = json.loads(written)
    assert written_fields.pop("id") == id_
    ((_, fields),) = written_fields.items()
    assert without_zeros(fields) == without_zeros(spelled(result))


@given(PUSHES)
def test_pushes_tell_all_that_is_not_zero(push: m.Push) -> None:
    """A push is one line, inside a reply."""
    written_fields = json.loads(JSON.push(push))["push"]
    assert written_fields.pop("channel", "") == getattr(push, "channel", "")
    ((_, fields),) = written_fields.items()
    expected = push.pub if isinstance(push, m.PublicationPush) else push
    assert without_zeros(fields) == without_zeros({k: v for k, v in spelled(expected).items() if k != "channel"})


def without_zeros(value: Any) -> Any:
    """Return a value without the fields that may be omitted."""
    if isinstance(value, dict):
        written_fields = {key: without_zeros(each) for key, each in value.items()}
        return {key: each for key, each in written_fields.items() if each not in (0, False, "", None, {}, [])}
    return [without_zeros(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (JSON.reply(15, m.UnsubscribeResult()), '{"id":15,"unsubscribe":{}}'),
        (JSON.reply(3, m.PublishResult()), '{"id":3,"publish":{}}'),
        (JSON.reply(14, m.SubscribeResult()), '{"id":14,"subscribe":{}}'),
        (JSON.reply(4, m.PresenceResult({})), '{"id":4,"presence":{"presence":{}}}'),
        (JSON.reply(5, m.PresenceStatsResult(0, 0)), '{"id":5,"presence_stats":{"num_clients":0,"num_users":0}}'),
        (JSON.reply(7, m.HistoryResult([], "e", 0)), '{"id":7,"history":{"publications":[],"epoch":"e","offset":0}}'),
        (JSON.error(11, Error(105, "twice")), '{"id":11,"error":{"code":105,"message":"twice"}}'),
        (JSON.push(m.UnsubscribePush("c", 0)), '{"push":{"channel":"c","unsubscribe":{"code":0}}}'),
        (
            JSON.push(m.JoinPush("room", m.ClientInfo("", "8"))),
            '{"push":{"channel":"room","join":{"info":{"user":"","client":"8"}}}}',
        ),
        (
            JSON.push(m.PublicationPush("dl", m.Pub(b'1D\n1B@0,2:1}3eJBXL;', 2, delta=True, is_text=True))),
            '{"push":{"channel":"dl","pub":{"data":"1D\\n1B@0,2:1}3eJBXL;","offset":2,"delta":true}}}',
        ),
        (JSON.push(m.MessagePush(b'{\n"a":\r\n1}')), '{"push":{"message":{"data":{"a":1}}}}'),
        (JSON.publications("a%b")(b"[\n1]", 0), '{"push":{"channel":"a%b","pub":{"data":[1]}}}'),
        (JSON.ping, "{}"),
    ],
)  # fmt: skip
def test_what_is_told_as_it_stands(message: bytes, expected: str) -> None:
    """Zeros are written if clients rely on them, and only then. Raw line ends are never written."""
    assert JSON.frame(message).decode() == expected


@pytest.mark.parametrize(
    "frame",
    [
        "", "\n", "{bad", "[]", "1", "null", '"x"', '{"id":-1,"connect":{}}', '{"id":1.5,"connect":{}}',
        '{"id":4294967296,"connect":{}}', '{"id":true,"connect":{}}', '{"connect":{}}', '{"id":2,"rpc":{"data":1',
        '{"id":"2","rpc":{"data":"\\ud800"}}', '{"rpc":{"data":1e999}}',
        "[" * 100_000, '{"rpc":{"data":' + "[" * 100_000 + "]" * 100_000 + "}}",
        b"{}", '{"id":1,"connect":{}}\n\n{}',
    ],
)  # fmt: skip
def test_what_is_no_command_is_a_bad_request(frame: str | bytes) -> None:
    """A frame that cannot be read closes the connection with 3501."""
    with pytest.raises(ProtocolError) as raised:
        list(JSON.commands(frame))
    assert raised.value.disconnect.code == 3501


MALFORMED = [
    '{"id":7}', '{"id":7,"unknown":{}}', '{"id":7,"connect":[]}', '{"id":7,"connect":{"token":1}}',
    '{"id":7,"connect":{"data":NaN}}', '{"id":7,"connect":{"headers":{"a":1}}}', '{"id":7,"connect":{"subs":{"a":1}}}',
    '{"id":7,"connect":{"subs":{"\\ud800":{}}}}', '{"id":7,"connect":{"data":"\\ud83d"}}',
    '{"id":7,"subscribe":{"channel":1}}', '{"id":7,"subscribe":{"channel":"\\ud800"}}',
    '{"subscribe":{"channel":"a","data":{"\\udc00":1}},"id":7}', '{"id":7,"publish":{"channel":"a","data":"\\ud800"}}',
    '{"id":7,"rpc":{"data":1e999}}', '{"id":7,"rpc":{"data":[-1e400]}}', '{"id":7,"rpc":{"data":-Infinity}}',
    '{"id":7,"rpc":{"data":' + "1" * 5000 + "}}", '{"rpc":{"data":' + "1" * 5000 + '},"id":7}',
    '\ufeff{"id":7,"rpc":{"method":"a"}}', '{"id":7,"rpc":{"data":"\t"}}', '{"id":7,"rpc":{"data":"\ud83d"}}',
    '{"id":7,"subscribe":{"offset":-1}}', '{"id":7,"subscribe":{"offset":18446744073709551616}}',
    '{"id":7,"subscribe":{"tf":[]}}', '{"id":7,"subscribe":{"tf":{"vals":[1]}}}',
    '{"id":7,"history":{"limit":2147483648}}',
    '{"id":7,"subscribe":{"tf":' + '{"nodes":[' * 40 + "]}" * 40 + "}}",
    *(line for size in (1000, 30_000) for nested in ["[" * size + "]" * size]
      for line in ('{"id":7,"rpc":{"data":' + nested + "}}", '{ "rpc": {"data":' + nested + '}, "id": 7 }')),
]  # fmt: skip


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_command_is_one_command(line: str) -> None:
    """A command that cannot be read but has an id does not affect the commands around it."""
    commands = list(JSON.commands(f'{{"id":6,"rpc":{{}}}}\n{line}\n{{"id":8,"rpc":{{}}}}'))
    assert commands[0] == m.Rpc(6)
    assert isinstance(commands[1], m.Malformed)
    assert (commands[1].id, commands[1].connects) == (7, '"connect"' in line) or len(line) > 1000
    assert commands[1].id == 7
    assert commands[2] == m.Rpc(8)


def test_null_is_data() -> None:
    """Data of ``null`` differs from missing data."""
    assert list(JSON.commands('{"id":1,"rpc":{"data":null}}\n{"id":2,"rpc":{}}')) == [m.Rpc(1, "", b"null"), m.Rpc(2)]


@pytest.mark.parametrize("name", ["session", "node", "data"])
def test_emulation_requests_with_half_a_pair(name: str) -> None:
    """Half a surrogate pair in any field is refused, as in any other invalid request."""
    with pytest.raises(ProtocolError):
        JSON.emulation(b'{"%b":"\\ud83d"}' % name.encode())


def test_errors_can_always_be_written() -> None:
    """A message with half a surrogate pair, which user code may raise, does not break the answer."""
    assert JSON.error(1, Error(400, "\ud83d!")) == b'{"id":1,"error":{"code":400,"message":"?!"}}\n'


def test_commands_before_a_broken_one_stand() -> None:
    """The commands before a broken one are yielded before the error is raised."""
    commands = JSON.commands('{"id":1,"connect":{}}\n{bad')
    assert next(commands) == m.Connect(1)
    with pytest.raises(ProtocolError):
        next(commands)


def test_the_first_payload_counts() -> None:
    """If a command has several payloads, the first in the protocol's order counts."""
    (command,) = JSON.commands('{"id":3,"rpc":{"method":"m"},"publish":null,"unsubscribe":{"channel":"c"},"new":1}')
    assert command == m.Unsubscribe(3, "c")


@given(st.text(max_size=60))
def test_any_text_is_commands_or_refused(frame: str) -> None:
    """Any text is read as commands, or refused with 3501."""
    try:
        assert all(isinstance(each, m.Command | m.Malformed) for each in JSON.commands(frame))
    except ProtocolError as error:
        assert error.disconnect.code == 3501  # noqa: PT017 - one of two ways


@given(st.lists(COMMANDS, min_size=1, max_size=3), st.data())
def test_damaged_frames_are_commands_or_refused(commands: list[m.Command], data: st.DataObject) -> None:
    """A frame with a character changed, lost or added is read as other commands, or refused with 3501."""
    frame = "\n".join(map(line, commands))
    at = data.draw(st.integers(0, len(frame) - 1))
    rest = frame[at + data.draw(st.integers(0, 1)) :]
    damaged = frame[:at] + data.draw(st.text('{}[]",:0-1e\n\\u x', max_size=2)) + rest
    test_any_text_is_commands_or_refused.hypothesis.inner_test(damaged)  # type: ignore[attr-defined]


@given(st.text(max_size=20), st.sampled_from([b"1", b"{}", b'"\xd0\xaf"', b"[1,\n2]"]), st.integers(0, 2**64 - 1))
def test_the_fast_way_gives_the_same(channel: str, data: bytes, offset: int) -> None:
    """The fast encoder of plain publications gives the same bytes."""
    push = m.PublicationPush(channel, m.Pub(data, offset))
    assert JSON.publications(channel)(data, offset) == JSON.push(push)


def test_joined_messages_are_taken_apart() -> None:
    """Joined messages can be separated again."""
    parts = [JSON.ping, JSON.reply(1, m.PublishResult())]
    assert JSON.split(b"".join(parts)) == [part[:-1] for part in parts]


def test_emulation_requests_carry_a_frame_as_text() -> None:
    """A request with commands names its connection, and carries a frame as text."""
    request = JSON.emulation(b'{"session":"s","node":"n","data":"{}\\n{}"}')
    assert (request.session, request.node, request.data) == ("s", "n", "{}\n{}")


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"session":1}', b'{"data":{}}'])
def test_emulation_requests_that_cannot_be_read(body: bytes) -> None:
    """A request that cannot be read is refused."""
    with pytest.raises(ProtocolError):
        JSON.emulation(body)


@given(st.text(max_size=20), st.sampled_from([m.JoinPush, m.LeavePush]), st.text(max_size=5))
def test_a_push_in_two_parts_is_the_same(channel: str, kind: type[m.JoinPush | m.LeavePush], user: str) -> None:
    """The part that is made once for all channels gives the same bytes with each of them."""
    info = m.ClientInfo(user, "8", b'{"name":"Ann"}')
    whole = JSON.push(kind(channel or "c", info))
    assert JSON.pushes(channel or "c")(JSON.about(kind("", info))) == whole
