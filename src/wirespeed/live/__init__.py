"""What a FastAPI developer holds in hand."""

from .live import Live, LiveRouter

__all__ = ["Live", "LiveRouter"]
