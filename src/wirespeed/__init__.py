"""Live, fast-changing data from a FastAPI backend to everything that watches it, at the speed of the wire."""

from .declare import Message
from .errors import BindingError, DeclarationError, WirespeedError
from .hub import Statistics
from .live import Live, LiveRouter
from .settings import Settings

__all__ = [
    "BindingError",
    "DeclarationError",
    "Live",
    "LiveRouter",
    "Message",
    "Settings",
    "Statistics",
    "WirespeedError",
]
