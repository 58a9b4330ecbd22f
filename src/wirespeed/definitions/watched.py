"""Definitions of feeds and topics, and the hubs of the apps that serve them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from inspect import Parameter
from typing import Any, ClassVar, Generic, Literal, NamedTuple, ParamSpec, TypeVar, cast

from pydantic import TypeAdapter

from ..codec import Decoder, adapter, has_serializer, plain_type
from ..errors import BindingError
from ..log.base import Entry, Marks
from ..log.kinds import LogKind
from ..log.position import Position
from ..log.record import Retention
from ..raw import RawJSON
from ..readback import reader
from .client import Client, ClientGroup
from .key import Key, OpenKey
from .receipt import Receipt
from .statistics import WatchStatistics
from .stream import Intake

P = ParamSpec("P")
T = TypeVar("T")

KeepOption = Literal["latest"] | int | timedelta
OnLag = Literal["close", "skip"]
RunOption = Literal["once", "each"]
AfterEnd = Literal["keep", "restart"]
HistoryOption = bool | Literal["resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedOptions:
    """Options of a feed or topic, as ``live.feed`` and ``live.topic`` take them."""

    keep: KeepOption
    by: str | None = None
    order_by: str | None = None
    replay: int = 0
    on_lag: OnLag | None = None
    max_rate: float | None = None
    retain: float | None
    presence: bool = False
    join_leave: bool = False
    deltas: bool = False
    after_end: AfterEnd = "keep"
    history: HistoryOption = True
    recheck: float | None = None
    grows: bool | str = False


class Seen(NamedTuple):
    """One entry, or the news of a table, as a loop of the app's own code sees it."""

    kind: bytes
    """``b"v"`` for a value, ``b"d"`` for a row that was removed, ``b"r"`` before a whole table."""
    payload: bytes
    row: bytes
    """Row as JSON; empty if the log has no rows."""


class AppHub(ABC):
    """The hub of an app, as far as feeds and topics use it."""

    @abstractmethod
    def publish(self, watched: "Watched[Any, Any]", key: str, value: Any, marks: Marks | None) -> Receipt:
        """Publish a valid value under the canonical spelling of a valid key, from any thread.

        Raises:
            BacklogFull: Too many publications wait.
        """

    @abstractmethod
    def complete(self, watched: "Watched[Any, Any]", key: str) -> Receipt:
        """Complete a valid key of a topic behind everything that was published before, from any thread.

        Raises:
            BacklogFull: Too many publications wait.
        """

    @abstractmethod
    async def entries(self, watched: "Watched[Any, Any]", key: str, values: Mapping[str, Any]) -> list[Entry]:
        """Return the entries that the log of a key holds.

        Args:
            values: The values of the key.

        Raises:
            NotLoaded: Its first values cannot be loaded.
            Exception: The loader has refused this.
        """

    @abstractmethod
    async def held(
        self, watched: "Watched[Any, Any]", key: str, values: Mapping[str, Any]
    ) -> tuple[list[Entry], Position]:
        """Return the entries that the log of a key holds, and its position; make the log if it does not exist.

        Raises as :meth:`entries` does, and:
            TooManyLogs: It needs a further log, and there is no room for one.
        """

    @abstractmethod
    def watch(self, watched: "Watched[Any, Any]", values: Mapping[str, Any]) -> AsyncGenerator[Seen, None]:
        """Watch a key, as long as the caller iterates; yield what comes."""

    @abstractmethod
    async def empty(self, watched: "Watched[Any, Any]", key: str) -> None:
        """Drop the entries that the log of a key holds; its watchers learn it."""

    @abstractmethod
    def keys(self, watched: "Watched[Any, Any]") -> list[Mapping[str, Any]]:
        """Return the keys that are live in this process, as the values of their parameters."""

    @abstractmethod
    async def all_keys(self, watched: "Watched[Any, Any]", timeout: float) -> list[Mapping[str, Any]]:
        """Return the keys that are live in any process that answers in time."""

    @abstractmethod
    def clients(self, watched: "Watched[Any, Any]", key: str) -> list[Client]:
        """Return the clients of multiplexed connections that watch a key."""

    @abstractmethod
    def all_clients(self, watched: "Watched[Any, Any]", key: str) -> ClientGroup:
        """Return the clients of multiplexed connections that watch a key, in all processes."""

    @abstractmethod
    def watching(self, watched: "Watched[Any, Any]") -> WatchStatistics:
        """Return the figures of a feed or topic in this app."""

    @abstractmethod
    def is_over(self) -> bool:
        """Return whether the app has stopped."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that handles the messages of a topic's watchers."""

    function: Callable[..., Any]
    parameter: str
    names: frozenset[str]
    message_type: Any
    decoder: Decoder[Any]
    synchronous: bool


