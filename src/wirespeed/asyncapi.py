"""The AsyncAPI document of an app, which the app also serves at ``/live/asyncapi.json``."""

from .live.documents import document as document

__all__ = ["document"]
