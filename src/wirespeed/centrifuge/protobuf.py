"""The Protobuf format of the protocol: each message is preceded by its length."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

from ..frames import BINARY
from . import messages as m
from .codec import MAX_DEPTH, MAX_FIELDS, PART, Allowance, Codec, EmulationRequest, bad, writable
from .codes import Error, ProtocolError
from .schema import (
    BYTES,
    CHANNEL,
    COMMANDS,
    DEFAULTS,
    FIELDS,
    FIXED32,
    FIXED64,
    PUB,
    PUSH,
    PUSHES,
    RESULTS,
    SCALARS,
    VARINT,
    Map,
)

_UINT64 = (1 << 64) - 1
_SUBSCRIBE = next(number for number, kind in COMMANDS.items() if kind is m.Subscribe)


# Reading


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise bad("a number does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, at
        shift += 7


def _fields(data: bytes, allowance: Allowance) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and contents of the fields of a message."""
    at = 0
    while at < len(data):
        allowance.take()
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        content: int | bytes
        if number == 0:
            raise bad("a field has no number")
        if kind == VARINT:
            content, at = _varint(data, at)
        elif kind in (BYTES, FIXED32, FIXED64):
            size, at = _varint(data, at) if kind == BYTES else (4 if kind == FIXED32 else 8, at)
            if at + size > len(data):
                raise bad("a field is cut off")
            content, at = data[at : at + size], at + size
        else:
            raise bad(f"wire type {kind} is unknown")
        if kind not in (FIXED32, FIXED64):  # the protocol has no field of these types
            yield number, content


def _scalar(kind: str, content: int | bytes) -> Any:
    expected, _ = SCALARS[kind]
    if isinstance(content, int) != (expected == VARINT):
        raise bad(f"a field is not of type {kind}")
    if isinstance(content, bytes):
        return content if kind == "bytes" else content.decode()
    if kind == "bool":
        return bool(content)
    if kind == "int32":
        return (content & 0xFFFFFFFF) - (1 << 32 if content & 0x80000000 else 0)
    if kind == "uint32" and content >> 32:
        raise bad("a number is too large")
    return content


def _content(kind: Any, content: int | bytes, allowance: Allowance, depth: int) -> Any:
    if isinstance(kind, str):
        return _scalar(kind, content)
    if not isinstance(content, bytes):
        raise bad("a field is not a message")
    allowance.take(PART)
    if isinstance(kind, Map):
        return _entry(kind, content, allowance, depth)
    return _message(kind, content, allowance, depth + 1)


def _entry(kind: Map, data: bytes, allowance: Allowance, depth: int) -> tuple[str, Any]:
    """Return an entry of a map: its key is field 1, and its value is field 2."""
    key = ""
    value: Any = "" if isinstance(kind.values, str) else _message(kind.values, b"", allowance, depth + 1)
    for number, content in _fields(data, allowance):
        if number == 1:
            key = _scalar("text", content)
        elif number == 2:
            value = _content(kind.values, content, allowance, depth)
    return key, value


def _message(kind: type, data: bytes, allowance: Allowance, depth: int = 0, **known: Any) -> Any:
    """Return a message of a kind. Ignore unknown fields. If a field is repeated, its last value counts."""
    if depth > MAX_DEPTH:
        raise bad(f"messages are nested more than {MAX_DEPTH} deep")
    fields = _BY_NUMBER[kind]
    values: dict[str, Any] = dict(known)
    for number, content in _fields(data, allowance):
        if number not in fields:
            continue
        name, field = fields[number]
        value = _content(field.kind, content, allowance, depth)
        if isinstance(field.kind, Map):
            values.setdefault(name, {})[value[0]] = value[1]
        elif field.many:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return kind._make((DEFAULTS[kind] | values).values())  # type: ignore[attr-defined]


_BY_NUMBER = {kind: {field.number: (name, field) for name, field in fields.items()} for kind, fields in FIELDS.items()}


def _undelimited(frame: str | bytes) -> Iterator[bytes]:
    """Yield the bytes of each command in a frame."""
    if not isinstance(frame, bytes):
        raise bad("expected a binary message, got a text one")
    if not frame:
        raise bad("a frame is empty")
    at = 0
    while at < len(frame):
        size, at = _varint(frame, at)
        if at + size > len(frame):
            raise bad("a command is cut off")
        yield frame[at : at + size]
        at += size


def _command(data: bytes, allowance: Allowance) -> m.Command | m.Malformed:
    if not data:
        return m.Pong()
    id_, payloads, problem = _parts(data, allowance)
    if problem:
        return _malformed(id_, problem, payloads)
    number = next((each for each in COMMANDS if each in payloads), 0)
    if not number:
        return m.Malformed(id_, "the command has no payload") if id_ else m.Pong()
    kind = COMMANDS[number]
    if not id_ and kind is not m.Send:
        raise bad(f"{kind.__name__.lower()} without an id")
    try:
        command: m.Command = _message(kind, payloads[number], allowance, **({} if kind is m.Send else {"id": id_}))
    except ProtocolError as error:
        return _malformed(id_, error.problem, payloads)
    except UnicodeDecodeError:
        return _malformed(id_, "a text is not UTF-8", payloads)
    return command


def _parts(data: bytes, allowance: Allowance) -> tuple[int, dict[int, bytes], str]:
    """Return the id and the payloads of a command, and the problem that ended the reading, if any."""
    id_, payloads = 0, dict[int, bytes]()
    try:
        for number, content in _fields(data, allowance):
            if number == 1:
                id_ = _scalar("uint32", content)
            elif number in COMMANDS:
                payloads[number] = _scalar("bytes", content)
    except ProtocolError as error:
        return id_, payloads, error.problem
    return id_, payloads, ""


