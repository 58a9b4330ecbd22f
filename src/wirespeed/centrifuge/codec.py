"""Between the protocol's messages and bytes: what both formats have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from .codes import BAD_PROTOCOL, Error, ProtocolError
from .messages import Command, Malformed, Pub, Push, Result

MAX_DEPTH = 32
"""Of a tags filter."""


class EmulationRequest(NamedTuple):
    """Commands that come beside their connection.

    Args:
        session: The connection's.
        node: The process that has it.
        data: The commands, a frame for :meth:`Codec.commands`.
    """

    session: str
    node: str
    data: str | bytes


class Codec(ABC):
    """One of the two formats. What it makes are self-delimited messages: any number of them may be joined."""

    name: ClassVar[str]
    opcode: ClassVar[int]
    """Of the WebSocket messages that carry it."""
    ping: ClassVar[bytes]
    """The server's ping."""

    @abstractmethod
    def commands(self, frame: str | bytes) -> Iterator[Command | Malformed]:
        """Yield the commands of a frame in order; a command whose content is unreadable as ``Malformed``.

        Raises:
            ProtocolError: 3501, the next command has no readable id and is not a ``Send``, or cannot be separated from
                the rest. The commands before it stand.
        """

    @abstractmethod
    def count(self, frame: str | bytes) -> int:
        """Return the number of commands in a frame, at least 1, without reading them."""

    @abstractmethod
    def reply(self, id_: int, result: Result) -> bytes:
        """The answer to a command."""

    @abstractmethod
    def error(self, id_: int, error: Error) -> bytes:
        """The answer to a command that was not done."""

    @abstractmethod
    def push(self, push: Push) -> bytes:
        """News that nobody asked for."""

    @abstractmethod
    def publications(self, channel: str) -> Callable[[bytes, int], bytes]:
        """A fast encoder of plain publications: data and offset, 0 for none, to a push."""

    @abstractmethod
    def item(self, pub: Pub) -> bytes:
        """One of the publications in a reply to a subscribe."""

    @abstractmethod
    def frame(self, messages: bytes) -> bytes:
        """The payload of one WebSocket message for joined messages."""

    @abstractmethod
    def split(self, messages: bytes) -> list[bytes]:
        """Joined messages one by one."""

    @abstractmethod
    def emulation(self, body: bytes) -> EmulationRequest:
        """Reads a request that brings commands beside their connection.

        Raises:
            ProtocolError: 3501, it cannot be read.
        """


def bad(problem: str) -> ProtocolError:
    """What a codec raises for anything that it cannot read."""
    return ProtocolError(BAD_PROTOCOL, problem)


def writable(text: str) -> str:
    """Return a text that every format can carry: half of a surrogate pair becomes a question mark."""
    return text if text.isascii() else text.encode(errors="replace").decode()
