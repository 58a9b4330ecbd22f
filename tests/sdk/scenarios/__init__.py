"""Scenarios that every SDK must pass, by topic; a test module subclasses these and provides their stage."""

from .bursts import Bursts
from .channels import Channels
from .connections import Connections, ServerSide
from .expiry import Expiry
from .javascript import Javascript
from .recovery import Recovery
from .restart import all_come_back
from .streams import Streams
from .subscriptions import Subscriptions

__all__ = [
    "Bursts",
    "Channels",
    "Connections",
    "Expiry",
    "Javascript",
    "Recovery",
    "ServerSide",
    "Streams",
    "Subscriptions",
    "all_come_back",
]
