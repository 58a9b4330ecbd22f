"""The hub: what the connections of one app share, and what joins logs, watchers, lanes and the broker."""

from .hub import Hub, Session, Statistics

__all__ = ["Hub", "Session", "Statistics"]
