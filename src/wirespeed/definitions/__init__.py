"""Definitions: streams, calls, feeds and topics as they were declared, and the types that go with them."""

from .client import Client, Reachable
from .connection import Connection
from .describe import Definition, Description, ParameterDescription, Placed, describe
from .handles import Feed, Publication, Topic
from .key import Key
from .naming import name_of, placeholders, title
from .receipt import Receipt, settle
from .statistics import WatchStatistics
from .stream import Call, Intake, Overlap, Stream
from .tagged import Tagged, split, untagged
from .watched import AppHub, FeedDefinition, Handler, KeepOption, OnLag, TopicDefinition, Watched, WatchedOptions

__all__ = [
    "AppHub",
    "Call",
    "Client",
    "Connection",
    "Definition",
    "Description",
    "Feed",
    "FeedDefinition",
    "Handler",
    "Intake",
    "KeepOption",
    "Key",
    "OnLag",
    "Overlap",
    "ParameterDescription",
    "Placed",
    "Publication",
    "Reachable",
    "Receipt",
    "Stream",
    "Tagged",
    "Topic",
    "TopicDefinition",
    "WatchStatistics",
    "Watched",
    "WatchedOptions",
    "describe",
    "name_of",
    "placeholders",
    "settle",
    "split",
    "title",
    "untagged",
]
