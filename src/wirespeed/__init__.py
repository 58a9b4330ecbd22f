"""Live, fast-changing data from a FastAPI backend to everything that watches it, at the speed of the wire."""

import logging as _logging

from .declare import Message
from .definitions import (
    BrokerHealth,
    Client,
    ClientGroup,
    Connection,
    Feed,
    ListedClient,
    LoopLag,
    Publication,
    Publications,
    Receipt,
    Revocation,
    RowChange,
    RunStatistics,
    Snapshot,
    Tagged,
    Topic,
    WatchStatistics,
)
from .errors import (
    BacklogFull,
    BindingError,
    BrokerDown,
    BrokerFull,
    BrokerRefused,
    DeclarationError,
    InvalidKey,
    InvalidToken,
    InvalidValue,
    LogFull,
    NoSuchRow,
    NotLoaded,
    SourceError,
    Stopped,
    TokenExpired,
    TokensUnavailable,
    TooManyLogs,
    TopicComplete,
    Unavailable,
    WatchEnded,
    WirespeedError,
)
from .hub import ClusterStatistics, Statistics
from .identity import Grant, Identity, Sender
from .live import Console, Live, LiveRouter
from .live.identity import current_identity, current_sender, identify, is_subscribed, required_grant
from .log.base import Append
from .log.position import Position
from .printable import PrintableFilter as _PrintableFilter
from .publisher import Publisher
from .raw import RawJSON
from .settings import Settings
from .surfaces.authenticator import Authenticator

_logging.getLogger("wirespeed").addFilter(_PrintableFilter())

__all__ = [
    "Append",
    "Authenticator",
    "BacklogFull",
    "BindingError",
    "BrokerDown",
    "BrokerFull",
    "BrokerHealth",
    "BrokerRefused",
    "Client",
    "ClientGroup",
    "ClusterStatistics",
    "Connection",
    "Console",
    "DeclarationError",
    "Feed",
    "Grant",
    "Identity",
    "InvalidKey",
    "InvalidToken",
    "InvalidValue",
    "ListedClient",
    "Live",
    "LiveRouter",
    "LogFull",
    "LoopLag",
    "Message",
    "NoSuchRow",
    "NotLoaded",
    "Position",
    "Publication",
    "Publications",
    "Publisher",
    "RawJSON",
    "Receipt",
    "Revocation",
    "RowChange",
    "RunStatistics",
    "Sender",
    "Settings",
    "Snapshot",
    "SourceError",
    "Statistics",
    "Stopped",
    "Tagged",
    "TokenExpired",
    "TokensUnavailable",
    "TooManyLogs",
    "Topic",
    "TopicComplete",
    "Unavailable",
    "WatchEnded",
    "WatchStatistics",
    "WirespeedError",
    "current_identity",
    "current_sender",
    "identify",
    "is_subscribed",
    "required_grant",
]
