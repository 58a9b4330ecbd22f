"""Codecs turn the protocol's messages into bytes and back: the interface of both formats."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from .codes import BAD_PROTOCOL, Error, ProtocolError
from .messages import Command, JoinPush, LeavePush, Malformed, Pub, Push, Result

MAX_DEPTH = 32
"""Most levels of nested messages, such as the nodes of a filter."""

MAX_FIELDS = 5000
"""Most fields and elements of lists in one command. It is read in one turn of the event loop, within a few ms."""

PART = 5
"""Fields that a nested message, or an entry of a map, counts for: it takes as long to read."""


class Allowance:
    """The fields that a command may still have, while it is read."""

    __slots__ = ("_left",)

    def __init__(self, most: int = MAX_FIELDS) -> None:
        self._left = most

    def take(self, count: int = 1) -> None:
        """Count some fields.

        Raises:
            ProtocolError: There are too many.
        """
        self._left -= count
        if self._left < 0:
            raise bad("it has too many fields or elements")


class EmulationRequest(NamedTuple):
    """Commands in a request of their own, because their connection is an HTTP response."""

    session: str
    node: str
    data: str | bytes


class Codec(ABC):
    """One of the two formats. Its messages are self-delimited, so that any number of them can be joined."""

    name: ClassVar[str]
    opcode: ClassVar[int]
    """Opcode of the WebSocket messages that carry the format."""
    ping: ClassVar[bytes]
    """The server's ping."""

    @abstractmethod
    def commands(self, frame: str | bytes, most: int = MAX_FIELDS) -> Iterator[Command | Malformed]:
        """Yield the commands of a frame in order. A command with unreadable content is a ``Malformed``.

        Args:
            most: Most fields of one command, see :data:`MAX_FIELDS`; one with more is unreadable.

        Raises:
            ProtocolError: 3501: the next command has no readable id and is not a ``Send``, or cannot be separated from
                the rest. The commands before it were yielded.
        """

    @abstractmethod
    def count(self, frame: str | bytes) -> int:
        """Return the number of commands in a frame, at least 1, without reading them."""

    @abstractmethod
    def subscribes(self, frame: str | bytes) -> int:
        """Return the number of subscribes in a frame, without reading what is in them."""

    def reply(self, id_: int, result: Result) -> bytes:
        """Return the answer to a command."""
        return self.reply_of(id_, self.body(result))

    @abstractmethod
    def body(self, result: Result) -> bytes:
        """Return the part of an answer that is the same for all commands with this result."""

    @abstractmethod
    def reply_of(self, id_: int, body: bytes) -> bytes:
        """Return the answer to a command, with the body of its result."""

    @abstractmethod
    def error(self, id_: int, error: Error) -> bytes:
        """Return the answer to a command that was refused or failed."""

    @abstractmethod
    def push(self, push: Push) -> bytes:
        """Return a message that does not answer a command."""

    @abstractmethod
    def about(self, push: JoinPush | LeavePush) -> bytes:
        """Return the part of a push that is the same for all channels."""

    @abstractmethod
    def pushes(self, channel: str) -> Callable[[bytes], bytes]:
        """Return a fast encoder of pushes about a channel, each from its part that :meth:`about` returns."""

    @abstractmethod
    def publications(self, channel: str) -> Callable[[bytes, int], bytes]:
        """Return a fast encoder of plain publications. It makes a push of data and offset; 0 stands for no offset."""

    @abstractmethod
    def item(self, pub: Pub) -> bytes:
        """Return one of the publications in the reply to a subscribe."""

    @abstractmethod
    def frame(self, messages: bytes) -> bytes:
        """Return the payload of one WebSocket message for joined messages."""

    @abstractmethod
    def split(self, messages: bytes) -> list[bytes]:
        """Return the single messages of joined ones."""

    @abstractmethod
    def emulation(self, body: bytes) -> EmulationRequest:
        """Read a request that carries commands.

        Raises:
            ProtocolError: 3501: the request cannot be read.
        """


def bad(problem: str) -> ProtocolError:
    """Return the error of a codec for bytes that it cannot read."""
    return ProtocolError(BAD_PROTOCOL, problem)


def writable(text: str) -> str:
    """Return a text that every format can carry: half a surrogate pair becomes a question mark."""
    return text if text.isascii() else text.encode(errors="replace").decode()
