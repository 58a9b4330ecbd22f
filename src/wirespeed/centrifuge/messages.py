"""The messages of the protocol (sections 2 to 4): commands of clients, and the server's replies and pushes.

``data`` and the two kinds of info are payloads that the protocol does not read: compact JSON for JSON clients, any
bytes for Protobuf clients. An empty payload stands for a missing one.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class StreamPosition(NamedTuple):
    """A client's position in a log."""

    offset: int = 0
    epoch: str = ""


class FilterNode(NamedTuple):
    """A node of a filter of publications by their tags: a comparison, or ``and``, ``or``, ``not`` of other nodes."""

    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: Sequence[str] = ()
    nodes: Sequence["FilterNode"] = ()


# Commands of clients. All but Send and Pong have an id above 0, and their reply has the same id.


class Subscribe(NamedTuple):
    """Subscribe to a channel."""

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
    """The client's positions in server-side subscriptions; their ``id`` is 0."""
    name: str = ""
    version: str = ""
    headers: Mapping[str, str] = _NOTHING
    flag: int = 0


class Unsubscribe(NamedTuple):
    """End a subscription."""

    id: int
    channel: str


class Publish(NamedTuple):
    """Publish into a channel."""

    id: int
    channel: str
    data: bytes = b""
    type: int = 0
    key: str = ""
    removed: bool = False


class Presence(NamedTuple):
    """Request the list of a channel's subscribers."""

    id: int
    channel: str


class PresenceStats(NamedTuple):
    """Request the number of a channel's subscribers."""

    id: int
    channel: str


class History(NamedTuple):
    """Request the entries that a channel retains; with ``limit`` 0 the position only, with -1 all entries."""

    id: int
    channel: str
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


class Rpc(NamedTuple):
    """Call a method."""

    id: int
    method: str = ""
    data: bytes = b""


class Refresh(NamedTuple):
    """Renew the token of the connection."""

    id: int
    token: str = ""


class SubRefresh(NamedTuple):
    """Renew the token of a subscription."""

    id: int
    channel: str
    token: str = ""
    type: int = 0


class Send(NamedTuple):
    """Send a message that gets no reply."""

    data: bytes = b""


class Pong(NamedTuple):
    """Answer the server's ping."""


class Ping(NamedTuple):
    """Ping the server. The protocol does not allow it."""

    id: int


class Malformed(NamedTuple):
    """A command with a readable id and unreadable content, such as half a surrogate pair.

    Args:
        id: Id of the command; 0 for a ``Send``, which has none and gets no reply.
        problem: One sentence for the client.
        connects: True if it seems to be a connect command.
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


# Parts of both replies and pushes.


class ClientInfo(NamedTuple):
    """One client of a channel. ``user`` and ``client`` are written even if they are empty."""

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
    """True to write ``data`` as a JSON string, as JSON clients expect if they negotiated deltas."""


# Results: the content of replies, by command.


class SubscribeResult(NamedTuple):
    """The result of ``subscribe``, and of each server-side subscription of ``connect``."""

    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: Sequence[Pub] | bytes = ()
    """The missed publications, or their joined bytes from :meth:`.codec.Codec.item`, which many clients share."""
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: bytes = b""
    was_recovering: bool = False
    delta: bool = False


class ConnectResult(NamedTuple):
    """The result of ``connect``."""

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
    """The result of ``unsubscribe``."""


class PublishResult(NamedTuple):
    """The result of ``publish``."""


class PresenceResult(NamedTuple):
    """The result of ``presence``: clients by id. It is written even if it is empty."""

    presence: Mapping[str, ClientInfo]


class PresenceStatsResult(NamedTuple):
    """The result of ``presence_stats``. Zeros are written, too."""

    num_clients: int
    num_users: int


class HistoryResult(NamedTuple):
    """The result of ``history``. It is written even if it is empty."""

    publications: Sequence[Pub]
    epoch: str
    offset: int


class RpcResult(NamedTuple):
    """The result of ``rpc``."""

    data: bytes


class RefreshResult(NamedTuple):
    """The result of ``refresh``."""

    client: str
    version: str = ""
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(NamedTuple):
    """The result of ``sub_refresh``."""

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


# Pushes: messages that do not answer a command.


class PublicationPush(NamedTuple):
    """A publication in a channel."""

    channel: str
    pub: Pub


class JoinPush(NamedTuple):
    """A client has subscribed."""

    channel: str
    info: ClientInfo


class LeavePush(NamedTuple):
    """A client has ended its subscription, or was lost."""

    channel: str
    info: ClientInfo


class UnsubscribePush(NamedTuple):
    """The server has ended a subscription. The code is always written."""

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


class DisconnectPush(NamedTuple):
    """The connection ends. This message stands for the close frame that HTTP does not have."""

    code: int
    reason: str = ""


class RefreshPush(NamedTuple):
    """The server has extended the connection's lifetime."""

    expires: bool = False
    ttl: int = 0


Push = (
    PublicationPush
    | JoinPush
    | LeavePush
    | UnsubscribePush
    | MessagePush
    | SubscribePush
    | DisconnectPush
    | RefreshPush
)
