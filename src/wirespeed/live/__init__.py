"""``Live`` and ``LiveRouter``: the entrance for FastAPI developers."""

from .live import Live, LiveRouter
