"""From a function's signature to what is served, and to the endpoints that FastAPI gets for it."""

from .dependencies import check_route
from .stream import Message, declare_stream, definition_of

__all__ = ["Message", "check_route", "declare_stream", "definition_of"]
