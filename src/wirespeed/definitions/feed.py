"""Feeds and topics: what many watch at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from ..codec import Decoder, plain_type
from ..errors import BindingError, InvalidValue
from ..log.base import Entry, Removed
from ..log.keep import Keep, Table
from ..log.position import Position
from .key import Key
from .receipt import Receipt

P = ParamSpec("P")
T = TypeVar("T")


class WatchStatistics(NamedTuple):
    """What one feed or topic does in this process, all of its keys together, and has done since its start."""

    keys: int
    """Keys that are live now."""
    watchers: int
    """Watchers of all of them now."""
    published: int
    """Values that came: yielded, or published."""
    delivered: int
    """Values written, to each watcher for itself."""
    skipped: int
    """Values that watchers were not sent, because a newer one stands for them."""
    lost: int
    """Values that fell off a log before a watcher had read them."""
    bytes: int
    """Bytes written."""
    flushes: int
    """Writes to a connection: one for many values, where many have gathered."""
    flush_time: float
    """Seconds spent on writing."""
    restarts: int
    """Times that a generator was started again after it had raised."""
    failed: int
    """Values that could not be encoded, and publications that failed."""
    producers: Mapping[str, int]
    """Generators by what they do: ``"running"``, ``"waiting"`` to be started again, ``"stopping"``; none for topics."""

    @classmethod
    def nothing(cls) -> "WatchStatistics":
        """Of what has not begun."""
        return cls(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0, {})


class Publication(NamedTuple, Generic[T]):
    """One entry of a log, as :meth:`Watched.history` gives it."""

    position: Position
    value: T


class Publisher(Protocol):
    """Who publishes what was declared: the hub of an app."""

    def publish(self, watched: "Watched[Any, Any]", key: str, value: Any) -> Receipt:
        """Publishes a valid value under a valid key, in its canonical spelling, from any thread."""

    async def entries(self, watched: "Watched[Any, Any]", key: str) -> list[Entry]:
        """What the log of a key holds."""

    def watching(self, watched: "Watched[Any, Any]") -> WatchStatistics:
        """What the watchers of something declared were given in this app."""


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
        self._publishers: list[Publisher] = []

    @property
    def title(self) -> str:
        """How errors and logs name it."""
        return self.what

    def __repr__(self) -> str:
        return f"<{self.what}>"

    def bind(self, publisher: Publisher) -> None:
        """Makes it known to the hub of an app; a router in two apps is known to both."""
        if publisher not in self._publishers:
            self._publishers.append(publisher)

    def unbind(self, publisher: Publisher) -> None:
        """The app is over."""
        if publisher in self._publishers:
            self._publishers.remove(publisher)

    def _bound(self) -> Sequence[Publisher]:
        if not self._publishers:
            raise BindingError(
                f"{self.what} belongs to no running app: include its LiveRouter in an app that has a Live, and use it "
                "from the app's startup on (in tests: with TestClient(app))"
            )
        return self._publishers

    def statistics(self) -> WatchStatistics:
        """What it does now and has done so far in this process; cheap enough to ask for often.

        Raises:
            BindingError: It belongs to no app.
        """
        return self._bound()[0].watching(self)

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
        """What :meth:`snapshot` gives, each value with its position.

        Args:
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            BindingError: It belongs to no running app.
            InvalidKey: The key does not validate.
        """
        held = await self._entries(args, kwargs)
        return [Publication(entry.position, self._value(entry.payload)) for entry in held]

    async def _entries(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Entry]:
        return await self._bound()[0].entries(self, self.key.text_of_call(args, kwargs))

    def _value(self, payload: bytes) -> T:
        """A value from its payload, as :mod:`wirespeed.codec` encodes it."""
        kind = plain_type(self.type)
        if kind in (str, bytes):
            return cast("T", payload.decode() if kind is str else payload)
        return self.adapter.validate_json(payload, by_alias=True, by_name=True)


class Feed(Watched[P, T]):
    """A generator that is run once, shared by all who watch it; made by ``@live.feed``.

    Args:
        function: The generator function.
        synchronous: Whether it runs in a worker thread.
        linger: Seconds for which it goes on after its last watcher has left.
        **declared: What :class:`Watched` takes.
    """

    kind = "feed"

    def __init__(
        self, function: Callable[..., Any], *args: Any, synchronous: bool, linger: float, **declared: Any
    ) -> None:
        super().__init__(*args, **declared)
        self.function = function
        self.synchronous = synchronous
        self.linger = linger


@dataclass(frozen=True, slots=True)
class Handler:
    """What a topic does with the messages of its watchers.

    Args:
        function: What is called for each message.
        parameter: The name of the parameter that takes it.
        names: The names of its other parameters.
        decoder: For the messages.
        synchronous: Whether it runs in a worker thread.
    """

    function: Callable[..., Any]
    parameter: str
    names: frozenset[str]
    decoder: Decoder[Any]
    synchronous: bool


class Topic(Watched[P, T]):
    """What code publishes to, and many watch; made by ``live.topic``."""

    kind = "topic"
    handler: Handler | None = None
    """Takes the messages of watchers; without one they are refused."""

    def publish(self, value: T, /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Publishes a value to all who watch a key. Never waits; from the event loop and from any thread.

        The value is handed over: do not change it afterwards.

        Args:
            value: The value.
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Returns:
            A receipt: await it, or ask for its ``result()`` in a thread, for the position; or leave it.

        Raises:
            InvalidValue: The value does not validate.
            InvalidKey: The key does not validate.
            BindingError: The topic belongs to no app.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        try:
            value = self.adapter.validate_python(value)
        except ValidationError as error:
            raise InvalidValue(self.what, error.errors(include_url=False)[0]) from None
        return self._publish(value, self.key.text_of_call(args, kwargs))

    def remove(self, row: object, /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Removes a row of a table; one that is not there stays so. Like :meth:`publish` in everything else.

        Args:
            row: The row's key: the value of its ``by`` field.
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            TypeError: It is no table: it was declared without ``by=``.
            InvalidKey: The key does not validate.
            BindingError: The topic belongs to no app.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        if not isinstance(self.keep, Table):
            raise TypeError(f"{self.what} is no table: declare it with by=")
        return self._publish(Removed(row), self.key.text_of_call(args, kwargs))

    def _publish(self, value: Any, key: str) -> Receipt:
        first, *others = self._bound()
        for publisher in others:
            publisher.publish(self, key, value)
        return first.publish(self, key, value)
