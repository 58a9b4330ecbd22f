"""The JSON format: one message per line."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic_core import from_json, to_json

from ..frames import TEXT
from . import messages as m
from .codec import MAX_DEPTH, Codec, EmulationRequest, bad, writable
from .codes import Error, ProtocolError

_UINT32 = 1 << 32
_UINT64 = 1 << 64


_lenient = json.JSONDecoder(strict=False).decode
"""Accepts what :func:`_decode` does not: NaN, half a surrogate pair, raw control characters."""

_FIRST_ID = re.compile(r'\s*\{\s*"id"\s*:\s*(\d{1,10})\s*,')
_LAST_ID = re.compile(r'.*,\s*"id"\s*:\s*(\d{1,10})\s*\}\s*$', re.DOTALL)
_SEND = re.compile(r'\s*\{\s*"send"\s*:')
_TAIL = 64
"""Characters at the end of a line in which its id is sought: some SDKs write it last."""


def _decode(text: str) -> Any:
    return from_json(text, allow_inf_nan=False, cache_strings="keys")


# Reading


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad(f"{name} is no string")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad(f"{name} is no boolean")
    return value


def _number(fields: dict[str, Any], name: str, end: int = _UINT32, start: int = 0) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not start <= value < end:
        raise bad(f"{name} is no number from {start} to {end - 1}")
    return value


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"{name} is no object")
    return value


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad(f"{name} is no list")
    return value


def _texts(values: Any, name: str) -> Any:
    each = [*values, *values.values()] if isinstance(values, dict) else values
    if not all(isinstance(value, str) for value in each):
        raise bad(f"{name} has to be of strings")
    return values


def _data(fields: dict[str, Any]) -> bytes:
    """The payload as compact JSON; empty if there is none, which is not the same as ``null``."""
    if "data" not in fields:
        return b""
    # Python writes a number that is too large for a float, such as 1e999, as Infinity, and so refuses it here.
    return json.dumps(fields["data"], ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _filter(fields: Any, depth: int = 0) -> m.FilterNode:
    if not isinstance(fields, dict) or depth > MAX_DEPTH:
        raise bad("tf is no filter")
    nodes = [_filter(each, depth + 1) for each in _list(fields, "nodes")]
    op, key, cmp, val = (_text(fields, name) for name in ("op", "key", "cmp", "val"))
    return m.FilterNode(op, key, cmp, val, _texts(_list(fields, "vals"), "vals"), nodes)


def _subscribe(id_: int, fields: dict[str, Any]) -> m.Subscribe:
    get = fields.get
    return m.Subscribe(
        id_,
        _text(fields, "channel"),
        _text(fields, "token"),
        _flag(fields, "recover"),
        _text(fields, "epoch"),
        _number(fields, "offset", _UINT64),
        _data(fields),
        _flag(fields, "positioned"),
        _flag(fields, "recoverable"),
        _flag(fields, "join_leave"),
        _text(fields, "delta"),
        None if get("tf") is None else _filter(get("tf")),
        _number(fields, "flag", _UINT64),
        _number(fields, "type"),
    )


def _connect(id_: int, fields: dict[str, Any]) -> m.Connect:
    subs = _object(fields, "subs")
    return m.Connect(
        id_,
        _text(fields, "token"),
        _data(fields),
        {channel: _subscribe(0, _object(subs, channel)) for channel in subs},
        _text(fields, "name"),
        _text(fields, "version"),
        _texts(_object(fields, "headers"), "headers"),
        _number(fields, "flag", _UINT64),
    )


def _history(id_: int, fields: dict[str, Any]) -> m.History:
    since = None
    if fields.get("since") is not None:
        given = _object(fields, "since")
        since = m.StreamPosition(_number(given, "offset", _UINT64), _text(given, "epoch"))
    limit = _number(fields, "limit", _UINT32 // 2, -_UINT32 // 2)
    return m.History(id_, _text(fields, "channel"), limit, since, _flag(fields, "reverse"))


def _publish(id_: int, fields: dict[str, Any]) -> m.Publish:
    key, removed = _text(fields, "key"), _flag(fields, "removed")
    return m.Publish(id_, _text(fields, "channel"), _data(fields), _number(fields, "type"), key, removed)


_COMMANDS: dict[str, Callable[[int, dict[str, Any]], m.Command]] = {
    "connect": _connect,
    "subscribe": _subscribe,
    "unsubscribe": lambda id_, fields: m.Unsubscribe(id_, _text(fields, "channel")),
    "publish": _publish,
    "presence": lambda id_, fields: m.Presence(id_, _text(fields, "channel")),
    "presence_stats": lambda id_, fields: m.PresenceStats(id_, _text(fields, "channel")),
    "history": _history,
    "rpc": lambda id_, fields: m.Rpc(id_, _text(fields, "method"), _data(fields)),
    "send": lambda _, fields: m.Send(_data(fields)),
    "refresh": lambda id_, fields: m.Refresh(id_, _text(fields, "token")),
    "sub_refresh": lambda id_, fields: m.SubRefresh(
        id_, _text(fields, "channel"), _text(fields, "token"), _number(fields, "type")
    ),
    "ping": lambda id_, _: m.Ping(id_),
}
"""By name, in the order in which the first that is there wins."""


def _command(fields: Any) -> m.Command | m.Malformed:
    if not isinstance(fields, dict):
        raise bad("a command is no object")
    id_ = _number(fields, "id")
    name = next((each for each in _COMMANDS if fields.get(each) is not None), None)
    if name is None:
        return m.Malformed(id_, "the command has no payload") if id_ else m.Pong()
    if not id_ and name != "send":
        raise bad(f"{name} without an id")
    try:
        return _COMMANDS[name](id_, _object(fields, name))
    except ProtocolError as error:
        return m.Malformed(id_, error.problem, name == "connect")
    except (ValueError, RecursionError):
        return m.Malformed(id_, "the data has a number that is too large", name == "connect")


def _unreadable(line: str, problem: str) -> m.Malformed:
    """A command whose line is JSON in form, but holds what no JSON message can carry.

    Raises:
        ProtocolError: It is not JSON, or its id cannot be read and it is not a ``send``.
    """
    line = line.removeprefix("\ufeff")
    try:
        fields = _lenient(line)
    except json.JSONDecodeError:
        raise bad(f"a command that is no JSON: {problem}") from None
    except (ValueError, RecursionError):  # too many digits, or nested too deep
        id_, sends = _id_in(line), _SEND.match(line) is not None
        connects = not sends
    else:
        if not isinstance(fields, dict):
            raise bad("a command is no object")
        id_, sends, connects = _number(fields, "id"), "send" in fields, fields.get("connect") is not None
    if not (id_ or sends):
        raise bad(problem)
    return m.Malformed(id_, problem, connects)


def _id_in(line: str) -> int:
    """The id at either end of a line that cannot be parsed; 0 if there is none."""
    found = _FIRST_ID.match(line) or _LAST_ID.match(line[-_TAIL:])
    id_ = int(found[1]) if found else 0
    return id_ if id_ < _UINT32 else 0


# Writing


class _Raw(bytes):
    """JSON already."""


def _raw(payload: bytes) -> _Raw:
    """A payload on one line: a raw line end in JSON can only be white space."""
    if b"\n" in payload or b"\r" in payload:
        payload = payload.replace(b"\n", b"").replace(b"\r", b"")
    return _Raw(payload)


def _written(value: Any) -> bytes:
    """JSON of what messages hold."""
    if isinstance(value, _Raw):
        return value
    if isinstance(value, Mapping):
        return b"{%b}" % b",".join([b"%b:%b" % (to_json(name), _written(each)) for name, each in value.items()])
    if isinstance(value, (list, tuple)):
        return b"[%b]" % b",".join([_written(each) for each in value])
    return to_json(value)


def _told(message: Any, keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a message that are not zero, and those that are told all the same."""
    told: dict[str, Any] = {}
    for name, value in zip(message._fields, message, strict=True):
        if value or name in keep:
            told[name] = _FIELDS[name](value) if name in _FIELDS else _raw(value) if isinstance(value, bytes) else value
    return told


