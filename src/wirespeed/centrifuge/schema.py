"""The fields of all messages, with their types and Protobuf numbers: both codecs follow these tables."""

import re
from typing import Any, NamedTuple

from . import messages as m
from .codec import EmulationRequest
from .codes import Error

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of Protobuf."""


class Field(NamedTuple):
    """A field of a message.

    Args:
        kind: ``text``, ``bytes``, ``uint32``, ``uint64``, ``int32`` or ``bool``, a ``Map``, or the class of a message.
    """

    number: int
    kind: Any
    many: bool = False


class Map(NamedTuple):
    """The kind of a map whose keys are text."""

    values: Any


SCALARS: dict[str, tuple[int, Any]] = {
    "text": (BYTES, ""),
    "bytes": (BYTES, b""),
    "uint32": (VARINT, 0),
    "uint64": (VARINT, 0),
    "int32": (VARINT, 0),
    "bool": (VARINT, False),
}

FIELDS: dict[type, dict[str, Field]] = {
    m.StreamPosition: {"offset": Field(1, "uint64"), "epoch": Field(2, "text")},
    m.FilterNode: {
        "op": Field(1, "text"),
        "key": Field(2, "text"),
        "cmp": Field(3, "text"),
        "val": Field(4, "text"),
        "vals": Field(5, "text", many=True),
        "nodes": Field(6, m.FilterNode, many=True),
    },
    m.ClientInfo: {
        "user": Field(1, "text"),
        "client": Field(2, "text"),
        "conn_info": Field(3, "bytes"),
        "chan_info": Field(4, "bytes"),
    },
    m.Pub: {
        "data": Field(4, "bytes"),
        "info": Field(5, m.ClientInfo),
        "offset": Field(6, "uint64"),
        "tags": Field(7, Map("text"), many=True),
        "delta": Field(8, "bool"),
        "epoch": Field(14, "text"),
    },
    m.Subscribe: {
        "channel": Field(1, "text"),
        "token": Field(2, "text"),
        "recover": Field(3, "bool"),
        "epoch": Field(6, "text"),
        "offset": Field(7, "uint64"),
        "data": Field(8, "bytes"),
        "positioned": Field(9, "bool"),
        "recoverable": Field(10, "bool"),
        "join_leave": Field(11, "bool"),
        "delta": Field(12, "text"),
        "tf": Field(13, m.FilterNode),
        "flag": Field(14, "uint64"),
        "type": Field(15, "uint32"),
    },
    m.Connect: {
        "token": Field(1, "text"),
        "data": Field(2, "bytes"),
        "subs": Field(3, Map(m.Subscribe), many=True),
        "name": Field(4, "text"),
        "version": Field(5, "text"),
        "headers": Field(6, Map("text"), many=True),
        "flag": Field(7, "uint64"),
    },
    m.Unsubscribe: {"channel": Field(1, "text")},
    m.Publish: {
        "channel": Field(1, "text"),
        "data": Field(2, "bytes"),
        "type": Field(3, "uint32"),
        "key": Field(4, "text"),
        "removed": Field(5, "bool"),
    },
    m.Presence: {"channel": Field(1, "text")},
    m.PresenceStats: {"channel": Field(1, "text")},
    m.History: {
        "channel": Field(1, "text"),
        "limit": Field(7, "int32"),
        "since": Field(8, m.StreamPosition),
        "reverse": Field(9, "bool"),
    },
    m.Ping: {},
    m.Send: {"data": Field(1, "bytes")},
    m.Rpc: {"data": Field(1, "bytes"), "method": Field(2, "text")},
    m.Refresh: {"token": Field(1, "text")},
    m.SubRefresh: {"channel": Field(1, "text"), "token": Field(2, "text"), "type": Field(3, "uint32")},
    Error: {"code": Field(1, "uint32"), "message": Field(2, "text"), "temporary": Field(3, "bool")},
    m.ConnectResult: {
        "client": Field(1, "text"),
        "version": Field(2, "text"),
        "data": Field(5, "bytes"),
        "subs": Field(6, Map(m.SubscribeResult), many=True),
        "expires": Field(3, "bool"),
        "ttl": Field(4, "uint32"),
        "ping": Field(7, "uint32"),
        "pong": Field(8, "bool"),
        "session": Field(9, "text"),
        "node": Field(10, "text"),
    },
    m.SubscribeResult: {
        "expires": Field(1, "bool"),
        "ttl": Field(2, "uint32"),
        "recoverable": Field(3, "bool"),
        "epoch": Field(6, "text"),
        "publications": Field(7, m.Pub, many=True),
        "recovered": Field(8, "bool"),
        "offset": Field(9, "uint64"),
        "positioned": Field(10, "bool"),
        "data": Field(11, "bytes"),
        "was_recovering": Field(12, "bool"),
        "delta": Field(13, "bool"),
    },
    m.UnsubscribeResult: {},
    m.PublishResult: {},
    m.PresenceResult: {"presence": Field(1, Map(m.ClientInfo), many=True)},
    m.PresenceStatsResult: {"num_clients": Field(1, "uint32"), "num_users": Field(2, "uint32")},
    m.HistoryResult: {
        "publications": Field(1, m.Pub, many=True),
        "epoch": Field(2, "text"),
        "offset": Field(3, "uint64"),
    },
    m.RpcResult: {"data": Field(1, "bytes")},
    m.RefreshResult: {
        "client": Field(1, "text"),
        "version": Field(2, "text"),
        "expires": Field(3, "bool"),
        "ttl": Field(4, "uint32"),
    },
    m.SubRefreshResult: {"expires": Field(1, "bool"), "ttl": Field(2, "uint32")},
    m.JoinPush: {"info": Field(1, m.ClientInfo)},
    m.LeavePush: {"info": Field(1, m.ClientInfo)},
    m.UnsubscribePush: {"code": Field(2, "uint32"), "reason": Field(3, "text")},
    m.MessagePush: {"data": Field(1, "bytes")},
    m.SubscribePush: {
        "recoverable": Field(1, "bool"),
        "epoch": Field(4, "text"),
        "offset": Field(5, "uint64"),
        "positioned": Field(6, "bool"),
        "data": Field(7, "bytes"),
    },
    m.DisconnectPush: {"code": Field(1, "uint32"), "reason": Field(2, "text")},
    m.RefreshPush: {"expires": Field(1, "bool"), "ttl": Field(2, "uint32")},
    EmulationRequest: {"session": Field(2, "text"), "node": Field(1, "text"), "data": Field(3, "bytes")},
}

COMMANDS: dict[int, type] = {
    4: m.Connect,
    5: m.Subscribe,
    6: m.Unsubscribe,
    7: m.Publish,
    8: m.Presence,
    9: m.PresenceStats,
    10: m.History,
    13: m.Rpc,
    12: m.Send,
    14: m.Refresh,
    15: m.SubRefresh,
    11: m.Ping,
}
"""Kinds of commands by their Protobuf number. If a command has several payloads, the first in this order counts."""

RESULTS: dict[type, int] = {
    m.ConnectResult: 5,
    m.SubscribeResult: 6,
    m.UnsubscribeResult: 7,
    m.PublishResult: 8,
    m.PresenceResult: 9,
    m.PresenceStatsResult: 10,
    m.HistoryResult: 11,
    m.RpcResult: 13,
    m.RefreshResult: 14,
    m.SubRefreshResult: 15,
}

PUSHES: dict[type, int] = {
    m.JoinPush: 5,
    m.LeavePush: 6,
    m.UnsubscribePush: 7,
    m.MessagePush: 8,
    m.SubscribePush: 9,
    m.DisconnectPush: 11,
    m.RefreshPush: 12,
}

PUSH, PUB, CHANNEL = 4, 4, 2

NAMES: dict[type, str] = {
    kind: re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__.removesuffix("Result").removesuffix("Push")).lower()
    for kind in (*COMMANDS.values(), *RESULTS, *PUSHES)
}
"""Names of the payloads of commands, replies and pushes in JSON."""


def _default(field: Field) -> Any:
    if isinstance(field.kind, Map):
        return {}
    if field.many:
        return ()
    return SCALARS[field.kind][1] if isinstance(field.kind, str) else None


DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {name: _default(fields[name]) if name in fields else 0 for name in kind._fields}  # type: ignore[attr-defined]
    for kind, fields in FIELDS.items()
}
"""Zero values of all fields of each kind of message, in the order of its class."""
