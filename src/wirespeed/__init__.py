"""Live, fast-changing data from a FastAPI backend to everything that watches it, at the speed of the wire.

The names below are imported when they are first used: the Python client and the command line need neither FastAPI nor
the server's side, and start several times faster without them.
"""

import importlib as _importlib
import logging as _logging
from typing import TYPE_CHECKING

from .printable import PrintableFilter as _PrintableFilter

if TYPE_CHECKING:
    from .declare import Message
    from .definitions import (
        BrokerHealth,
        Client,
        ClientGroup,
        Connection,
        Feed,
        Histogram,
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
    "Histogram",
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

_PLACES = {
    "declare": "Message",
    "definitions": (
        "BrokerHealth Client ClientGroup Connection Feed Histogram ListedClient LoopLag Publication "
        "Publications Receipt Revocation RowChange RunStatistics Snapshot Tagged Topic "
        "WatchStatistics"
    ),
    "errors": (
        "BacklogFull BindingError BrokerDown BrokerFull BrokerRefused DeclarationError InvalidKey "
        "InvalidToken InvalidValue LogFull NoSuchRow NotLoaded SourceError Stopped TokenExpired "
        "TokensUnavailable TooManyLogs TopicComplete Unavailable WatchEnded WirespeedError"
    ),
    "hub": "ClusterStatistics Statistics",
    "identity": "Grant Identity Sender",
    "live": "Console Live LiveRouter",
    "live.identity": "current_identity current_sender identify is_subscribed required_grant",
    "log.base": "Append",
    "log.position": "Position",
    "publisher": "Publisher",
    "raw": "RawJSON",
    "settings": "Settings",
    "surfaces.authenticator": "Authenticator",
}
"""The public names of each module."""

if not TYPE_CHECKING:  # type checkers read the imports above, and report a name that does not exist

    def __getattr__(name):
        """Import a public name when it is first used."""
        if name in _PLACES:  # a module, as wirespeed.errors
            return _importlib.import_module(f"{__name__}.{name}")
        for place, names in _PLACES.items():
            if name in names.split():
                found = getattr(_importlib.import_module(f"{__name__}.{place}"), name)
                globals()[name] = found
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
