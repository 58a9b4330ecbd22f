"""From a function's signature to a feed or topic, and to the endpoints that FastAPI gets for it.

A feed's generator runs once for all watchers of a key, so its parameters are the key and nothing else. Anything that
belongs to one watcher, such as its user, goes into ``dependencies=``.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import Parameter
from typing import Any, get_args

from fastapi import params
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import decoder
from ..definitions import (
    FeedDefinition,
    Handler,
    Intake,
    Key,
    Loader,
    OpenKey,
    RunOption,
    TopicDefinition,
    Watched,
    WatchedOptions,
    has_appends,
    has_snapshots,
    placeholders,
    split,
    title,
    untagged,
    whole,
)
from ..errors import DeclarationError
from ..log.base import Append
from ..log.kinds import LogKind, Values
from .dependencies import check_guards
from .endpoints import Declared, Serve, built, check_path, endpoint_of
from .keeping import is_number, log_kind_of
from .signature import Signature, plain_function


def declare_feed(
    path: str,
    function: Callable[..., Any],
    options: WatchedOptions,
    *,
    linger: float,
    dependencies: Sequence[params.Depends],
    run: RunOption = "once",
) -> FeedDefinition[..., Any]:
    """Make a feed of a generator function.

    Raises:
        DeclarationError: The function cannot be a feed; the text says what to write instead.
    """
    what = title(FeedDefinition.kind, path, function)
    check_path(what, path)
    signature = Signature(what, function)
    yielded, synchronous = signature.yields()
    value_type = untagged(yielded)
    _check_values(what, yielded, value_type, options)
    if not is_number(linger) or linger == math.inf:
        raise DeclarationError(what, "linger must be a number of seconds, 0 or more")
    if run not in get_args(RunOption):
        raise DeclarationError(what, "run must be 'once' or 'each'")
    check_guards(what, path, dependencies)
    kind = built(what, lambda type_: log_kind_of(what, type_, options), value_type, "what it yields")
    return FeedDefinition(
        path=path,
        title=what,
        key=_key(what, path, signature),
        value_type=value_type,
        log_kind=kind if value_type is yielded else LogKind(kind.retention, _with_others(kind.values, yielded)),
        options=options,
        function=function,
        synchronous=synchronous,
        linger=linger,
        run=run,
    )


def _check_values(what: str, yielded: Any, value_type: Any, options: WatchedOptions) -> None:
    """Make sure that the options allow what a feed yields beside its values.

    Raises:
        DeclarationError: They do not.
    """
    if has_appends(yielded) and (options.grows is False or value_type is Append):
        problem = (
            "it yields Append: declare grows=True, and yield str | Append; or in a table, grows='text', for example"
        )
        raise DeclarationError(what, problem)
    if has_snapshots(yielded) and options.by is None:
        problem = "it yields Snapshot, which is a whole table: name the field of a row's key with by="
        raise DeclarationError(what, problem)


def _with_others(values: Values, yielded: Any) -> Values:
    """Return the way of values of which some have tags, or are whole tables."""
    return replace(values, split=split, whole=whole if has_snapshots(yielded) else None)


def declare_topic(
    path: str, type_: Any, options: WatchedOptions, *, dependencies: Sequence[params.Depends]
) -> TopicDefinition[..., Any]:
    """Make a topic; its key may be declared later, see :func:`declare_key`.

    Raises:
        DeclarationError: The arguments do not fit together; the text says what to write instead.
    """
    what = f"topic {path!r}"
    check_path(what, path)
    check_guards(what, path, dependencies)
    return TopicDefinition(
        path=path,
        title=what,
        key=OpenKey(what) if placeholders(path) else Key(what),
        value_type=type_,
        log_kind=built(what, lambda each: log_kind_of(what, each, options), type_, "its values"),
        options=options,
    )


def declare_key(topic: Watched[Any, Any], function: Callable[..., Any]) -> None:
    """Give a topic the key that the parameters of a function declare.

    Raises:
        DeclarationError: The parameters cannot be a key; the text says what to write instead.
    """
    what = title(topic.kind, topic.path, function)
    topic.key = _key(what, topic.path, Signature(what, function))
    topic.title, topic.function = what, function


def declare_handler(topic: Watched[Any, Any], function: Callable[..., Any]) -> tuple[Handler, list[Parameter]]:
    """Make a function the handler of a topic's messages.

    Returns:
        The handler, and the parameters that FastAPI resolves for it.

    Raises:
        DeclarationError: The function cannot be a handler; the text says what to write instead.
    """
    what = title(f"the handler of {topic.title}", topic.path, function)
    signature = Signature(what, function)
    if inspect.isasyncgenfunction(plain_function(function)) or inspect.isgeneratorfunction(plain_function(function)):
        raise DeclarationError(what, "it yields, and a handler answers nothing: publish to the topic instead")
    intake, parameter, message_type = signature.message(topic.path, synchronous=False)
    if intake is not Intake.EACH or parameter is None:
        raise DeclarationError(what, "it takes no message: add a parameter of a model, or Annotated[str, Message()]")
    others = signature.parameters_without(parameter)
    handler = Handler(
        function=function,
        parameter=parameter,
        names=frozenset(each.name for each in others),
        message_type=message_type,
        decoder=built(what, decoder, message_type, f"the message {parameter!r}"),
        synchronous=not any(map(inspect.iscoroutinefunction, (function, plain_function(function)))),
    )
    return handler, others


def declare_loader(topic: Watched[Any, Any], function: Callable[..., Any]) -> Loader:
    """Make a function the loader of a topic's first values.

    Raises:
        DeclarationError: The function cannot be a loader; the text says what to write instead.
    """
    what = title(f"the loader of {topic.title}", topic.path, function)
    if topic.loader is not None:
        raise DeclarationError(what, "the topic has a loader already")
    if topic.is_open():
        raise DeclarationError(what, "the topic's key is not declared yet; declare it above the loader")
    plain = plain_function(function)
    names = {each.name for each in Signature(what, function).parameters_without(None)}
    for name in sorted(names - topic.key.names):
        raise DeclarationError(
            what,
            f"{name!r} is not part of the topic's key. The loader runs once for all watchers, without a request: open "
            "what it needs, such as a database session, inside of it",
        )
    is_async = any(map(inspect.iscoroutinefunction, (function, plain))) or inspect.isasyncgenfunction(plain)
    return Loader(function, frozenset(names), not is_async, _refuses)


def _refuses(error: BaseException) -> bool:
    return isinstance(error, HTTPException) and error.status_code in range(400, 600) and hasattr(error, "detail")


def endpoints(
    watched: Watched[Any, Any],
    more: Sequence[Parameter],
    serve: Serve[WebSocket, Watched[Any, Any], None],
    get: Serve[Request, Watched[Any, Any], Response] | None,
) -> Declared[Watched[Any, Any]]:
    """Make the endpoints that FastAPI calls for WebSockets and for GET."""
    key = watched.key.parameters
    others = [each for each in more if each.name not in watched.key.names]
    endpoint = endpoint_of(WebSocket, watched, [*key, *others], serve)
    return Declared(watched, endpoint, None if get is None else endpoint_of(Request, watched, key, get))


def _key(what: str, path: str, signature: Signature) -> Key:
    parameters = signature.parameters_without(None)
    names, of_key = ({each.name for each in some} for some in (parameters, signature.url_parameters(path, None)))
    for name in (each.name for each in parameters if each.name not in of_key):
        raise DeclarationError(
            what,
            f"{name!r} is neither a path nor a query parameter. One run serves all watchers, so its parameters are its "
            "key and nothing else; what belongs to one watcher goes into dependencies=[Depends(...)]",
        )
    missing = [name for name in placeholders(path) if name not in names]
    if missing:
        raise DeclarationError(what, f"its path has {{{missing[0]}}}: add a parameter {missing[0]!r} with its type")
    return built(what, lambda _: Key(what, parameters), None, "its key")
