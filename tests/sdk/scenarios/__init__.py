"""What holds for every SDK, by what it is about; a test module subclasses these and says on what stage they play."""

from .channels import Channels
from .connections import Connections, ServerSide
from .recovery import Recovery
from .streams import Streams
from .subscriptions import Subscriptions

__all__ = ["Channels", "Connections", "Recovery", "ServerSide", "Streams", "Subscriptions"]