@dataclass(frozen=True, slots=True)
class Loader:
    """A function of the key that returns or yields the first values of a topic's log."""

    function: Callable[..., Any]
    names: frozenset[str]
    """Names of the key's parameters that it takes."""
    synchronous: bool
    """True if it runs in a worker thread."""
    refuses: Callable[[BaseException], bool]
    """Returns True if an exception refuses clients on purpose."""


@dataclass(eq=False, kw_only=True)
class Watched(Generic[P, T]):
    """A feed or topic, as it was declared.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic does not know the type.
    """

    kind: ClassVar[str]
    handler: Handler | None = field(default=None, init=False)
    """Handler of the messages of watchers; None if messages are refused."""

    loader: Loader | None = field(default=None, init=False)
    """Loader of a log's first values; None if a log begins without values."""

    path: str
    title: str
    key: Key
    value_type: Any
    log_kind: LogKind
    options: WatchedOptions
    function: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.adapter: TypeAdapter[T] = adapter(self.value_type)
        self._is_read = plain_type(self.value_type) in (str, bytes) and has_serializer(self.value_type)
        """True if payloads are text or bytes, but not always the values themselves."""
        self._hubs: list[AppHub] = []

    @property
    def retention(self) -> Retention:
        """The entries that the logs retain, before an app bounds them."""
        return self.log_kind.retention

    @property
    def url_parameters(self) -> tuple[Parameter, ...]:
        """Parameters that are part of the URL: those of the key."""
        return self.key.parameters

    @property
    def intake(self) -> Intake:
        """Messages that a handler takes from a client."""
        return Intake.NOTHING if self.handler is None else Intake.EACH

    @property
    def message_type(self) -> Any:
        """Type of a message; None if messages are refused."""
        return None if self.handler is None else self.handler.message_type

    @property
    def is_binary(self) -> bool:
        """True if the values are bytes, which JSON cannot carry."""
        return plain_type(self.value_type) is bytes

    def key_of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the canonical spelling of the key of a call, and its values if a loader needs them.

        Raises:
            InvalidKey: An argument is missing, unknown or does not validate.
        """
        if self.loader is None:
            return self.key.text_of_call(args, kwargs), {}
        values = self.key.of_call(args, kwargs)
        return self.key.text(values), values

    def is_open(self) -> bool:
        """Return whether the path has parameters that no function has declared yet."""
        return isinstance(self.key, OpenKey)

    def check_complete(self) -> None:
        """Check that the key is declared.

        Raises:
            DeclarationError: The path has parameters that no function has declared.
        """
        if self.is_open():
            self.key.of_call((), {})

    def bind(self, hub: AppHub) -> None:
        """Add the hub of an app that serves this; a router that two apps include has two."""
        if hub not in self._hubs:
            self._hubs = [*(each for each in self._hubs if not each.is_over()), hub]

    def hubs(self) -> Sequence[AppHub]:
        """Return the hubs of the apps that serve this, at least one.

        Raises:
            DeclarationError: The path has parameters that no function has declared yet.
            BindingError: No running app serves this.
        """
        self.check_complete()
        if not self._hubs:
            raise BindingError(
                f"{self.title} belongs to no running app: include its LiveRouter in an app that has a Live, and use it "
                "only after the app has started (in tests: with TestClient(app))"
            )
        if len(self._hubs) > 1:  # a stopped app answers only if there is no other
            return [each for each in self._hubs if not each.is_over()] or self._hubs[:1]
        return self._hubs

    def value(self, payload: bytes) -> T:
        """Return the value of a payload, as :mod:`wirespeed.codec` encodes it."""
        kind = plain_type(self.value_type)
        if kind in (str, bytes, RawJSON):
            plain = payload.decode() if kind is str else kind(payload)
            return self.adapter.validate_python(plain) if self._is_read else cast("T", plain)
        return self._read(payload)

    @cached_property
    def _read(self) -> Callable[[bytes], T]:
        return reader(self.adapter)


@dataclass(eq=False, kw_only=True)
class FeedDefinition(Watched[P, T]):
    """A generator that runs once per key, shared by all watchers of the key."""

    kind = "feed"

    function: Callable[..., Any]
    synchronous: bool
    linger: float
    run: RunOption = "once"
    """With a broker: ``"once"`` if one process runs the generator of a key for all, ``"each"`` if each process does."""


@dataclass(eq=False, kw_only=True)
class TopicDefinition(Watched[P, T]):
    """A feed without a generator: application code publishes its values."""

    kind = "topic"
