"""Calls: functions that take one message and give one value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..codec import Decoder, Encoder
from .naming import title
from .stream import Intake


@dataclass(frozen=True, slots=True)
class Call:
    """An async or sync function that is called once per message.

    Args:
        path: Its path, as declared; routers may put a prefix before it.
        function: What the user decorated, unchanged.
        encoder: For what it returns.
        parameter: The name of the parameter that takes the message; None if it takes none.
        decoder: For its messages; None where it takes none.
        synchronous: Whether it runs in a worker thread.
    """

    kind: ClassVar[str] = "call"

    path: str
    function: Callable[..., Any]
    encoder: Encoder[Any]
    parameter: str | None
    decoder: Decoder[Any] | None
    synchronous: bool

    @property
    def title(self) -> str:
        """How errors and logs name it."""
        return title(self.kind, self.path, self.function)

    @property
    def intake(self) -> Intake:
        """What it takes, and so when it is called."""
        return Intake.NOTHING if self.parameter is None else Intake.EACH
