"""What every broker does."""

from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Self

from ..log.base import Log
from ..log.keep import Keep
from ..log.position import Position


class Broker(ABC):
    """Carries what is published under a name to the log of that name, in every process that has it open.

    Within one life of a log, an epoch, entries are numbered without a gap, and in every process alike. All methods are
    called in the event loop in which the broker was entered.
    """

    is_local: ClassVar[bool] = False
    """Whether values are in their log when :meth:`publish` returns. Other brokers are given states, which may wait."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def publish(self, name: str, keep: Keep, value: Any) -> Position | Future[Position]:
        """Hands a value over, and never waits.

        What one caller publishes under a name keeps its order, and each value enters the log at most once: wholly, or,
        if this raises, not at all. A log that nobody has open is made, and kept as ``keep`` says. The removal of a row
        that a table does not have changes nothing, and gives the position of the head, as ``Unchanged``.

        Args:
            name: Whose log it is.
            keep: What the log retains; the same for every call with this name.
            value: The value, which is the log's from now on, or ``Removed``.

        Returns:
            Where the value is in the log, or, if only others can tell, the promise of it.

        Raises:
            LogFull: It is a further row, and the table takes no more.
            TooManyLogs: It would need a further log, and there is no room for one.
            Exception: What the encoder raises, where values are encoded when they are published.
        """

    def publisher(self, name: str, keep: Keep) -> Callable[[Any], object]:
        """A function that publishes under one name, with all that :meth:`publish` promises.

        For those who publish without end, and do not ask for positions; it may be used as long as the name is open.
        """
        return partial(self.publish, name, keep)

    @abstractmethod
    async def open(self, name: str, keep: Keep, on_news: Callable[[], None]) -> Log:
        """The log of a name: with all that is retained, and from now on with all that anyone publishes.

        Entries come in order, each once, with no gap between what was retained and what is new. The broker keeps the
        log; the caller reads it, until it calls :meth:`close`.

        Args:
            name: Whose log it is.
            keep: What the log retains.
            on_news: Called in the loop after each append.

        Raises:
            ValueError: This broker has it open already.
            TooManyLogs: It would need a further log, and there is no room for one.
        """

    @abstractmethod
    def close(self, name: str) -> None:
        """Ends what :meth:`open` began: ``on_news`` is not called any more.

        The log may go ``retain`` seconds after the last close and the last publication, or sooner where room is
        needed; one without entries may go at once. Opened before, it goes on in the same epoch. Closing what is not
        open does nothing.
        """

    @abstractmethod
    async def history(self, name: str, keep: Keep) -> Log | None:
        """The log of a name as it is, without what is too old, and without opening it; ``None`` if there is none.

        It is for reading at once: later it may, or may not, have gone on.
        """

    @abstractmethod
    def end(self, name: str) -> None:
        """Ends the life of a log: what is retained is dropped, and the next publication or open begins a new epoch.

        Raises:
            ValueError: This broker has it open.
        """
