"""The JSON format of the protocol: one message per line."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic_core import from_json, to_json

from ..frames import TEXT
from ..raw import check_numbers, end_of, member, on_one_line
from . import messages as m
from .codec import MAX_DEPTH, MAX_FIELDS, PART, Allowance, Codec, EmulationRequest, bad, writable
from .codes import Error, ProtocolError
from .schema import COMMANDS, DEFAULTS, FIELDS, NAMES, Map

C = TypeVar("C", dict[str, Any], list[Any])

_UINT32 = 1 << 32
_COMMANDS = {NAMES[kind]: kind for kind in COMMANDS.values()}

_lenient = json.JSONDecoder(strict=False).decode
"""Accepts text that :func:`_decode` refuses: NaN, half a surrogate pair, raw control characters."""

_FIRST_ID = re.compile(r'\s*\{\s*"id"\s*:\s*(\d{1,10})\s*,')
_LAST_ID = re.compile(r'.*,\s*"id"\s*:\s*(\d{1,10})\s*\}\s*$', re.DOTALL)
_START = re.compile(r'\{(?:"id": ?\d+, ?)?"\w+": ?\{(?:"(?:channel|method)": ?"[^"\\]*", ?)?"data":[ \t\r]*')
_END = re.compile(r'\}(?:, ?"id": ?\d+)?\}')
"""The beginning and the end of most commands, between which the data is; others take three times as long."""
_SEND = re.compile(r'\s*\{\s*"send"\s*:')
_TAIL = 64
"""Characters at the end of a line that may hold its id: some SDKs write it last."""


def _decode(text: str) -> Any:
    return from_json(text, allow_inf_nan=False, cache_strings="keys")


# Reading


def _text(name: str, value: Any, allowance: Allowance, depth: int) -> str:
    if not isinstance(value, str):
        raise bad(f"{name} must be a string")
    return value


def _bool(name: str, value: Any, allowance: Allowance, depth: int) -> bool:
    if not isinstance(value, bool):
        raise bad(f"{name} must be true or false")
    return value


def _number(start: int, end: int) -> "Reader":
    def read(name: str, value: Any, allowance: Allowance, depth: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not start <= value < end:
            raise bad(f"{name} must be a whole number from {start} to {end - 1}")
        return value

    return read


def _payload(name: str, value: Any, allowance: Allowance, depth: int) -> bytes:
    if depth == 0:
        return b" "  # its text replaces this
    # Python reads a number that is too large for a float, such as 1e999, as Infinity; writing it raises ValueError.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


Reader = Callable[[str, Any, Allowance, int], Any]
"""Reads a field's value: its name, the decoded JSON, what its command may still have, and the depth of its message."""

