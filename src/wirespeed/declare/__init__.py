"""From a function's signature to what is served, and to the endpoints that FastAPI gets for it."""

from .call import declare_call
from .dependencies import check_route
from .endpoints import definition_of
from .keeping import Keeping, KeepOption, OnLag
from .stream import Message, declare_stream
from .watched import Surfaces, declare_feed, declare_handler, declare_topic, endpoints, key_of

__all__ = [
    "KeepOption",
    "Keeping",
    "Message",
    "OnLag",
    "Surfaces",
    "check_route",
    "declare_call",
    "declare_feed",
    "declare_handler",
    "declare_stream",
    "declare_topic",
    "definition_of",
    "endpoints",
    "key_of",
]
