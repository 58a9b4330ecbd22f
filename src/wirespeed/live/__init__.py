"""``Live`` and ``LiveRouter``: the entrance for FastAPI developers."""

from .console import Console
from .live import Live, LiveRouter
