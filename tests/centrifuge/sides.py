"""The client's side of both formats: commands become bytes, and answers become plain JSON objects.

For Protobuf it is the SDK's, so that no field's number is only what we take it for.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final

from centrifuge.protocol import client_pb2

from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.json_codec import JSON
from wirespeed.centrifuge.protobuf import PROTOBUF

Fields = dict[str, Any]
Frame = str | bytes


class Side(ABC):
    """One format, from the client's side."""

    codec: Codec

    def __repr__(self) -> str:
        return self.codec.name

    @abstractmethod
    def frame(self, commands: Iterable[Fields]) -> Frame:
        """Return one WebSocket message with these commands; without any, it is a pong."""

    @abstractmethod
    def replies(self, messages: bytes) -> list[Fields]:
        """Return the server's messages in joined messages. Payloads become the values that they have in JSON."""

    @abstractmethod
    def pushes(self, messages: bytes) -> list[Fields]:
        """Return the server's messages in joined pushes without replies around them."""

    def decoded(self, message: Fields) -> Fields:
        """Return a message in this side's form; its argument has the form of JSON."""
        return message

    def framed(self, frame: Frame) -> list[Fields]:
        """Return the server's messages in one WebSocket message."""
        return self.replies(frame.encode() + b"\n" if isinstance(frame, str) else frame)


class JsonSide(Side):
    """JSON, one message per line."""

    codec = JSON

    def frame(self, commands: Iterable[Fields]) -> str:
        """See :meth:`Side.frame`."""
        return "\n".join(json.dumps(each) for each in commands)

    def replies(self, messages: bytes) -> list[Fields]:
        """See :meth:`Side.replies`."""
        assert not messages or messages.endswith(b"\n")
        return [json.loads(line) for line in messages.split(b"\n")[:-1]]

    def pushes(self, messages: bytes) -> list[Fields]:
        """See :meth:`Side.pushes`."""
        return self.replies(messages)


class ProtobufSide(Side):
    """Protobuf: each message is preceded by its length."""

    codec = PROTOBUF

    def frame(self, commands: Iterable[Fields]) -> bytes:
        """See :meth:`Side.frame`."""
        return b"".join(delimited(packed(client_pb2.Command(), each)) for each in commands)

    def replies(self, messages: bytes) -> list[Fields]:
        """See :meth:`Side.replies`."""
        return [unpacked(client_pb2.Reply.FromString(each)) for each in split(messages)]

    def pushes(self, messages: bytes) -> list[Fields]:
        """See :meth:`Side.pushes`."""
        return [unpacked(client_pb2.Push.FromString(each)) for each in split(messages)]

    def decoded(self, message: Fields) -> Fields:
        """See :meth:`Side.decoded`. Zeros are not on the wire, and with deltas, payloads need no quotes.

        The SDK does not know the epochs of publications.
        """
        return {
            name: self.decoded(value) if isinstance(value, dict) else _unquoted(name, value)
            for name, value in message.items()
            if (value or isinstance(value, dict)) and not (name == "epoch" and "data" in message)
        }


def _unquoted(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [PROTOBUF_SIDE.decoded(each) if isinstance(each, dict) else each for each in value]
    return json_or_text(value.encode()) if name == "data" and isinstance(value, str) else value


def json_or_text(payload: bytes) -> Any:
    """Return the value of a payload; deltas are not JSON."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def packed(message: Any, fields: Fields) -> Any:
    """Return a filled message of the SDK. Payloads are written as JSON unless they are bytes."""
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.type == field.TYPE_BYTES:
            setattr(message, name, value if isinstance(value, bytes) else json.dumps(value).encode())
        elif _is_map(field):
            _pack_map(getattr(message, name), value)
        elif field.is_repeated:
            _pack_list(getattr(message, name), value)
        elif field.type == field.TYPE_MESSAGE:
            getattr(message, name).SetInParent()
            packed(getattr(message, name), value)
        else:
            setattr(message, name, value)
    return message


def _is_map(field: Any) -> bool:
    return field.type == field.TYPE_MESSAGE and bool(field.message_type.GetOptions().map_entry)


def _pack_list(repeated: Any, values: list[Any]) -> None:
    for value in values:
        if isinstance(value, dict):
            packed(repeated.add(), value)
        else:
            repeated.append(value)


def _pack_map(entries: Any, values: Fields) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            packed(entries[key], value)
        else:
            entries[key] = value


def unpacked(message: Any) -> Fields:
    """Return the fields that a message of the SDK has."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Any:
    if field.type == field.TYPE_BYTES:
        return json_or_text(value)
    if field.type != field.TYPE_MESSAGE:
        return list(value) if field.is_repeated else value
    if not field.is_repeated:
        return unpacked(value)
    if not _is_map(field):
        return [unpacked(each) for each in value]
    has_messages = field.message_type.fields_by_name["value"].type == field.TYPE_MESSAGE
    return {key: unpacked(value[key]) if has_messages else value[key] for key in value}


def delimited(message: Any) -> bytes:
    """Return the bytes of a message, preceded by their length."""
    data: bytes = message.SerializeToString()
    return varint(len(data)) + data


def varint(number: int) -> bytes:
    """Return a number in Protobuf's form."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def split(messages: bytes) -> list[bytes]:
    """Yield length-delimited messages one by one."""
    parts, at = [], 0
    while at < len(messages):
        size = shift = 0
        while messages[at] & 0x80:
            size |= (messages[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
        size |= messages[at] << shift
        at += 1
        assert at + size <= len(messages)
        parts.append(messages[at : at + size])
        at += size
    return parts


JSON_SIDE: Final = JsonSide()
PROTOBUF_SIDE: Final = ProtobufSide()
SIDES: Final = [JSON_SIDE, PROTOBUF_SIDE]
