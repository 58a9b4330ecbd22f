"""Definitions with their arguments: what a client watches or calls if it can import the app's code."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from pydantic import TypeAdapter, ValidationError

from ..definitions import AddressForm, Definition, Intake, Watchable, Watched, watched_of, written
from ..definitions.key import plain_parameter
from ..errors import InvalidKey
from ..raw import RawJSON
from ..spelling import Unspellable, spelled

P = ParamSpec("P")
T = TypeVar("T")


class InvalidArgument(InvalidKey):
    """An argument that is not part of a key: a message, or a parameter of a stream or call."""

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Bound(Generic[T]):
    """A feed, topic, stream or call with its arguments; :func:`bind` makes it."""

    path: str
    """Path with its parameters filled in, and its query."""
    type: Any
    """Type of the values, or of the rows of a table."""
    definition: Definition | None = None
    """The definition; None for a path."""
    message: Any = None
    """Message of a run or call."""
    messages: AsyncIterable[Any] | None = None
    """Further messages of a duplex stream."""

    @property
    def kind(self) -> str | None:
        """``"feed"``, ``"topic"``, ``"stream"`` or ``"call"``; None for a path."""
        return None if self.definition is None else self.definition.kind

    @property
    def is_table(self) -> bool:
        """True if the values are the changes of rows."""
        return isinstance(self.definition, Watched) and self.definition.retention.kind == "table"


@overload
def bind(definition: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Bound[T]: ...


@overload
def bind(definition: Callable[P, AsyncIterable[T] | Iterator[T]], /, *args: P.args, **kwargs: P.kwargs) -> Bound[T]: ...


@overload
def bind(definition: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Bound[T]: ...


@overload
def bind(definition: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Bound[T]: ...


def bind(definition: Any, /, *args: Any, **kwargs: Any) -> Bound[Any]:
    """Return a feed, topic, stream or call of an app with its arguments, to be watched or called with options.

    ::

        async for price in watch(url, bind(price, symbol="BTC"), newest=True):
            ...

    Args:
        definition: The feed or topic, or the function of the stream or call.
        *args: The values of the key, or the message and the path and query parameters, as the function declares them.
        **kwargs: The same by name.

    Raises:
        BindingError: No app in this process has the definition, or has it at several paths.
        InvalidKey: An argument is missing, unknown or does not validate.
    """
    # A script that only has paths does not load FastAPI, which this needs.
    from ..live.inventory import place_of

    if isinstance(definition, Watchable):
        placed = place_of(watched_of(definition))
        watched = cast("Watched[Any, Any]", placed.definition)
        watched.key.of_call(args, kwargs)  # all that is required is there
        given = watched.key.given(args, kwargs)
        address = _address(placed.path, watched, given, watched.key.plain(given))
        return Bound(address, watched.value_type, watched)
    if not callable(definition):
        raise TypeError(f"{definition!r} is not a feed, topic, stream or call; pass its path, or the definition itself")
    placed = place_of(definition)
    return _of_function(placed.path, placed.definition, definition, args, kwargs)


def asked(
    target: Any, args: tuple[Any, ...], given: Mapping[str, Any], options: frozenset[str]
) -> tuple[Bound[Any], dict[str, Any]]:
    """Return what the arguments of a method name, and its options.

    A path may have a type behind it, and a path and a :class:`Bound` have options; behind a definition come its own
    arguments.

    Raises:
        TypeError: There is no such option.
    """
    if not isinstance(target, (str, Bound)):
        return bind(target, *args, **given), {}
    types = [*args, *([given["type"]] if "type" in given else [])]
    if len(types) > isinstance(target, str):
        raise TypeError(f"{len(types)} arguments are too many: behind a path comes one type, and nothing behind bind()")
    if unknown := given.keys() - options - {"type"}:
        raise TypeError(f"there is no option {min(unknown)!r}")
    bound = Bound(target, types[0] if types else Any) if isinstance(target, str) else target
    return bound, {name: each for name, each in given.items() if name != "type"}


def _of_function(
    path: str, definition: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Bound[Any]:
    """Return a stream or call with its arguments."""
    title = definition.title
    try:
        arguments = dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except TypeError as error:
        raise InvalidArgument(title, str(error)) from None
    message, messages = None, None
    if definition.intake is Intake.EACH:
        if definition.parameter not in arguments:
            raise InvalidArgument(title, f"missing a required argument: {definition.parameter!r}")
        message = _valid(title, definition.parameter, definition.message_type, arguments.pop(definition.parameter))
    elif definition.intake is Intake.ALL:
        messages = _all_valid(title, definition, _as_async(arguments.pop(definition.parameter, ())))
    of_url = {each.name: plain_parameter(each) for each in definition.url_parameters}
    if others := arguments.keys() - of_url.keys():
        raise InvalidArgument(title, f"{min(others)!r} is not for clients to pass: the server resolves it")
    for name, parameter in of_url.items():
        if parameter.default is Parameter.empty and name not in arguments:
            raise InvalidArgument(title, f"missing a required argument: {name!r}")
    adapters = {name: TypeAdapter[Any](of_url[name].annotation) for name in arguments}
    valid = {name: _validated(title, name, adapters[name], value) for name, value in arguments.items()}
    plain = {name: written(adapters[name], value) for name, value in valid.items()}
    address = _address(path, definition, valid, plain)
    return Bound(address, definition.value_type, definition, message, messages)


def checked_message(bound: Bound[Any], message: Any) -> Any:
    """Return a message for the handler of a topic, validated if the topic is known.

    Raises:
        InvalidKey: It does not validate.
        TypeError: The topic takes no messages.
    """
    if bound.definition is None:
        return message
    if bound.definition.intake is Intake.NOTHING:
        raise TypeError(f"{bound.definition.title} takes no messages: it has no handler")
    return _valid(bound.definition.title, "message", bound.definition.message_type, message)


def _valid(title: str, name: str, type_: Any, value: Any) -> Any:
    """Return a message in the types of JSON, as its type has validated it."""
    return value if type(value) in (RawJSON, bytes) else _plain(title, name, type_, value)


async def _all_valid(title: str, definition: Definition, messages: AsyncIterable[Any]) -> AsyncIterator[Any]:
    async for each in messages:
        yield _valid(title, "message", definition.message_type, each)


def _plain(title: str, name: str, type_: Any, value: Any) -> Any:
    adapter = TypeAdapter[Any](type_)
    return written(adapter, _validated(title, name, adapter, value))


def _validated(title: str, name: str, adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, (name, *first["loc"])))
        raise InvalidArgument(title, f"{place}={first['input']!r:.100}: {first['msg']}") from None


def _address(path: str, definition: Definition, given: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    """Return the address of a definition with validated values, which are also given in the types of JSON.

    Raises:
        InvalidKey: The server would read another value there: an address cannot say None, for example.
    """
    from ..declare import arguments_of, dependant_of_url

    addresses, title = AddressForm(path, definition.url_parameters), definition.title
    address = addresses.of(plain)
    parts = addresses.split(address)
    if not given or parts is None:
        return address
    error = InvalidKey if isinstance(definition, Watched) else InvalidArgument
    dependant = dependant_of_url(title, path, definition.url_parameters)
    try:
        read = arguments_of(title, dependant, given.keys(), *parts)
    except InvalidKey as refused:
        raise error(title, f"{address} does not lead there: {refused.problem}") from None
    for name, value in given.items():
        if not _is_same(read[name], value):
            problem = f"{name}={value!r:.100} cannot be said in an address, where it is read as {read[name]!r:.100}"
            raise error(title, problem)
    return address


def _is_same(one: object, other: object) -> bool:
    try:
        return spelled(one) == spelled(other)
    except Unspellable:  # a stream takes values that cannot be compared
        return True


def _as_async(messages: Any) -> AsyncIterable[Any]:
    return messages if isinstance(messages, AsyncIterable) else _one_by_one(messages)


async def _one_by_one(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for each in messages:
        yield each
