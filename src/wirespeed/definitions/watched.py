"""What many watch at once, and who publishes it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from pydantic import TypeAdapter

from ..codec import plain_type
from ..errors import BindingError, DeclarationError
from ..log.base import Entry, Marks
from ..log.keep import Keep
from ..log.position import Position
from .client import Client
from .key import Key
from .receipt import Receipt
from .statistics import WatchStatistics

P = ParamSpec("P")
T = TypeVar("T")


class Publication(NamedTuple, Generic[T]):
    """One entry of a log, as :meth:`Watched.history` gives it."""

    position: Position
    value: T
    tags: Mapping[str, str] = MappingProxyType({})
    """What was published beside it, as :class:`~wirespeed.Tagged`."""


class Publisher(Protocol):
    """Who publishes what was declared: the hub of an app."""

    def publish(self, watched: "Watched[Any, Any]", key: str, value: Any, marks: Marks | None) -> Receipt:
        """Publishes a valid value under a valid key, in its canonical spelling, from any thread."""

    async def entries(self, watched: "Watched[Any, Any]", key: str) -> list[Entry]:
        """What the log of a key holds."""

    def clients(self, watched: "Watched[Any, Any]", key: str) -> list[Client]:
        """The clients that watch a key, and can be reached."""

    def watching(self, watched: "Watched[Any, Any]") -> WatchStatistics:
        """What the watchers of something declared were given in this app."""

    def is_over(self) -> bool:
        """Whether the app has stopped."""


class Watched(Generic[P, T]):
    """What many watch at once: a feed or a topic.

    Args:
        path: Its path, as declared; routers may put a prefix before it.
        what: How errors and logs name it.
        key: Its key.
        type_: The type of its values.
        keep: What its logs hold.
        max_rate: How often per second its watchers are given news; None for as soon as there is some.
        replay: How many of the last entries a new watcher gets.
        on_lag: Whether a watcher that has lost entries is closed, or told and goes on.
        presence: Whether clients may ask who is there.
        join_leave: Whether clients are told who comes and goes.
        deltas: Whether clients may ask for publications as deltas.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic does not know the type.
    """

    kind: str

    def __init__(
        self,
        path: str,
        what: str,
        key: Key,
        type_: Any,
        *,
        keep: Keep,
        max_rate: float | None,
        replay: int,
        on_lag: str,
        presence: bool = False,
        join_leave: bool = False,
        deltas: bool = False,
    ) -> None:
        self.path = path
        self.what = what
        self.key = key
        self.type = type_
        self.adapter: TypeAdapter[T] = TypeAdapter(type_)
        self.keep = keep
        self.max_rate = max_rate
        self.replay = replay
        self.on_lag = on_lag
        self.presence = presence
        self.join_leave = join_leave
        self.deltas = deltas
        self._publishers: list[Publisher] = []

    @property
    def title(self) -> str:
        """How errors and logs name it."""
        return self.what

    def __repr__(self) -> str:
        return f"<{self.what}>"

    @property
    def is_binary(self) -> bool:
        """Whether its values are bytes, which JSON cannot carry."""
        return plain_type(self.type) is bytes

    def is_open(self) -> bool:
        """Whether its path has parameters, which nothing has declared yet."""
        return False

    def bind(self, publisher: Publisher) -> None:
        """Makes it known to the hub of an app; a router in two apps is known to both."""
        if publisher not in self._publishers:
            self._publishers = [*(each for each in self._publishers if not each.is_over()), publisher]

    def _bound(self) -> Sequence[Publisher]:
        if self.is_open():
            problem = "its path has parameters: make it decorate a function that says what they are"
            raise DeclarationError(self.what, problem)
        if not self._publishers:
            raise BindingError(
                f"{self.what} belongs to no running app: include its LiveRouter in an app that has a Live, and use it "
                "from the app's startup on (in tests: with TestClient(app))"
            )
        if len(self._publishers) > 1:  # an app that has stopped speaks only where there is no other
            return [each for each in self._publishers if not each.is_over()] or self._publishers[:1]
        return self._publishers

    def statistics(self) -> WatchStatistics:
        """What it does now and has done so far in this process; cheap enough to ask for often.

        Raises:
            BindingError: It belongs to no app.
        """
        return self._bound()[0].watching(self)

    def clients(self, *args: P.args, **kwargs: P.kwargs) -> list[Client]:
        """The clients that watch a key over the multiplexed surface of this process; others cannot be reached.

        Args:
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            BindingError: It belongs to no running app.
            InvalidKey: The key does not validate.
        """
        return self._bound()[0].clients(self, self.key.text_of_call(args, kwargs))

    async def latest(self, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The newest value of a key; None if there is none.

        Args:
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            BindingError: It belongs to no running app.
            InvalidKey: The key does not validate.
        """
        held = await self._entries(args, kwargs)
        return self._value(held[-1].payload) if held else None

    async def snapshot(self, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """The values that a log holds: the newest, all rows of a table, or the last entries, the oldest first.

        Args:
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            BindingError: It belongs to no running app.
            InvalidKey: The key does not validate.
        """
        return [self._value(entry.payload) for entry in await self._entries(args, kwargs)]

    async def history(self, *args: P.args, **kwargs: P.kwargs) -> list[Publication[T]]:
        """What :meth:`snapshot` gives, each value with its position and tags.

        Args:
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            BindingError: It belongs to no running app.
            InvalidKey: The key does not validate.
        """
        held = await self._entries(args, kwargs)
        return [Publication(entry.position, self._value(entry.payload), _tags(entry.marks)) for entry in held]

    async def _entries(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Entry]:
        return await self._bound()[0].entries(self, self.key.text_of_call(args, kwargs))

    def _value(self, payload: bytes) -> T:
        """A value from its payload, as :mod:`wirespeed.codec` encodes it."""
        kind = plain_type(self.type)
        if kind in (str, bytes):
            return cast("T", payload.decode() if kind is str else payload)
        return self.adapter.validate_json(payload, by_alias=True, by_name=True)


def _tags(marks: Marks | None) -> dict[str, str]:
    return {} if marks is None else dict(marks.tags)
