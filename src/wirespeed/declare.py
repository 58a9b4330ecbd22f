"""From a function's signature to a stream and to the endpoint that FastAPI gets for it.

FastAPI's own machinery says which parameter is what: what it would call the body is the message. The endpoint has the
function's signature without the message, so that FastAPI resolves everything else as it always does.
"""

import functools
import inspect
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin

from fastapi import UploadFile, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import FastAPIError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from starlette.websockets import WebSocket

from .codec import decoder, encoder, plain_type
from .definitions import Intake, Overlap, Stream, name_of, title
from .errors import DeclarationError

_ASYNC_KINDS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_SYNC_KINDS = (Iterator, Iterable, Generator)
_HIDDEN = "wirespeed_websocket"

Serve = Callable[[WebSocket, Stream, Mapping[str, Any]], Awaitable[None]]
"""Serves one client, once FastAPI has resolved the arguments."""


class Message(params.Body):  # type: ignore[misc]  # FastAPI's own Body does as much with Pydantic's FieldInfo
    """Marks the parameter that takes a client's message, for types that FastAPI would not take for a body.

    ``text: Annotated[str, Message()]`` takes text messages, ``data: Annotated[bytes, Message()]`` binary ones. It takes
    the constraints that ``Body`` takes: ``Message(max_length=100)``.
    """


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream and the endpoint that FastAPI gets for it."""

    stream: Stream
    endpoint: Callable[..., Awaitable[None]]


def declare_stream(
    path: str,
    function: Callable[..., Any],
    serve: Serve,
    *,
    overlap: Overlap = "queue",
    dependencies: Sequence[params.Depends] = (),
) -> Declared:
    """Makes a stream of a generator function.

    Args:
        path: Its path.
        function: The generator function: async or sync, a method or a ``partial`` too.
        serve: Serves one client.
        overlap: What a message does that comes during a run.
        dependencies: What guards it beside its own parameters.

    Raises:
        DeclarationError: It cannot work as declared; the text says what to write instead.
    """
    what = title("stream", path, function)
    _check_arguments(what, path, overlap)
    signature = _Signature(what, function)
    item, synchronous = signature.yields()
    intake, parameter, message = signature.message(path, synchronous=synchronous)
    if overlap == "replace" and intake is not Intake.EACH:
        raise DeclarationError(what, "overlap='replace' is for streams that run once per message, and this one is not")
    for guard in dependencies:
        _check_dependencies(what, _guard(what, path, guard))
    stream = Stream(
        path=path,
        function=function,
        encoder=_built(what, encoder, item, "what it yields"),
        intake=intake,
        parameter=parameter,
        decoder=None if parameter is None else _built(what, decoder, message, f"the message {parameter!r}"),
        synchronous=synchronous,
        overlap=overlap,
    )
    return Declared(stream, _endpoint(stream, signature.parameters_without(parameter), serve))


def _check_arguments(what: str, path: str, overlap: str) -> None:
    if overlap not in ("queue", "replace"):
        raise DeclarationError(what, f"overlap is 'queue' or 'replace', not {overlap!r}")
    if not isinstance(path, str) or not path.startswith("/"):
        raise DeclarationError(what, f"a path starts with '/': write {f'/{path}'!r}")


def definition_of(endpoint: object) -> Stream | None:
    """What an endpoint serves; None if it is not one of ours."""
    return getattr(endpoint, "__wirespeed__", None)


def check_route(stream: Stream, dependant: Dependant) -> None:
    """Checks the dependencies that routers and the app have added to a stream.

    Raises:
        DeclarationError: One of them cannot work on a WebSocket.
    """
    _check_dependencies(stream.title, dependant)


class _Signature:
    """A function's signature, its annotations resolved."""

    def __init__(self, what: str, function: Callable[..., Any]) -> None:
        self._what = what
        self._function = function
        try:
            signature = inspect.signature(function)
        except (NameError, TypeError, ValueError) as error:
            raise DeclarationError(what, f"its signature cannot be read: {error}") from error
        self._returns = self._resolved("its return annotation", signature.return_annotation)
        self._parameters = {
            name: parameter.replace(annotation=self._resolved(f"the annotation of {name!r}", parameter.annotation))
            for name, parameter in signature.parameters.items()
            if name not in _bound(function)
        }
        self._check_parameters()

    def _resolved(self, place: str, annotation: Any) -> Any:
        """An annotation as the object it means, when it was postponed or quoted."""

        def stub() -> None: ...

        stub.__annotations__ = {"it": annotation}
        namespace = getattr(inspect.unwrap(_plain_function(self._function)), "__globals__", {})
        try:
            return typing.get_type_hints(stub, globalns=namespace, include_extras=True)["it"]
        except NameError as error:
            raise DeclarationError(
                self._what,
                f"{place}, {annotation!r}, cannot be resolved ({error}): define or import the name in the module, "
                "before the function, and not under TYPE_CHECKING",
            ) from error
        except (TypeError, SyntaxError) as error:
            raise DeclarationError(self._what, f"{place}, {annotation!r}, is no type: {error}") from error

    def _check_parameters(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                problem = f"*{name} cannot be filled from a connection: name each parameter"
            elif parameter.kind is Parameter.POSITIONAL_ONLY:
                problem = f"{name!r} is positional-only, and FastAPI passes arguments by name: remove the '/'"
            elif _is_form(parameter):
                problem = f"{name!r} is a form or a file, and a WebSocket carries none: take a model, or bytes"
            elif parameter.annotation is Parameter.empty and name in ("self", "cls"):
                problem = "it is a method without its object: decorate the bound one, live.stream(path)(object.method)"
            elif parameter.annotation is Parameter.empty and not _has_marker(parameter):
                problem = f"the parameter {name!r} has no annotation: say what it is, as in '{name}: str'"
            else:
                continue
            raise DeclarationError(self._what, problem)

    def yields(self) -> tuple[Any, bool]:
        """The type of what it yields, and whether it does so synchronously."""
        function, annotation = _plain_function(self._function), plain_type(self._returns)
        if inspect.iscoroutinefunction(function):
            raise DeclarationError(
                self._what,
                "it is a coroutine, which gives one value: yield its values, and return AsyncIterator[...]",
            )
        is_async, is_sync = inspect.isasyncgenfunction(function), inspect.isgeneratorfunction(function)
        origin, items = get_origin(annotation), get_args(annotation)
        kinds = _ASYNC_KINDS if is_async else _SYNC_KINDS if is_sync else _ASYNC_KINDS + _SYNC_KINDS
        if origin not in kinds or not items:
            kind = "Iterator" if is_sync else "AsyncIterator"
            raise DeclarationError(
                self._what,
                f"say what it yields in its return annotation: '-> {kind}[str]', with your type for str",
            )
        return items[0], origin in _SYNC_KINDS

    def message(self, path: str, *, synchronous: bool) -> tuple[Intake, str | None, Any]:
        """What it takes, by which parameter, and of which type."""
        duplex = [name for name, parameter in self._parameters.items() if _is_duplex(parameter)]
        signature = inspect.Signature([parameter for name, parameter in self._parameters.items() if name not in duplex])
        dependant = _dependant(self._what, path, _stub(signature))
        _check_own(self._what, dependant)
        bodies = [field.name for field in dependant.body_params]
        messages = [name for name in self._parameters if name in (*duplex, *bodies)]
        if len(messages) > 1:
            raise DeclarationError(
                self._what,
                f"{' and '.join(messages)} are two messages, and one comes at a time: make one model of them",
            )
        if not messages:
            return Intake.NOTHING, None, None
        if duplex:
            return Intake.ALL, duplex[0], self._duplex_type(duplex[0], synchronous=synchronous)
        return Intake.EACH, bodies[0], self._message_type(bodies[0])

    def _duplex_type(self, name: str, *, synchronous: bool) -> Any:
        parameter = self._parameters[name]
        annotation = plain_type(parameter.annotation)
        wanted = Iterator if synchronous else AsyncIterator
        if parameter.default is not Parameter.empty:
            raise DeclarationError(self._what, f"{name!r} are the messages, which always come: remove its default")
        if _marker(parameter) is not None:
            where = f"{wanted.__name__}[Annotated[..., Message(...)]]"
            raise DeclarationError(self._what, f"constraints of {name!r} hold for each message: write {where}")
        if get_origin(annotation) is not wanted or not get_args(annotation):
            kind = "sync" if synchronous else "async"
            raise DeclarationError(self._what, f"{name!r} of this {kind} generator has to be {wanted.__name__}[...]")
        return get_args(annotation)[0]

    def _message_type(self, name: str) -> Any:
        parameter = self._parameters[name]
        marker = _marker(parameter)
        has_default = parameter.default is not Parameter.empty and not isinstance(parameter.default, FieldInfo)
        if has_default or (marker is not None and not marker.is_required()):
            raise DeclarationError(self._what, f"{name!r} is the message, which always comes: remove its default")
        if parameter.default is marker and marker is not None:
            return Annotated[parameter.annotation, marker]
        return parameter.annotation

    def parameters_without(self, message: str | None) -> list[Parameter]:
        """What FastAPI resolves."""
        return [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, parameter in self._parameters.items()
            if name != message
        ]


def _plain_function(function: Any) -> Any:
    """The function under ``partial``, a bound method, ``functools.wraps`` or a callable object."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__") and not _is_generator(function):
            function = function.__wrapped__
        elif not inspect.isroutine(function) and not inspect.isclass(function):
            function = type(function).__call__
        else:
            return function


def _bound(function: Any) -> set[str]:
    """The arguments that a ``partial`` has filled by name: they are the developer's, and no client's to change."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names.update(function.keywords)
        function = function.func
    return names


def _is_generator(function: Any) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _marker(parameter: Parameter) -> FieldInfo | None:
    """The ``Message()`` or ``Body()`` of a parameter, in its annotation or as its default."""
    candidates = [parameter.default, *getattr(parameter.annotation, "__metadata__", ())]
    return next((each for each in candidates if isinstance(each, FieldInfo)), None)


def _has_marker(parameter: Parameter) -> bool:
    return isinstance(parameter.default, (FieldInfo, params.Depends))


def _is_duplex(parameter: Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    if any(isinstance(each, params.Depends) for each in (parameter.default, *metadata)):
        return False
    annotation = plain_type(parameter.annotation)
    return (get_origin(annotation) or annotation) in _ASYNC_KINDS + _SYNC_KINDS


def _is_form(parameter: Parameter) -> bool:
    annotation = plain_type(parameter.annotation)
    is_file = inspect.isclass(annotation) and issubclass(annotation, UploadFile)
    return is_file or isinstance(_marker(parameter), params.Form)


def _stub(signature: inspect.Signature) -> Callable[..., None]:
    def stub() -> None: ...

    stub.__signature__ = signature  # type: ignore[attr-defined]
    return stub


def _guard(what: str, path: str, guard: object) -> Dependant:
    call = guard.dependency if isinstance(guard, params.Depends) else None
    if not callable(call):
        raise DeclarationError(what, f"{guard!r} in dependencies= is no dependency: write Depends(your_function)")
    return _dependant(what, path, call)


def _dependant(what: str, path: str, call: Callable[..., Any]) -> Dependant:
    try:
        return get_dependant(path=path, call=call)
    except (FastAPIError, AssertionError, PydanticUserError, NameError, RuntimeError) as error:
        # FastAPI speaks of response models before and after, which no WebSocket has.
        reason = str(error).partition(" If you are using")[0].rpartition("Hint: ")[2].partition("\n")[0]
        raise DeclarationError(
            what,
            "FastAPI cannot fill its parameters; each is a type that Pydantic knows, or comes from Depends(...): "
            f"{reason}",
        ) from error


def _check_own(what: str, dependant: Dependant) -> None:
    if dependant.request_param_name is not None:
        raise DeclarationError(
            what,
            f"{dependant.request_param_name!r} is a Request, and a WebSocket has none: "
            "take starlette.requests.HTTPConnection",
        )
    for dependency in dependant.dependencies:
        _check_dependencies(what, dependency)


def _check_dependencies(what: str, dependant: Dependant) -> None:
    """Refuses what FastAPI would fail on at the first connection only."""
    name = name_of(dependant.call)
    if dependant.request_param_name is not None:
        raise DeclarationError(
            what,
            f"its dependency {name} takes a Request, and a WebSocket has none: let it take "
            "starlette.requests.HTTPConnection, which is what both have in common",
        )
    if dependant.body_params:
        raise DeclarationError(
            what,
            f"its dependency {name} takes a body ({dependant.body_params[0].name!r}), and there is none when a client "
            "connects: take the message in the stream's own signature",
        )
    for dependency in dependant.dependencies:
        _check_dependencies(what, dependency)


def _built(what: str, build: Callable[[Any], Any], annotation: Any, place: str) -> Any:
    try:
        return build(annotation)
    except PydanticUserError as error:
        problem = f"the type of {place}, {annotation!r}, is not one that Pydantic knows: {error.message}"
        raise DeclarationError(what, problem) from error


def _is_websocket(annotation: Any) -> bool:
    annotation = plain_type(annotation)
    return inspect.isclass(annotation) and issubclass(annotation, WebSocket)


def _endpoint(stream: Stream, parameters: list[Parameter], serve: Serve) -> Callable[..., Awaitable[None]]:
    """What FastAPI calls with the resolved parameters, and with the connection, however the user calls that."""
    own = next((each.name for each in parameters if _is_websocket(each.annotation)), None)
    if own is None:
        parameters = [*parameters, Parameter(_HIDDEN, Parameter.KEYWORD_ONLY, annotation=WebSocket)]

    async def endpoint(**arguments: Any) -> None:
        websocket = arguments.pop(_HIDDEN) if own is None else arguments[own]
        await serve(websocket, stream, arguments)

    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(endpoint, name, getattr(stream.function, name, getattr(_plain_function(stream.function), name)))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__wirespeed__ = stream  # type: ignore[attr-defined]
    return endpoint
