"""What carries the frames of a connection, as the connection sees it."""

from typing import Protocol

from ...centrifuge.codes import Disconnect
from ...lanes.lane import Lane


class Transport(Protocol):
    """What carries the frames of one connection."""

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""

    def leave(self, disconnect: Disconnect) -> None:
        """Closes the connection, soon, after all that was written."""


class Gone:
    """The transport of a connection that has ended.

    Args:
        lane: Its lane.
    """

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def leave(self, disconnect: Disconnect) -> None:
        """It has left."""
