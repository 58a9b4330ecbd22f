"""What the user declared, and its types."""

from .feed import Feed
from .key import Key
from .naming import name_of, title
from .receipt import Receipt
from .statistics import WatchStatistics
from .stream import Intake, Overlap, Stream
from .topic import Handler, Topic
from .watched import Publication, Publisher, Watched

__all__ = [
    "Feed",
    "Handler",
    "Intake",
    "Key",
    "Overlap",
    "Publication",
    "Publisher",
    "Receipt",
    "Stream",
    "Topic",
    "WatchStatistics",
    "Watched",
    "name_of",
    "title",
]
