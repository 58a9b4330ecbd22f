"""Topics: what code publishes to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from pydantic import ValidationError

from ..codec import Decoder
from ..errors import InvalidValue
from ..identity import Sender
from ..log.base import Marks, Removed
from ..log.keep import Table
from .receipt import Receipt
from .tagged import Tagged, checked
from .watched import P, T, Watched

Q = ParamSpec("Q")
OnMessage = TypeVar("OnMessage", bound=Callable[..., Any])

_NO_TAGS: Mapping[str, str] = {}


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


class Declarable(Protocol):
    """Where a topic is declared, and more may become known of it."""

    def take_key(self, function: Callable[..., Any]) -> None:
        """A function says what its key is."""

    def take_handler(self, topic: "Topic[..., Any]", function: Callable[..., Any]) -> None:
        """A function takes the messages of its watchers."""


class Topic(Watched[P, T]):
    """What code publishes to, and many watch; made by ``live.topic``.

    Args:
        is_open: Whether its path has parameters, which a function has to declare yet.
        **declared: What :class:`Watched` takes.
    """

    kind = "topic"
    handler: Handler | None = None
    """Takes the messages of watchers; without one they are refused."""

    def __init__(self, *args: Any, is_open: bool, **declared: Any) -> None:
        super().__init__(*args, **declared)
        self._is_open = is_open
        self._place: Declarable | None = None

    def is_open(self) -> bool:
        return self._is_open and not self.key

    def attach(self, place: Declarable) -> None:
        """Says where it is declared."""
        self._place = place

    def __call__(self, function: Callable[Q, object]) -> "Topic[Q, T]":
        """As a decorator: a function says what the key is; it is never called.

        Raises:
            DeclarationError: The function cannot name a key.
        """
        assert self._place is not None
        self._place.take_key(function)
        return cast("Topic[Q, T]", self)

    def on_message(self, function: OnMessage) -> OnMessage:
        """As a decorator: a function takes the messages that watchers send; without one they are refused.

        The message is the parameter that FastAPI would take for the body, as in a stream. All other parameters, and
        ``Depends``, are resolved once, when the client connects. Messages of one client come one after the other.

        Raises:
            DeclarationError: The function takes no message, or more than one.
        """
        assert self._place is not None
        self._place.take_handler(self, function)
        return function

    def publish(self, value: T | Tagged[T], /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Publishes a value to all who watch a key. Never waits; from the event loop and from any thread.

        The state of the value is taken now: it may be changed afterwards.

        Args:
            value: The value, or ``Tagged(value, tags)``.
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Returns:
            A receipt: await it, or ask for its ``result()`` in a thread, for the position; or leave it.

        Raises:
            InvalidValue: The value does not validate, or its tags are not of text.
            InvalidKey: The key does not validate.
            BindingError: The topic belongs to no app.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        return self._publish(*self._valid(value, None), self.key.text_of_call(args, kwargs))

    def publish_as(self, sender: Sender, value: T | Tagged[T], /, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Publish a value on behalf of a client: watchers on multiplexed connections see who it is.

        Nothing else makes a publication a client's, wherever the code runs. Like :meth:`publish` in everything else.

        Args:
            sender: The client, as the dependency ``current_sender`` gives it; one without a connection's id, such as
                that of a raw WebSocket, is not told.
            value: The value, or ``Tagged(value, tags)``.
            args: The key, as the parameters of the function declare it.
            kwargs: The key.

        Raises:
            InvalidValue: The value does not validate, or its tags are not of text.
            InvalidKey: The key does not validate.
            BindingError: The topic belongs to no app.
            BacklogFull: Too many publications wait for the event loop or the broker.
        """
        known = sender if sender.client else None
        return self._publish(*self._valid(value, known), self.key.text_of_call(args, kwargs))

    def _valid(self, value: object, sender: Sender | None) -> tuple[Any, Marks | None]:
        given: Any = value
        tags: Mapping[str, str] = _NO_TAGS
        if type(given) is Tagged:
            given, tags = given.value, self._tags(given.tags)
        try:
            valid: Any = self.adapter.validate_python(given)
        except ValidationError as error:
            raise InvalidValue(self.what, error.errors(include_url=False)[0]) from None
        return valid, Marks(tags, sender) if tags or sender is not None else None

    def _tags(self, tags: object) -> Mapping[str, str]:
        try:
            return checked(tags)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            raise InvalidValue(self.what, {**detail, "loc": ("tags", *detail["loc"])}) from None

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
        return self._publish(Removed(row), None, self.key.text_of_call(args, kwargs))

    def _publish(self, value: Any, marks: Marks | None, key: str) -> Receipt:
        publishers = self._bound()
        if len(publishers) > 1:
            for each in publishers[1:]:
                each.publish(self, key, value, marks)
        return publishers[0].publish(self, key, value, marks)
