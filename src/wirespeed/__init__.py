"""Live, fast-changing data from a FastAPI backend to everything that watches it, at the speed of the wire."""

from .declare import Message
from .definitions import Feed, Publication, Receipt, Topic, WatchStatistics
from .errors import (
    BacklogFull,
    BindingError,
    DeclarationError,
    InvalidKey,
    InvalidValue,
    LogFull,
    Stopped,
    TooManyLogs,
    WirespeedError,
)
from .hub import Statistics
from .live import Live, LiveRouter
from .log.position import Position
from .settings import Settings

__all__ = [
    "BacklogFull",
    "BindingError",
    "DeclarationError",
    "Feed",
    "InvalidKey",
    "InvalidValue",
    "Live",
    "LiveRouter",
    "LogFull",
    "Message",
    "Position",
    "Publication",
    "Receipt",
    "Settings",
    "Statistics",
    "Stopped",
    "TooManyLogs",
    "Topic",
    "WatchStatistics",
    "WirespeedError",
]