_SCALARS: dict[str, Reader] = {
    "text": _text,
    "bool": _bool,
    "bytes": _payload,
    "uint32": _number(0, _UINT32),
    "uint64": _number(0, 1 << 64),
    "int32": _number(-_UINT32 // 2, _UINT32 // 2),
}


def _reader(kind: Any, *, many: bool = False) -> Reader:
    """Return the reader of a kind of field; see :class:`.schema.Field`."""
    if isinstance(kind, Map):
        return partial(_map, _reader(kind.values))
    one = _SCALARS[kind] if isinstance(kind, str) else partial(_nested, kind)
    return partial(_list, one) if many else one


def _map(each: Reader, name: str, value: Any, allowance: Allowance, depth: int) -> dict[str, Any]:
    entries = _container(name, value, dict, allowance)
    allowance.take(PART * len(entries))
    return {key: each(name, item, allowance, depth) for key, item in entries.items()}


def _list(each: Reader, name: str, value: Any, allowance: Allowance, depth: int) -> list[Any]:
    return [each(name, item, allowance, depth) for item in _container(name, value, list, allowance)]


def _nested(kind: type, name: str, value: Any, allowance: Allowance, depth: int) -> Any:
    allowance.take(PART)
    return _message(name, kind, value, allowance, depth + 1)


def _container(name: str, value: Any, kind: type[C], allowance: Allowance) -> C:
    if not isinstance(value, kind):
        raise bad(f"{name} must be {'an object' if kind is dict else 'an array'}")
    allowance.take(len(value))
    return value


_READERS = {
    kind: {name: _reader(field.kind, many=field.many) for name, field in fields.items()}
    for kind, fields in FIELDS.items()
}


def _message(name: str, kind: type, fields: Any, allowance: Allowance, depth: int = 0, id_: int = 0) -> Any:
    """Return a message of a kind. Ignore unknown fields."""
    if depth > MAX_DEPTH:
        raise bad(f"{name} is nested more than {MAX_DEPTH} deep")
    readers, values = _READERS[kind], DEFAULTS[kind].copy()
    if id_:
        values["id"] = id_
    for each, value in _container(name, fields, dict, allowance).items():
        reader = readers.get(each)
        # A null is a missing field, except in data: there, it is the payload null.
        if reader is not None and (value is not None or reader is _payload):
            values[each] = reader(each, value, allowance, depth)
    return kind._make(values.values())  # type: ignore[attr-defined]


def _command(fields: Any, line: str, allowance: Allowance) -> m.Command | m.Malformed:
    if not isinstance(fields, dict):
        raise bad("a command must be an object")
    id_ = _id(fields)
    name = next((each for each in _COMMANDS if fields.get(each) is not None), None)
    if name is None:
        return m.Malformed(id_, "the command has no payload") if id_ else m.Pong()
    if not id_ and name != "send":
        raise bad(f"{name} without an id")
    try:
        allowance.take(len(fields))
        kind = _COMMANDS[name]
        command: m.Command = _message(name, kind, fields[name], allowance, id_=0 if kind is m.Send else id_)
        if getattr(command, "data", b""):
            command = command._replace(data=_data(line, name))  # type: ignore[call-arg]
    except ProtocolError as error:
        return m.Malformed(id_, error.problem, name == "connect")
    except (ValueError, RecursionError):
        return m.Malformed(id_, "the data has a number that is too large", name == "connect")
    return command


def _data(line: str, name: str) -> bytes:
    """Return the data of a command as the client has written it.

    Raises:
        NotJSON: A number in it is too large for a float.
    """
    if (start := _START.match(line)) and _END.fullmatch(line, end := end_of(line, start.end())):
        text = line[start.end() : end]
    else:
        text = member(line, name, "data")
    check_numbers(text)
    return text.encode()


def _id(fields: dict[str, Any]) -> int:
    value = fields.get("id")
    return 0 if value is None else int(_SCALARS["uint32"]("id", value, Allowance(), 0))


def _unreadable(line: str, problem: str) -> m.Malformed:
    """Return the command of a line that has the form of JSON, but contains what JSON cannot carry.

    Raises:
        ProtocolError: It is not JSON, or its id cannot be read and it is not a ``send``.
    """
    line = line.removeprefix("\ufeff")
    try:
        fields = _lenient(line)
    except json.JSONDecodeError:
        raise bad(f"a command is not JSON: {problem}") from None
    except (ValueError, RecursionError):  # too many digits, or nested too deep
        id_, sends = _id_in(line), _SEND.match(line) is not None
        connects = not sends
    else:
        if not isinstance(fields, dict):
            raise bad("a command must be an object")
        id_, sends, connects = _id(fields), "send" in fields, fields.get("connect") is not None
    if not (id_ or sends):
        raise bad(problem)
    return m.Malformed(id_, problem, connects)


def _id_in(line: str) -> int:
    """Return the id at either end of a line that cannot be parsed; 0 if there is none."""
    found = _FIRST_ID.match(line) or _LAST_ID.match(line[-_TAIL:])
    id_ = int(found[1]) if found else 0
    return id_ if id_ < _UINT32 else 0


# Writing


class _Raw(bytes):
    """A value that is JSON already."""


def _raw(payload: bytes) -> _Raw:
    """Return a payload on one line."""
    return _Raw(on_one_line(payload))


def _written(value: Any) -> bytes:
    if isinstance(value, _Raw):
        return value
    if isinstance(value, Mapping):
        return b"{%b}" % b",".join([b"%b:%b" % (to_json(name), _written(each)) for name, each in value.items()])
    if isinstance(value, (list, tuple)):
        return b"[%b]" % b",".join([_written(each) for each in value])
    return to_json(value)


def _fields(message: Any, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a message that are not zero or empty, and those that are always written."""
    fields: dict[str, Any] = {}
    for name, value in zip(message._fields, message, strict=True):
        if value or name in always:
            write = _WRITERS.get(name)
            fields[name] = write(value) if write else _raw(value) if isinstance(value, bytes) else value
    return fields


def _info(info: m.ClientInfo) -> dict[str, Any]:
    return _fields(info, ("user", "client"))


def _publication(pub: m.Pub) -> dict[str, Any]:
    fields = _fields(pub, ("data",))
    if fields.pop("is_text", False):
        fields["data"] = pub.data.decode()
    elif not pub.data:
        fields["data"] = None
    return fields


_WRITERS: dict[str, Callable[[Any], Any]] = {
    "info": _info,
    "presence": lambda members: {client: _info(info) for client, info in members.items()},
    "publications": lambda pubs: (
        _Raw(b"[%b]" % pubs[:-1]) if isinstance(pubs, bytes) else [_publication(each) for each in pubs]
    ),
    "subs": lambda subs: {channel: _fields(each) for channel, each in subs.items()},
}

_ALWAYS: dict[type, tuple[str, ...]] = {
    m.ConnectResult: ("client",),
    m.PresenceResult: ("presence",),
    m.PresenceStatsResult: ("num_clients", "num_users"),
    m.HistoryResult: ("publications", "epoch", "offset"),
    m.UnsubscribePush: ("code",),
    m.DisconnectPush: ("code",),
}
"""Fields that clients expect even if they are zero or empty."""


def _push(push: m.Push) -> dict[str, Any]:
    if isinstance(push, m.PublicationPush):
        return {"channel": push.channel, "pub": _publication(push.pub)}
    name, fields = _named(push)
    channel = fields.pop("channel", None)
    return {name: fields} if channel is None else {"channel": channel, name: fields}


def _named(message: Any) -> tuple[str, dict[str, Any]]:
    kind = type(message)
    return NAMES[kind], _fields(message, _ALWAYS.get(kind, ()))


def _subscribed(id_: int, result: m.SubscribeResult, items: bytes) -> bytes:
    """Return the reply to an ordinary subscribe in a third of the time: a thousand clients may reconnect at once."""
    fields = b",".join(
        [
            text
            for text, is_written in (
                (b'"recoverable":true', result.recoverable),
                (b'"epoch":%b' % to_json(result.epoch), result.epoch),
                (b'"publications":[%b]' % items[:-1], items),
                (b'"recovered":true', result.recovered),
                (b'"offset":%d' % result.offset, result.offset),
                (b'"positioned":true', result.positioned),
                (b'"data":%b' % _raw(result.data), result.data),
                (b'"was_recovering":true', result.was_recovering),
                (b'"delta":true', result.delta),
            )
            if is_written
        ]
    )
    return b'{"id":%d,"subscribe":{%b}}\n' % (id_, fields)


class JsonCodec(Codec):
    """JSON in text messages."""

    name: ClassVar[str] = "json"
    opcode: ClassVar[int] = TEXT
    ping: ClassVar[bytes] = b"{}\n"

    def commands(self, frame: str | bytes, most: int = MAX_FIELDS) -> Iterator[m.Command | m.Malformed]:
        if not isinstance(frame, str):
            raise bad("expected a text message, got a binary one")
        at, size = 0, len(frame)
        while at < size or not at:  # line by line: handling may pause between two commands of a frame
            end = frame.find("\n", at) % (size + 1)
            yield self._read(frame[at:end], Allowance(most))
            at = end + 1

    def _read(self, line: str, allowance: Allowance) -> m.Command | m.Malformed:
        try:
            fields = _decode(line)
        except (ValueError, TypeError) as error:  # TypeError: the text itself has half a surrogate pair
            return _unreadable(line, str(error))
        return _command(fields, line, allowance)

    def count(self, frame: str | bytes) -> int:
        if not isinstance(frame, str):
            return 1
        return max(frame.count("\n") + (not frame.endswith("\n")), 1)

    def subscribes(self, frame: str | bytes) -> int:
        found = 0
        for line in frame.split("\n") if isinstance(frame, str) else ():
            with suppress(ValueError, TypeError):  # it cannot be read
                fields = _decode(line)
                found += isinstance(fields, dict) and "subscribe" in fields
        return found

    def reply(self, id_: int, result: m.Result) -> bytes:
        if type(result) is m.SubscribeResult and not result.expires and not result.ttl:
            items = result.publications or b""
            if isinstance(items, bytes):
                return _subscribed(id_, result, items)
        return super().reply(id_, result)

    def body(self, result: m.Result) -> bytes:
        name, fields = _named(result)
        return b'"%b":%b' % (name.encode(), _written(fields))

    def reply_of(self, id_: int, body: bytes) -> bytes:
        return b'{"id":%d,%b}\n' % (id_, body)

    def error(self, id_: int, error: Error) -> bytes:
        shown = Error(error.code, writable(error.message), error.temporary)
        return b'{"id":%d,"error":%b}\n' % (id_, _written(_fields(shown)))

    def push(self, push: m.Push) -> bytes:
        return b'{"push":%b}\n' % _written(_push(push))

    def about(self, push: m.JoinPush | m.LeavePush) -> bytes:
        return b'"%b":{"info":%b}' % (NAMES[type(push)].encode(), _written(_info(push.info)))

    def pushes(self, channel: str) -> Callable[[bytes], bytes]:
        start = b'{"push":{"channel":%b,' % to_json(channel)
        return lambda part: b"%b%b}}\n" % (start, part)

    def publications(self, channel: str) -> Callable[[bytes, int], bytes]:
        start = (b'{"push":{"channel":%b,"pub":{"data":' % to_json(channel)).replace(b"%", b"%%")
        whole, plain = start + b'%b,"offset":%d}}}\n', start + b"%b}}}\n"

        def encode(data: bytes, offset: int) -> bytes:
            if b"\n" in data or b"\r" in data:
                data = on_one_line(data)
            return whole % (data, offset) if offset else plain % data

        return encode

    def item(self, pub: m.Pub) -> bytes:
        return _written(_publication(pub)) + b","

    def frame(self, messages: bytes) -> bytes:
        return messages[:-1]

    def split(self, messages: bytes) -> list[bytes]:
        return messages.split(b"\n")[:-1]

    def emulation(self, body: bytes) -> EmulationRequest:
        try:
            fields = _decode(body.decode())
        except ValueError as error:
            raise bad(f"not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise bad("a request must be an object")
        # Here, data is not a payload but a frame, as text.
        given = {each: "" if fields.get(each) is None else fields[each] for each in EmulationRequest._fields}
        return EmulationRequest(**{each: _text(each, value, Allowance(), 0) for each, value in given.items()})


JSON = JsonCodec()
