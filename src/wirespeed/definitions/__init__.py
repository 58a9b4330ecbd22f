"""What the user declared, and its types."""

from .feed import Feed, Handler, Publisher, Topic, Watched
from .key import Key
from .naming import name_of, title
from .stream import Intake, Overlap, Stream

__all__ = ["Feed", "Handler", "Intake", "Key", "Overlap", "Publisher", "Stream", "Topic", "Watched", "name_of", "title"]