def _listed(items: bytes) -> _Raw:
    return _Raw(b"[%b]" % items[:-1])


def _info(info: m.ClientInfo) -> dict[str, Any]:
    return _told(info, ("user", "client"))


def _publication(pub: m.Pub) -> dict[str, Any]:
    told = _told(pub, ("data",))
    if told.pop("is_text", False):
        told["data"] = pub.data.decode()
    elif not pub.data:
        told["data"] = None
    return told


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "info": _info,
    "presence": lambda members: {client: _info(info) for client, info in members.items()},
    "publications": lambda pubs: _listed(pubs) if isinstance(pubs, bytes) else [_publication(each) for each in pubs],
    "subs": lambda subs: {channel: _told(each) for channel, each in subs.items()},
}

_RESULTS: dict[type, tuple[str, tuple[str, ...]]] = {
    m.ConnectResult: ("connect", ("client",)),
    m.SubscribeResult: ("subscribe", ()),
    m.UnsubscribeResult: ("unsubscribe", ()),
    m.PublishResult: ("publish", ()),
    m.PresenceResult: ("presence", ("presence",)),
    m.PresenceStatsResult: ("presence_stats", ("num_clients", "num_users")),
    m.HistoryResult: ("history", ("publications", "epoch", "offset")),
    m.RpcResult: ("rpc", ()),
    m.RefreshResult: ("refresh", ()),
    m.SubRefreshResult: ("sub_refresh", ()),
}

