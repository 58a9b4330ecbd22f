"""Streams: generators that are run for one client at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Literal

from ..codec import Decoder, Encoder
from .naming import title

Overlap = Literal["queue", "replace"]


class Intake(Enum):
    """What a stream takes from its client, and so when it runs."""

    NOTHING = "nothing"
    """No messages: one run, from accept on."""
    EACH = "each"
    """One message for each run."""
    ALL = "all"
    """Duplex: one run, from accept on, that takes all messages."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An async or sync generator that is run for one client at a time.

    Args:
        path: Its path, as declared; routers may put a prefix before it.
        function: What the user decorated, unchanged.
        encoder: For what it yields.
        intake: What it takes.
        parameter: The name of the parameter that takes the message, or the iterator of messages.
        decoder: For its messages; None where it takes none.
        synchronous: Whether it runs in a worker thread.
        overlap: What a message does that comes during a run.
    """

    kind: ClassVar[str] = "stream"

    path: str
    function: Callable[..., Any]
    encoder: Encoder[Any]
    intake: Intake
    parameter: str | None
    decoder: Decoder[Any] | None
    synchronous: bool
    overlap: Overlap

    @property
    def title(self) -> str:
        """How errors and logs name it."""
        return title(self.kind, self.path, self.function)
