"""From a function's signature to what is served, and to the endpoints that FastAPI gets for it."""

from .dependencies import check_route
from .endpoints import definition_of
from .keeping import Keeping, KeepOption, OnLag
from .stream import Message, declare_stream
from .watched import declare_feed, declare_handler, declare_topic

__all__ = [
    "KeepOption",
    "Keeping",
    "Message",
    "OnLag",
    "check_route",
    "declare_feed",
    "declare_handler",
    "declare_stream",
    "declare_topic",
    "definition_of",
]
