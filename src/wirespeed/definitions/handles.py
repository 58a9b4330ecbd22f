"""Feeds and topics, as application code uses them."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeVar, cast, overload

from pydantic import ValidationError

from ..errors import InvalidValue
from ..identity import Sender
from ..log.base import Append, Entry, Marks, Removed
from ..log.position import Position
from ..raw import read_json
from .client import Client, ClientGroup
from .key import copied
from .receipt import Receipt
from .statistics import WatchStatistics
from .tagged import Tagged, checked
from .watched import P, Seen, T, TopicDefinition, Watched

Q = ParamSpec("Q")
OnMessage = TypeVar("OnMessage", bound=Callable[..., Any])

Loaded = (
    AsyncIterable[T]
    | AsyncIterable[Tagged[T]]
    | Awaitable[Iterable[T]]
    | Awaitable[Iterable[Tagged[T]]]
    | Iterable[T]
    | Iterable[Tagged[T]]
)
"""Values that a loader returns or yields."""

_NO_TAGS: Mapping[str, str] = {}


class Publication(NamedTuple, Generic[T]):
    """One entry of a log, as ``history()`` returns it."""

    position: Position
    value: T
    tags: Mapping[str, str] = MappingProxyType(_NO_TAGS)
    """Tags that were published with the value, see :class:`~wirespeed.Tagged`."""


class Publications(list[Publication[T]]):
    """The entries of a log, the oldest first, as ``history()`` returns them.

    Args:
        publications: The entries.
        position: Place of the newest entry in the log, or the place before the first one. A client that resumes from
            it receives everything that is published after.
    """

    def __init__(self, publications: Iterable[Publication[T]], position: Position) -> None:
        super().__init__(publications)
        self.position = position


class RowChange(NamedTuple, Generic[T]):
    """One change of a table, as ``changes()`` yields it."""

    kind: Literal["value", "removed", "reset"]
    """``"value"``: a row is new or has changed. ``"removed"``: a row was removed. ``"reset"``: removals are no longer
    known, because the loop was slow; forget all rows, the whole table follows."""
    row: Any = None
    """Key of the row in the types of JSON; None for a reset."""
    value: T | None = None
    """Value of the row; None unless there is one."""


_KINDS: Mapping[bytes, Literal["value", "removed", "reset"]] = {b"v": "value", b"d": "removed", b"r": "reset"}


class Watchable(Generic[P, T]):
    """The methods that feeds and topics have in common.

    Methods take the values of a key as positional or keyword arguments, as the parameters of the function declare them.
    They raise :class:`~wirespeed.InvalidKey` if a value is missing or does not validate. All methods raise
    :class:`~wirespeed.BindingError` if no app has this feed or topic, or the app has not started. Methods that return
    values first load those of a topic with a loader; they raise :class:`~wirespeed.NotLoaded` if that fails, or the
    ``HTTPException`` of the loader.
    """

    def __init__(self, definition: Watched[P, T]) -> None:
        self._definition = definition

    def __repr__(self) -> str:
        return f"<{self._definition.title}>"

    @property
    def path(self) -> str:
        """Path, as declared; routers may put a prefix before it."""
        return self._definition.path

    def statistics(self) -> WatchStatistics:
        """Return the current figures and the totals of this process; cheap enough to be called often."""
        return self._definition.hubs()[0].watching(self._definition)

    def keys(self) -> list[Mapping[str, Any]]:
        """Return the keys that are live in this process: those that are watched, and feeds that run.

        Each is a mapping of the parameters' names to their values, for ``topic.publish(value, **key)``.
        """
        return [copied(each) for each in self._definition.hubs()[0].keys(self._definition)]

    async def all_keys(self, timeout: float = 2.0) -> list[Mapping[str, Any]]:
        """Return the keys that are live in any process of the app, each once.

        Args:
            timeout: Seconds to wait for the answers of other processes. The keys of a process that does not answer are
                left out, and so are those of one process that exceed 1 MiB.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        found = await self._definition.hubs()[0].all_keys(self._definition, timeout)
        return [copied(each) for each in found]

    def clients(self, *args: P.args, **kwargs: P.kwargs) -> list[Client]:
        """Return the clients that watch a key over a multiplexed connection of this process."""
        definition = self._definition
        return definition.hubs()[0].clients(definition, definition.key.text_of_call(args, kwargs))

    def all_clients(self, *args: P.args, **kwargs: P.kwargs) -> ClientGroup:
        """Return the clients that watch a key over a multiplexed connection of any process.

        Each method of the group acts on those that watch the key at that moment.
        """
        definition = self._definition
        return definition.hubs()[0].all_clients(definition, definition.key.text_of_call(args, kwargs))

    def watch(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Watch a key inside the process: yield its values, as any watcher gets them, until the key is complete.

        The watch begins with the first step of the loop, and ends with the loop, or when the app stops. A feed's
        generator runs meanwhile. A loop that is slow skips to the newest value or falls behind, as ``keep`` says.

        Raises:
            WatchEnded: The generator refuses its watchers; or values of a log with ``on_lag="close"`` were lost: the
                loop was too slow, or the log was emptied or has begun again.
            Unavailable: The key cannot be watched now.
            TypeError: The feed or topic is a table; use :meth:`changes`.
        """
        if self._definition.retention.kind == "table":
            raise TypeError(f"{self._definition.title} is a table; use changes()")
        return self._values(self._seen(args, kwargs))

    async def _values(self, seen: AsyncGenerator[Seen, None]) -> AsyncGenerator[T, None]:
        async with aclosing(seen):
            async for each in seen:
                yield self._definition.value(each.payload)

    def changes(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[RowChange[T], None]:
        """Watch a table inside the process, as :meth:`watch` does: yield all rows, and then each change.

        A loop that is slow skips to the newest value of each row.

        Raises:
            TypeError: The feed or topic is not a table; use :meth:`watch`.
        """
        if self._definition.retention.kind != "table":
            raise TypeError(f"{self._definition.title} is not a table; use watch()")
        return self._changes(self._seen(args, kwargs))

    async def _changes(self, seen: AsyncGenerator[Seen, None]) -> AsyncGenerator[RowChange[T], None]:
        async with aclosing(seen):
            async for kind, payload, row in seen:
                value = self._definition.value(payload) if kind == b"v" else None
                yield RowChange(_KINDS[kind], json.loads(row) if row else None, value)

    def _seen(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AsyncGenerator[Seen, None]:
        definition = self._definition
        return definition.hubs()[0].watch(definition, definition.key.of_call(args, kwargs))

    async def latest(self, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return the newest value of a key; None if there is none."""
        held = await self._entries(args, kwargs)
        newest = max(held, key=lambda entry: entry.position.offset, default=None)  # a table may have another order
        return None if newest is None else self._definition.value(newest.payload)

    async def snapshot(self, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Return the values that a key's log holds, the oldest first: the newest, the last ones, or a table's rows."""
        return [self._definition.value(entry.payload) for entry in await self._entries(args, kwargs)]

    async def history(self, *args: P.args, **kwargs: P.kwargs) -> Publications[T]:
        """Return what :meth:`snapshot` does, each value with its position and tags, and the position of the log.

        A log that does not exist is created, so that its position is known.

        Raises:
            TooManyLogs: It needs a further log, and there is no room for one.
        """
        definition = self._definition
        held, position = await definition.hubs()[0].held(definition, *definition.key_of_call(args, kwargs))
        return Publications(map(self._publication, held), position)

    def _publication(self, entry: Entry) -> Publication[T]:
        tags = dict(entry.marks.tags) if entry.marks is not None else {}  # the caller's own
        return Publication(entry.position, self._definition.value(entry.payload), tags)

    async def _entries(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Entry]:
        definition = self._definition
        return await definition.hubs()[0].entries(definition, *definition.key_of_call(args, kwargs))


class Feed(Watchable[P, T]):
    """A generator that runs once per key, shared by everyone who watches the key; made by ``@live.feed``."""

    @property
    def function(self) -> Callable[..., Any]:
        """Generator function, as it was decorated."""
        assert self._definition.function is not None
        return self._definition.function


class Topic(Watchable[P, T]):
    """A feed without a generator: application code publishes its values; made by ``live.topic``.

    Args:
        definition: The topic, as declared.
        take_key: Takes the function that declares the topic's key.
        take_handler: Takes the function that handles the messages of watchers.
        take_loader: Takes the function that loads the first values of a log.
    """

    def __init__(
        self,
        definition: TopicDefinition[P, T],
        take_key: Callable[[Callable[..., Any]], None],
        take_handler: Callable[[Callable[..., Any]], None],
        take_loader: Callable[[Callable[..., Any]], None],
    ) -> None:
        super().__init__(definition)
        self._take_key = take_key
        self._take_handler = take_handler
        self._take_loader = take_loader

    def __call__(self, function: Callable[Q, object]) -> "Topic[Q, T]":
        """Declare the key by the parameters of a function, which is never called; used as a decorator.

        Raises:
            DeclarationError: The parameters cannot be a key.
        """
        self._take_key(function)
        return cast("Topic[Q, T]", self)

    def on_message(self, function: OnMessage) -> OnMessage:
        """Handle the messages of watchers with a function; used as a decorator. Without it, messages are refused.

        The message is the parameter that FastAPI would treat as the body, as in a stream. All other parameters, and
        ``Depends``, are resolved once, when the client connects. The messages of one client are handled one after the
        other.

        Raises:
            DeclarationError: The function takes no message, or more than one.
        """
        self._take_handler(function)
        return function

    def load(self, function: Callable[P, Loaded[T]]) -> Callable[P, Loaded[T]]:
        """Load the first values of each key's log with a function; used as a decorator.

        The function takes the values of the key and returns or yields the values that are stored, the oldest first. It
        runs before the first watcher, GET or ``history()`` of the key sees anything, once for all of them, and in one
        process for all. Values that are published meanwhile follow its values. What was published before it began is
        dropped, since the function has to return that: store a value first, then publish it. A plain ``def`` runs in a
        worker thread.

        If it raises, these requests are refused, and the next one tries again; an ``HTTPException`` keeps its status.
        It runs again after the log was dropped: ``retain`` seconds after its last use, or earlier where room is needed.

        Raises:
            DeclarationError: The function takes other arguments than the key, or the topic has a loader.
        """
        self._take_loader(function)
        return function

    def publish(self, value: T | Tagged[T], /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Publish a value to all watchers of a key, from any thread; never waits.

        The value may change afterwards: its state is taken now.

        Args:
            value: The value, or ``Tagged(value, tags)``.

        Returns:
            A receipt. To get the position, await it, or call its ``result()`` in a thread.

        Raises:
            InvalidValue: The value does not validate, or its tags are not a mapping of text to text.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        return self._publish(*valid(self._definition, value), self._definition.key.text_of_call(args, kwargs))

    def publish_as(self, sender: Sender, value: T | Tagged[T], /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Publish a value on behalf of a client, as :meth:`publish` does; watchers of multiplexed connections see it.

        Args:
            sender: The client, as the dependency ``current_sender`` returns it. A sender without the id of a
                connection, such as that of a raw WebSocket, is not shown.
            value: The value, or ``Tagged(value, tags)``.

        Raises:
            InvalidValue: The value does not validate, or its tags are not a mapping of text to text.
            ValueError: The information in the sender is not JSON.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        shown = sender if sender.client else None
        for info in (sender.info, sender.channel_info):
            if info:  # it is written to watchers as it is
                read_json(info)
        return self._publish(*valid(self._definition, value, shown), self._definition.key.text_of_call(args, kwargs))

    @overload
    def append(self, text: str, /, *args: P.args, **kwargs: P.kwargs) -> Receipt: ...

    @overload
    def append(self, row: object, text: str, /, *args: P.args, **kwargs: P.kwargs) -> Receipt: ...

    def append(self, first: object, /, *args: Any, **kwargs: Any) -> Receipt:
        """Append text to the value of a key, or to a row of a table, as :meth:`publish` publishes a value.

        Watchers get what was appended, and Wirespeed's own clients show the whole. Where there is no value, the text
        begins it.

        Args:
            row: In a table only, the row's key: the value of its ``by`` field.
            text: The text to append.

        Raises:
            TypeError: Nothing of the topic grows; declare it with ``grows=``. Or the text is not a ``str``.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        definition = self._definition
        if definition.options.grows is False and definition.log_kind.values.grow is None:
            raise TypeError(f"{definition.title} does not grow; declare it with grows=")
        row: object = None
        if definition.retention.kind == "table":
            row, (first, *args) = first, args or (None,)  # type: ignore[assignment]
        if not isinstance(first, str):
            raise TypeError(f"{definition.title} grows by text, not by {first!r:.100}")
        piece = definition.log_kind.values.state(Append(first, row))
        return self._publish(piece, None, definition.key.text_of_call(tuple(args), kwargs))

    def remove(self, row: object, /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Remove a row of a table, as :meth:`publish` publishes a value; nothing changes if there is no such row.

        Args:
            row: The row's key: the value of its ``by`` field.

        Raises:
            TypeError: The topic is not a table; declare it with ``by=``.
        """
        if self._definition.retention.kind != "table":
            raise TypeError(f"{self._definition.title} is not a table; declare it with by=")
        return self._publish(Removed(row), None, self._definition.key.text_of_call(args, kwargs))

    def complete(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Complete a key, behind everything that was published to it before, from any thread; never waits.

        Watchers get the values that they have not received, and then learn that the key is complete. The values stay
        for the topic's ``retain`` seconds: until then, a client that comes gets them and the completion, and what is
        published fails with :class:`~wirespeed.TopicComplete`. Completing a key again changes nothing.

        Returns:
            A receipt, whose position is that of the last value.

        Raises:
            BacklogFull: Too many publications wait for the event loop.
        """
        definition, key = self._definition, self._definition.key.text_of_call(args, kwargs)
        first, *others = definition.hubs()
        for hub in others:
            hub.complete(definition, key)
        return first.complete(definition, key)

    async def clear(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Drop everything that the log of a key holds, in all processes; its watchers learn it.

        Watchers of a table get a reset, and those of a log with ``keep=N`` a report of a loss. Watchers of a log of the
        newest value keep what they have. Values that are published meanwhile may be dropped or not. A key that was
        complete takes values again.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        definition = self._definition
        for hub in definition.hubs():
            await hub.empty(definition, definition.key.text_of_call(args, kwargs))

    def _publish(self, value: Any, marks: Marks | None, key: str) -> Receipt:
        definition = self._definition
        hubs = definition.hubs()
        if len(hubs) > 1:
            for hub in hubs[1:]:
                hub.publish(definition, key, value, marks)
        return hubs[0].publish(definition, key, value, marks)


def watched_of(handle: Watchable[Any, Any]) -> Watched[Any, Any]:
    """Return the definition of a feed or topic."""
    return handle._definition


def key_of(watched: Watched[Any, Any], key: object) -> str:
    """Return the canonical spelling of a key that is given as one value, a tuple, or a dict by names.

    Raises:
        InvalidKey: It is not valid.
    """
    if isinstance(key, Mapping):
        return watched.key.text_of_call((), key)
    return watched.key.text_of_call(key if isinstance(key, tuple) else (key,), {})


def valid(definition: Watched[Any, Any], value: object, sender: Sender | None = None) -> tuple[Any, Marks | None]:
    """Return a value of a topic as its type has validated it, and the data that travels beside it.

    Raises:
        InvalidValue: The value does not validate, or its tags are not a mapping of text to text.
    """
    given: Any = value
    tags = _NO_TAGS
    if type(given) is Tagged:
        given, tags = given.value, _tags(definition, given.tags)
    try:
        checked_value: Any = definition.adapter.validate_python(given)
    except ValidationError as error:
        raise InvalidValue(definition.title, error.errors(include_url=False)[0]) from None
    return checked_value, Marks(tags, sender) if tags or sender is not None else None


def _tags(definition: Watched[Any, Any], tags: object) -> Mapping[str, str]:
    try:
        return checked(tags)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise InvalidValue(definition.title, {**detail, "loc": ("tags", *detail["loc"])}) from None
