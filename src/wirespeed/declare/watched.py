"""From a function's signature to a feed or topic, and to the endpoints that FastAPI gets for it.

A feed's generator is run once for all who watch it, so its parameters are its key, and nothing else: what belongs to
one watcher, such as who it is, goes into ``dependencies=``.
"""

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter
from typing import Any

from fastapi import params
from fastapi.dependencies.models import Dependant
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import decoder
from ..definitions import Feed, Handler, Intake, Key, Topic, Watched, split, title, untagged
from ..errors import DeclarationError
from .dependencies import check_guards
from .endpoints import built, check_path, hidden, named
from .keeping import Keeping
from .signature import Signature, plain_function

ServeWatcher = Callable[[WebSocket, Watched[Any, Any], Mapping[str, Any]], Awaitable[None]]
"""Serves one WebSocket, once FastAPI has resolved the key."""

Get = Callable[[Request, Watched[Any, Any], Mapping[str, Any]], Awaitable[Response]]
"""Answers one GET, once FastAPI has resolved the key."""

_PLACEHOLDER = re.compile(r"{([^}:]*)(?::[^}]*)?}")


@dataclass(frozen=True, slots=True)
class Surfaces:
    """Who serves what is declared."""

    serve: ServeWatcher
    get: Get | None


@dataclass(frozen=True, slots=True)
class DeclaredWatched:
    """A feed or topic, and the endpoints that FastAPI gets for it."""

    watched: Watched[Any, Any]
    endpoint: Callable[..., Awaitable[None]]
    get: Callable[..., Awaitable[Response]] | None


def declare_feed(
    path: str,
    function: Callable[..., Any],
    keeping: Keeping,
    *,
    linger: float,
    dependencies: Sequence[params.Depends],
) -> Feed[..., Any]:
    """Makes a feed of a generator function.

    Args:
        path: Its path.
        function: The generator function: async or sync.
        keeping: What its logs hold.
        linger: Seconds for which a generator goes on without watchers.
        dependencies: What guards each watcher.

    Raises:
        DeclarationError: It cannot work as declared; the text says what to write instead.
    """
    what = title("feed", path, function)
    check_path(what, path)
    signature = Signature(what, function)
    yielded, synchronous = signature.yields()
    item = untagged(yielded)
    if not (math.isfinite(linger) and linger >= 0):
        raise DeclarationError(what, "linger is a number of seconds, 0 or more")
    check_guards(what, path, dependencies)
    kept = _kept(what, item, keeping, "what it yields")
    if item is not yielded:
        kept["keep"] = replace(kept["keep"], split=split)
    return Feed(
        function,
        path,
        what,
        _key(what, path, signature),
        built(what, lambda type_: type_, item, "what it yields"),
        synchronous=synchronous,
        linger=linger,
        **kept,
    )


def declare_topic(
    path: str,
    type_: Any,
    keeping: Keeping,
    *,
    dependencies: Sequence[params.Depends],
) -> Topic[..., Any]:
    """Makes a topic without a key, as yet.

    Args:
        path: Its path.
        type_: The type of its values.
        keeping: What its logs hold.
        dependencies: What guards each watcher.

    Raises:
        DeclarationError: It cannot work as declared; the text says what to write instead.
    """
    what = f"topic {path!r}"
    check_path(what, path)
    check_guards(what, path, dependencies)
    is_open = bool(_PLACEHOLDER.search(path))
    kept = _kept(what, type_, keeping, "its values")
    return Topic(path, what, Key(what), type_, is_open=is_open, **kept)


def key_of(watched: Watched[Any, Any], function: Callable[..., Any]) -> tuple[str, Key]:
    """The key that a function gives a topic, and how errors name the topic from then on.

    Raises:
        DeclarationError: It cannot be a key; the text says what to write instead.
    """
    what = title(watched.kind, watched.path, function)
    return what, _key(what, watched.path, Signature(what, function))


def declare_handler(topic: Topic[..., Any], function: Callable[..., Any]) -> tuple[Handler, list[Parameter]]:
    """Makes a function the handler of a topic's messages.

    Args:
        topic: The topic.
        function: Takes one message; coroutine functions and plain ones.

    Returns:
        The handler, and the parameters that FastAPI is to resolve for it.

    Raises:
        DeclarationError: It cannot work; the text says what to write instead.
    """
    what = title(f"the handler of {topic.what}", topic.path, function)
    signature = Signature(what, function)
    if inspect.isasyncgenfunction(plain_function(function)) or inspect.isgeneratorfunction(plain_function(function)):
        raise DeclarationError(what, "it yields, and a handler answers nothing: publish to the topic instead")
    intake, parameter, message = signature.message(topic.path, synchronous=False)
    if intake is not Intake.EACH or parameter is None:
        raise DeclarationError(what, "it takes no message: add a parameter of a model, or Annotated[str, Message()]")
    others = signature.parameters_without(parameter)
    decode = built(what, decoder, message, f"the message {parameter!r}")
    synchronous = not any(map(inspect.iscoroutinefunction, (function, plain_function(function))))
    return Handler(function, parameter, frozenset(each.name for each in others), decode, synchronous), others


def endpoints(
    watched: Watched[..., Any], function: Any, more: Sequence[Parameter], surfaces: Surfaces
) -> DeclaredWatched:
    """What FastAPI calls for WebSockets, and for GET.

    Args:
        watched: The feed or topic.
        function: Gives the endpoints their names and docs; None for a topic without.
        more: What FastAPI resolves beside the key, on WebSockets.
        surfaces: Who serves.
    """

    async def endpoint(**arguments: Any) -> None:
        await surfaces.serve(arguments.pop(hidden(WebSocket).name), watched, arguments)

    key = watched.key.parameters
    others = [each for each in more if each.name not in watched.key.names]
    named(endpoint, watched, function, [*key, *others, hidden(WebSocket)])
    if (answer := surfaces.get) is None:
        return DeclaredWatched(watched, endpoint, None)

    async def get(**arguments: Any) -> Response:
        return await answer(arguments.pop(hidden(Request).name), watched, arguments)

    named(get, watched, function, [*key, hidden(Request)])
    return DeclaredWatched(watched, endpoint, get)


def _kept(what: str, type_: Any, keeping: Keeping, place: str) -> dict[str, Any]:
    return {
        "keep": built(what, lambda each: keeping.checked(what, each), type_, place),
        "max_rate": keeping.max_rate,
        "replay": keeping.replay,
        "on_lag": keeping.on_lag or "close",
        "presence": keeping.presence,
        "join_leave": keeping.join_leave,
        "deltas": keeping.deltas,
    }


def _key(what: str, path: str, signature: Signature) -> Key:
    parameters = signature.parameters_without(None)
    dependant = signature.dependant(path)
    for name in (each.name for each in parameters):
        if not _is_of_key(dependant, name):
            raise DeclarationError(
                what,
                f"{name!r} is neither a path nor a query parameter. One run is for all who watch, so its parameters "
                "are its key and nothing else; what belongs to one watcher goes into dependencies=[Depends(...)]",
            )
    names = {each.name for each in parameters}
    missing = [name for name in _PLACEHOLDER.findall(path) if name not in names]
    if missing:
        raise DeclarationError(what, f"its path has {{{missing[0]}}}: add a parameter {missing[0]!r} with its type")
    return built(what, lambda _: Key(what, parameters), None, "its key")


def _is_of_key(dependant: Dependant, name: str) -> bool:
    return any(field.name == name for field in (*dependant.path_params, *dependant.query_params))
