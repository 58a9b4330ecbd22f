"""What a client has sent and the server has not done yet, as it came."""

from collections.abc import Iterator
from sys import getsizeof

from ...centrifuge.messages import Command, Subscribe
from ...centrifuge.peer import Peer


class Held:
    """Frames that wait; each is read command by command, and only when these can be done.

    Args:
        session: The protocol's state, which knows which commands are in order.
    """

    __slots__ = ("_again", "_commands", "_frames", "_session", "size")

    def __init__(self, session: Peer) -> None:
        self._session = session
        self._frames: list[str | bytes] = []
        self._commands: Iterator[Command] | None = None
        self._again: list[Command] = []
        self.size = 0
        """Bytes of memory that the frames take."""

    def __len__(self) -> int:
        return len(self._frames) + len(self._again)

    def put(self, frame: str | bytes) -> None:
        """Add a frame."""
        self._frames.append(frame)
        self.size += getsizeof(frame)

    def put_back(self, commands: list[Command]) -> None:
        """Add commands that were taken and have had to wait: they come before all others."""
        self._again[:0] = commands

    def next(self) -> Command | None:
        """Take the next command that is in order; None if none waits.

        Raises:
            ProtocolError: The client broke the protocol.
        """
        while self._again:
            command = self._again.pop(0)
            if not isinstance(command, Subscribe) or self._session.admits(command):
                return command
        while self._frames:
            if self._commands is None:
                self._commands = self._session.receive(self._frames[0])
            following = next(self._commands, None)
            if following is not None:
                return following
            self._commands = None
            self.size -= getsizeof(self._frames.pop(0))
        return None

    def clear(self) -> None:
        """Forget what waits."""
        self._frames.clear()
        self._again.clear()
        self._commands = None
        self.size = 0