def _malformed(id_: int, problem: str, payloads: dict[int, bytes]) -> m.Malformed:
    kinds = [COMMANDS[each] for each in payloads]
    if not id_ and m.Send not in kinds:
        raise bad(problem)
    return m.Malformed(id_, problem, m.Connect in kinds)


# Writing


def _number(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _sized(number: int, content: bytes) -> bytes:
    return _number(number << 3 | BYTES) + _number(len(content)) + content


def _written(kind: Any, number: int, value: Any) -> bytes:
    """Return one field with its content, even if that is zero."""
    if kind == "text":
        return _sized(number, value.encode())
    if kind == "bytes":
        return _sized(number, value)
    if isinstance(kind, str):
        return _number(number << 3) + _number(int(value))
    if isinstance(kind, Map):
        entries = [_sized(1, key.encode()) + _written(kind.values, 2, each) for key, each in value.items()]
        return b"".join([_sized(number, entry) for entry in entries])
    return _sized(number, _encoded(value))


def _encoded(message: Any) -> bytes:
    """Return the bytes of a message, without fields that are zero or empty."""
    parts: list[bytes] = []
    for name, field in FIELDS[type(message)].items():
        value = getattr(message, name)
        if name == "publications" and isinstance(value, bytes):
            parts.append(value)
        elif field.many and not isinstance(field.kind, Map):
            parts.extend(_written(field.kind, field.number, each) for each in value)
        elif value or (value is not None and not isinstance(field.kind, (str, Map))):
            parts.append(_written(field.kind, field.number, value))
    return b"".join(parts)


def _delimited(message: bytes) -> bytes:
    return _number(len(message)) + message


def _push(push: m.Push) -> bytes:
    if isinstance(push, m.PublicationPush):
        return _sized(CHANNEL, push.channel.encode()) + _sized(PUB, _encoded(push.pub))
    channel: str = getattr(push, "channel", "")
    start = _sized(CHANNEL, channel.encode()) if channel else b""
    return start + _sized(PUSHES[type(push)], _encoded(push))


class ProtobufCodec(Codec):
    """Protobuf in binary messages."""

    name: ClassVar[str] = "protobuf"
    opcode: ClassVar[int] = BINARY
    ping: ClassVar[bytes] = b"\x00"

    def commands(self, frame: str | bytes, most: int = MAX_FIELDS) -> Iterator[m.Command | m.Malformed]:
        for each in _undelimited(frame):
            yield _command(each, Allowance(most))

    def count(self, frame: str | bytes) -> int:
        if not isinstance(frame, bytes):
            return 1
        at = found = 0
        with suppress(ProtocolError):
            while at < len(frame):
                size = frame[at]
                at += 1
                if size > 0x7F:  # a call for each command takes three times as long, and a frame has up to 65,536
                    size, at = _varint(frame, at - 1)
                at += size
                found += 1
        return max(found, 1)

    def subscribes(self, frame: str | bytes) -> int:
        found, allowance = 0, Allowance()  # for all commands: most have two fields
        with suppress(ProtocolError):
            for each in _undelimited(frame):
                _, payloads, problem = _parts(each, allowance)
                if problem:
                    break
                found += _SUBSCRIBE in payloads
        return found

    def body(self, result: m.Result) -> bytes:
        return _sized(RESULTS[type(result)], _encoded(result))

    def reply_of(self, id_: int, body: bytes) -> bytes:
        return _delimited(b"\x08" + _number(id_) + body)

    def error(self, id_: int, error: Error) -> bytes:
        return _delimited(b"\x08" + _number(id_) + _sized(2, _encoded(error._replace(message=writable(error.message)))))

    def push(self, push: m.Push) -> bytes:
        return _delimited(_sized(PUSH, _push(push)))

    def about(self, push: m.JoinPush | m.LeavePush) -> bytes:
        return _sized(PUSHES[type(push)], _encoded(push))

    def pushes(self, channel: str) -> Callable[[bytes], bytes]:
        to = _sized(CHANNEL, channel.encode())
        return lambda part: _delimited(_sized(PUSH, to + part))

    def publications(self, channel: str) -> Callable[[bytes, int], bytes]:
        to = _sized(CHANNEL, channel.encode())
        data_tag, offset_tag = _number(4 << 3 | BYTES), _number(6 << 3)
        push_tag, pub_tag = _number(PUSH << 3 | BYTES), _number(PUB << 3 | BYTES)

        def encode(data: bytes, offset: int) -> bytes:
            pub = b"%b%b%b" % (data_tag, _number(len(data)), data)
            if offset:
                pub = b"%b%b%b" % (pub, offset_tag, _number(offset))
            push = b"%b%b%b%b" % (to, pub_tag, _number(len(pub)), pub)
            size = _number(len(push))
            return b"%b%b%b%b" % (_number(len(size) + len(push) + 1), push_tag, size, push)

        return encode

    def item(self, pub: m.Pub) -> bytes:
        return _sized(FIELDS[m.SubscribeResult]["publications"].number, _encoded(pub))

    def frame(self, messages: bytes) -> bytes:
        return messages

    def split(self, messages: bytes) -> list[bytes]:
        parts, at = [], 0
        while at < len(messages):
            size, start = _varint(messages, at)
            at = start + size
            parts.append(messages[start:at])
        return parts

    def emulation(self, body: bytes) -> EmulationRequest:
        try:
            request: EmulationRequest = _message(EmulationRequest, body, Allowance())
        except UnicodeDecodeError:
            raise bad("a text is not UTF-8") from None
        return request


PROTOBUF = ProtobufCodec()
