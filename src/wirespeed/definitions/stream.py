"""Definitions of streams and calls, which run for one client at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter
from typing import Any, ClassVar, Literal

from ..codec import Decoder, Encoder
from .naming import title

Overlap = Literal["queue", "replace"]


class Intake(Enum):
    """Messages that a run takes from its client, which decide when it starts."""

    NOTHING = "nothing"
    """No messages: one run, which starts when the connection is accepted."""
    EACH = "each"
    """One message per run."""
    ALL = "all"
    """All messages: one duplex run, which starts when the connection is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TakesMessages:
    """A function that runs for one client at a time.

    Args:
        parameter: The name of the parameter that takes the message, or the iterator of messages; None if none does.
    """

    kind: ClassVar[str]

    path: str
    function: Callable[..., Any]
    url_parameters: tuple[Parameter, ...] = ()
    value_type: Any
    encoder: Encoder[Any]
    intake: Intake
    parameter: str | None
    message_type: Any
    decoder: Decoder[Any] | None
    synchronous: bool

    @property
    def declared(self) -> "TakesMessages":
        """The stream or call as the app has declared it: the one that is counted."""
        return self

    @property
    def title(self) -> str:
        """Name in errors and logs."""
        return title(self.kind, self.path, self.function)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream(TakesMessages):
    """A generator that yields many values."""

    kind: ClassVar[str] = "stream"

    overlap: Overlap = "queue"
    recheck: float | None = None
    resume: float | None = None
    """Seconds that a run stays after its connection was lost; None if it ends with the connection."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call(TakesMessages):
    """A function that returns one value per message."""

    kind: ClassVar[str] = "call"