_PUSHES: dict[type, tuple[str, tuple[str, ...]]] = {
    m.JoinPush: ("join", ()),
    m.LeavePush: ("leave", ()),
    m.UnsubscribePush: ("unsubscribe", ("code",)),
    m.MessagePush: ("message", ()),
    m.SubscribePush: ("subscribe", ()),
    m.ConnectPush: ("connect", ("client",)),
    m.DisconnectPush: ("disconnect", ("code",)),
    m.RefreshPush: ("refresh", ()),
}


def _push(push: m.Push) -> dict[str, Any]:
    if isinstance(push, m.PublicationPush):
        return {"channel": push.channel, "pub": _publication(push.pub)}
    name, keep = _PUSHES[type(push)]
    told = _told(push, keep)
    channel = told.pop("channel", None)
    return {name: told} if channel is None else {"channel": channel, name: told}


def _subscribed(id_: int, result: m.SubscribeResult, items: bytes) -> bytes:
    """The reply to most subscribes, in a third of the time: a thousand clients may come back at once."""
    told = b",".join(
        [
            text
            for text, is_told in (
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
            if is_told
        ]
    )
    return b'{"id":%d,"subscribe":{%b}}\n' % (id_, told)


class JsonCodec(Codec):
    """JSON in text messages."""

    name: ClassVar[str] = "json"
    opcode: ClassVar[int] = TEXT
    ping: ClassVar[bytes] = b"{}\n"

    def commands(self, frame: str | bytes) -> Iterator[m.Command | m.Malformed]:
        """See :meth:`Codec.commands`."""
        if not isinstance(frame, str):
            raise bad("a binary message on a JSON connection")
        at, size = 0, len(frame)
        while at < size or not at:  # line by line: a frame may wait between two of its commands
            end = frame.find("\n", at) % (size + 1)
            yield self._read(frame[at:end])
            at = end + 1

    def _read(self, line: str) -> m.Command | m.Malformed:
        try:
            fields = _decode(line)
        except (ValueError, TypeError) as error:  # TypeError: the text itself has half a surrogate pair
            return _unreadable(line, str(error))
        return _command(fields)

    def count(self, frame: str | bytes) -> int:
        """See :meth:`Codec.count`."""
        if not isinstance(frame, str):
            return 1
        return max(frame.count("\n") + (not frame.endswith("\n")), 1)

    def reply(self, id_: int, result: m.Result) -> bytes:
        """See :meth:`Codec.reply`."""
        if type(result) is m.SubscribeResult and not result.expires and not result.ttl:
            items = result.publications or b""
            if isinstance(items, bytes):
                return _subscribed(id_, result, items)
        name, keep = _RESULTS[type(result)]
        return b'{"id":%d,"%b":%b}\n' % (id_, name.encode(), _written(_told(result, keep)))

    def error(self, id_: int, error: Error) -> bytes:
        """See :meth:`Codec.error`."""
        return b'{"id":%d,"error":%b}\n' % (id_, _written(_told(error._replace(message=writable(error.message)))))

    def push(self, push: m.Push) -> bytes:
        """See :meth:`Codec.push`."""
        return b'{"push":%b}\n' % _written(_push(push))

    def bare(self, push: m.Push) -> bytes:
        """A push for clients that cannot ask, and so get no replies."""
        return _written(_push(push)) + b"\n"

    def publications(self, channel: str) -> Callable[[bytes, int], bytes]:
        """See :meth:`Codec.publications`."""
        start = (b'{"push":{"channel":%b,"pub":{"data":' % to_json(channel)).replace(b"%", b"%%")
        whole, plain = start + b'%b,"offset":%d}}}\n', start + b"%b}}}\n"

        def encode(data: bytes, offset: int) -> bytes:
            if b"\n" in data or b"\r" in data:
                data = _raw(data)
            return whole % (data, offset) if offset else plain % data

        return encode

    def item(self, pub: m.Pub) -> bytes:
        """See :meth:`Codec.item`."""
        return _written(_publication(pub)) + b","

    def frame(self, messages: bytes) -> bytes:
        """See :meth:`Codec.frame`."""
        return messages[:-1]

    def split(self, messages: bytes) -> list[bytes]:
        """See :meth:`Codec.split`."""
        return messages.split(b"\n")[:-1]

    def emulation(self, body: bytes) -> EmulationRequest:
        """See :meth:`Codec.emulation`."""
        try:
            fields = _decode(body.decode())
        except ValueError as error:
            raise bad(f"no JSON: {error}") from None
        if not isinstance(fields, dict):
            raise bad("no object")
        return EmulationRequest(_text(fields, "session"), _text(fields, "node"), _text(fields, "data"))


JSON = JsonCodec()
