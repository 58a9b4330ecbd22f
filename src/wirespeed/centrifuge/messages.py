"""The messages of the protocol, sections 2 to 4: what a client sends, and what it is told.

``data`` and the two kinds of info are payloads that the protocol does not look into: compact JSON for JSON clients,
any bytes for Protobuf clients. Absent is empty.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class StreamPosition(NamedTuple):
    """Where in a log a client is."""

    offset: int = 0
    epoch: str = ""


class FilterNode(NamedTuple):
    """A node of a filter of publications by their tags: a comparison, or ``and``, ``or``, ``not`` of others."""

    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: Sequence[str] = ()
    nodes: Sequence["FilterNode"] = ()


# Commands: what a client sends. All but Send and Pong have an id above 0, which the reply has, too.


class Subscribe(NamedTuple):
    """Wants the publications of a channel."""

    id: int
    channel: str
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: int = 0
    data: bytes = b""
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: FilterNode | None = None
    flag: int = 0
    type: int = 0


class Connect(NamedTuple):
    """The first command of a connection."""

    id: int
    token: str = ""
    data: bytes = b""
    subs: Mapping[str, Subscribe] = _NOTHING
    """Where the client was in server-side subscriptions; their ``id`` is 0."""
    name: str = ""
    version: str = ""
    headers: Mapping[str, str] = _NOTHING
    flag: int = 0


class Unsubscribe(NamedTuple):
    """Ends a subscription."""

    id: int
    channel: str


class Publish(NamedTuple):
    """Publishes into a channel."""

    id: int
    channel: str
    data: bytes = b""
    type: int = 0
    key: str = ""
    removed: bool = False


class Presence(NamedTuple):
    """Asks who is subscribed to a channel."""

    id: int
    channel: str


class PresenceStats(NamedTuple):
    """Asks how many are subscribed to a channel."""

    id: int
    channel: str


class History(NamedTuple):
    """Asks for what a channel retains; a ``limit`` of 0 for the position only, -1 for all."""

    id: int
    channel: str
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


class Rpc(NamedTuple):
    """Calls a method."""

    id: int
    method: str = ""
    data: bytes = b""


class Refresh(NamedTuple):
    """Brings a new token for the connection."""

    id: int
    token: str = ""


class SubRefresh(NamedTuple):
    """Brings a new token for a subscription."""

    id: int
    channel: str
    token: str = ""
    type: int = 0


class Send(NamedTuple):
    """A message that is not answered."""

    data: bytes = b""


class Pong(NamedTuple):
    """The answer to a ping."""


class Ping(NamedTuple):
    """A ping by the client, which the protocol does not allow."""

    id: int


class Malformed(NamedTuple):
    """A command with a readable id and unreadable content, such as half a surrogate pair.

    Args:
        id: The command's id; 0 for a ``Send``, which has none and gets no answer.
        problem: One sentence for the client.
        connects: Whether it is a connect command, as far as can be seen.
    """

    id: int
    problem: str
    connects: bool = False


Command = (
    Connect
    | Subscribe
    | Unsubscribe
    | Publish
    | Presence
    | PresenceStats
    | History
    | Rpc
    | Send
    | Refresh
    | SubRefresh
    | Ping
    | Pong
)


# What both replies and pushes carry.


class ClientInfo(NamedTuple):
    """Who is at the other end of a connection; ``user`` and ``client`` are told even if they are empty."""

    user: str
    client: str
    conn_info: bytes = b""
    chan_info: bytes = b""


class Pub(NamedTuple):
    """One entry of a channel."""

    data: bytes
    offset: int = 0
    epoch: str = ""
    info: ClientInfo | None = None
    tags: Mapping[str, str] = _NOTHING
    delta: bool = False
    is_text: bool = False
    """Where a delta was negotiated, JSON clients get ``data`` as a JSON string."""


# Results: what the reply to a command carries, by the command.


class SubscribeResult(NamedTuple):
    """Of ``subscribe``, and of each server-side subscription of ``connect``."""

    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: Sequence[Pub] | bytes = ()
    """Or as :meth:`.codec.Codec.item` makes each, joined: many clients come back to the same ones."""
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: bytes = b""
    was_recovering: bool = False
    delta: bool = False


class ConnectResult(NamedTuple):
    """Of ``connect``."""

    client: str
    version: str = ""
    expires: bool = False
    ttl: int = 0
    data: bytes = b""
    subs: Mapping[str, SubscribeResult] = _NOTHING
    ping: int = 0
    pong: bool = False
    session: str = ""
    node: str = ""


class UnsubscribeResult(NamedTuple):
    """Of ``unsubscribe``."""


class PublishResult(NamedTuple):
    """Of ``publish``."""


class PresenceResult(NamedTuple):
    """Of ``presence``, by the client's id; told even if it is empty."""

    presence: Mapping[str, ClientInfo]


class PresenceStatsResult(NamedTuple):
    """Of ``presence_stats``; zeros are told, too."""

    num_clients: int
    num_users: int


class HistoryResult(NamedTuple):
    """Of ``history``; told even if it is empty."""

    publications: Sequence[Pub]
    epoch: str
    offset: int


class RpcResult(NamedTuple):
    """Of ``rpc``."""

    data: bytes


class RefreshResult(NamedTuple):
    """Of ``refresh``."""

    client: str
    version: str = ""
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(NamedTuple):
    """Of ``sub_refresh``."""

    expires: bool = False
    ttl: int = 0


Result = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | RpcResult
    | RefreshResult
    | SubRefreshResult
)


# Pushes: what a client is told without having asked.


class PublicationPush(NamedTuple):
    """Something was published."""

    channel: str
    pub: Pub


class JoinPush(NamedTuple):
    """Somebody has subscribed."""

    channel: str
    info: ClientInfo


class LeavePush(NamedTuple):
    """Somebody is no longer subscribed."""

    channel: str
    info: ClientInfo


class UnsubscribePush(NamedTuple):
    """A subscription was ended by the server; the code is always told."""

    channel: str
    code: int
    reason: str = ""


class MessagePush(NamedTuple):
    """A message to this connection."""

    data: bytes


class SubscribePush(NamedTuple):
    """The server has subscribed the client to a channel."""

    channel: str
    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: bytes = b""


class ConnectPush(NamedTuple):
    """The first message to clients that cannot ask."""

    client: str
    version: str = ""
    data: bytes = b""
    subs: Mapping[str, SubscribeResult] = _NOTHING
    expires: bool = False
    ttl: int = 0
    ping: int = 0
    pong: bool = False
    session: str = ""
    node: str = ""


class DisconnectPush(NamedTuple):
    """The connection ends, where there is no close frame to say so."""

    code: int
    reason: str = ""


class RefreshPush(NamedTuple):
    """The server has prolonged the connection."""

    expires: bool = False
    ttl: int = 0


Push = (
    PublicationPush
    | JoinPush
    | LeavePush
    | UnsubscribePush
    | MessagePush
    | SubscribePush
    | ConnectPush
    | DisconnectPush
    | RefreshPush
)
