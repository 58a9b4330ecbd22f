"""What the user declared, and its types."""

from .call import Call
from .client import Client
from .connection import Connection
from .feed import Feed
from .key import Key
from .naming import name_of, title
from .receipt import Receipt
from .statistics import WatchStatistics
from .stream import Intake, Overlap, Stream
from .tagged import Tagged, split, untagged
from .topic import Handler, Topic
from .watched import Publication, Publisher, Watched

__all__ = [
    "Call",
    "Client",
    "Connection",
    "Feed",
    "Handler",
    "Intake",
    "Key",
    "Overlap",
    "Publication",
    "Publisher",
    "Receipt",
    "Stream",
    "Tagged",
    "Topic",
    "WatchStatistics",
    "Watched",
    "name_of",
    "split",
    "title",
    "untagged",
]
