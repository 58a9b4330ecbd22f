"""Signatures of functions, as FastAPI reads them: the parameter that takes the message, and the type of the values."""

import functools
import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from inspect import Parameter
from typing import Annotated, Any, Never, NoReturn, get_args, get_origin

from fastapi import UploadFile, params
from pydantic.fields import FieldInfo

from ..codec import plain_type
from ..definitions import Intake
from ..errors import DeclarationError
from ..raw import RawJSON
from .dependencies import check_own, dependant_of

_ASYNC_KINDS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_SYNC_KINDS = (Iterator, Iterable, Generator)


class Signature:
    """A function's signature, with resolved annotations."""

    def __init__(self, what: str, function: Callable[..., Any], kind: str = "stream") -> None:
        self._what = what
        self._kind = kind
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
        """Return the object that a postponed or quoted annotation stands for."""

        def stub() -> None: ...

        stub.__annotations__ = {"it": annotation}
        namespace = getattr(inspect.unwrap(plain_function(self._function)), "__globals__", {})
        try:
            return typing.get_type_hints(stub, globalns=namespace, include_extras=True)["it"]
        except NameError as error:
            raise DeclarationError(
                self._what,
                f"{place}, {annotation!r}, cannot be resolved ({error}): define or import the name in the module, "
                "before the function, and not under TYPE_CHECKING",
            ) from error
        except (TypeError, SyntaxError) as error:
            raise DeclarationError(self._what, f"{place}, {annotation!r}, is not a type: {error}") from error

    def _check_parameters(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                problem = f"*{name} cannot be filled from a connection: declare each parameter by name"
            elif parameter.kind is Parameter.POSITIONAL_ONLY:
                problem = f"{name!r} is positional-only, and FastAPI passes arguments by name: remove the '/'"
            elif _is_form(parameter):
                problem = f"{name!r} is a form or a file, which a WebSocket cannot carry: take a model, or bytes"
            elif parameter.annotation is Parameter.empty and name in ("self", "cls"):
                bound = f"live.{self._kind}(path)(object.method)"
                problem = f"it is a method without its object: decorate the bound one, {bound}"
            elif parameter.annotation is Parameter.empty and not _has_marker(parameter):
                problem = f"the parameter {name!r} has no annotation: add its type, as in '{name}: str'"
            else:
                continue
            raise DeclarationError(self._what, problem)

    def yields(self) -> tuple[Any, bool]:
        """Return the type of the values that it yields, and True if it yields them synchronously."""
        function, annotation = plain_function(self._function), plain_type(self._returns)
        if inspect.iscoroutinefunction(function):
            raise DeclarationError(
                self._what,
                "it is a coroutine, which returns one value: yield values instead, and annotate AsyncIterator[...]",
            )
        is_async, is_sync = inspect.isasyncgenfunction(function), inspect.isgeneratorfunction(function)
        origin, items = get_origin(annotation), get_args(annotation)
        kinds = _ASYNC_KINDS if is_async else _SYNC_KINDS if is_sync else _ASYNC_KINDS + _SYNC_KINDS
        if origin not in kinds or not items:
            kind = "Iterator" if is_sync else "AsyncIterator"
            raise DeclarationError(
                self._what,
                f"its return annotation must name the type of its values: '-> {kind}[str]', with your type for str",
            )
        return items[0], origin in _SYNC_KINDS

    def returns(self) -> tuple[Any, bool]:
        """Return the type of the value that it returns, and True if it returns it synchronously."""
        functions = (self._function, plain_function(self._function))
        annotation = plain_type(self._returns)
        if any(map(_is_generator, functions)) or _is_iterator(annotation):
            raise DeclarationError(
                self._what, "it yields many values, and a call returns one: use live.stream, or return a list[...]"
            )
        if annotation is Parameter.empty:
            raise DeclarationError(
                self._what, "its return annotation must name the type of its value: '-> str', with your type for str"
            )
        if annotation in (NoReturn, Never):
            raise DeclarationError(self._what, "it never returns: annotate '-> None' if it returns no value")
        return self._returns, not any(map(inspect.iscoroutinefunction, functions))

    def url_parameters(self, path: str, message: str | None) -> tuple[Parameter, ...]:
        """Return the path and query parameters among the parameters without the message."""
        parameters = self.parameters_without(message)
        dependant = dependant_of(self._what, path, _stub(inspect.Signature(parameters)))
        names = {field.name for field in (*dependant.path_params, *dependant.query_params)}
        return tuple(each for each in parameters if each.name in names)

    def message(self, path: str, *, synchronous: bool) -> tuple[Intake, str | None, Any]:
        """Return the messages that a run takes, the name of the parameter for them, and the type of a message."""
        duplex = self.duplex()
        signature = inspect.Signature([_as_body(each) for name, each in self._parameters.items() if name not in duplex])
        dependant = dependant_of(self._what, path, _stub(signature))
        check_own(self._what, dependant)
        bodies = [field.name for field in dependant.body_params]
        messages = [name for name in self._parameters if name in (*duplex, *bodies)]
        if len(messages) > 1:
            raise DeclarationError(
                self._what,
                f"{' and '.join(messages)} are two messages, and one arrives at a time: combine them in one model",
            )
        if not messages:
            return Intake.NOTHING, None, None
        if duplex:
            return Intake.ALL, duplex[0], self._duplex_type(duplex[0], synchronous=synchronous)
        return Intake.EACH, bodies[0], self._message_type(bodies[0])

    def duplex(self) -> list[str]:
        """Return the names of the parameters that would take all messages."""
        return [name for name, parameter in self._parameters.items() if _is_duplex(parameter)]

    def _duplex_type(self, name: str, *, synchronous: bool) -> Any:
        parameter = self._parameters[name]
        annotation = plain_type(parameter.annotation)
        wanted = Iterator if synchronous else AsyncIterator
        if parameter.default is not Parameter.empty:
            raise DeclarationError(self._what, f"{name!r} are the messages, which always arrive: remove its default")
        if _marker(parameter) is not None:
            where = f"{wanted.__name__}[Annotated[..., Message(...)]]"
            raise DeclarationError(self._what, f"constraints of {name!r} apply to each message: write {where}")
        if get_origin(annotation) is not wanted or not get_args(annotation):
            kind = "sync" if synchronous else "async"
            raise DeclarationError(self._what, f"{name!r} of this {kind} generator must be {wanted.__name__}[...]")
        return get_args(annotation)[0]

    def _message_type(self, name: str) -> Any:
        parameter = self._parameters[name]
        marker = _marker(parameter)
        has_default = parameter.default is not Parameter.empty and not isinstance(parameter.default, FieldInfo)
        if has_default or (marker is not None and not marker.is_required()):
            raise DeclarationError(self._what, f"{name!r} is the message, which always arrives: remove its default")
        if parameter.default is marker and marker is not None:
            return Annotated[parameter.annotation, marker]
        return parameter.annotation

    def parameters_without(self, message: str | None) -> list[Parameter]:
        """Return all parameters except the message, as keyword-only ones for FastAPI to resolve."""
        return [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, parameter in self._parameters.items()
            if name != message
        ]


def plain_function(function: Any) -> Any:
    """Return the function under a ``partial``, a bound method, ``functools.wraps`` or a callable object."""
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
    """Return the names of arguments that a ``partial`` has filled; clients cannot change those."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names.update(function.keywords)
        function = function.func
    return names


def _is_generator(function: Any) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _marker(parameter: Parameter) -> FieldInfo | None:
    """Return the ``Message()`` or ``Body()`` of a parameter, from its annotation or its default."""
    candidates = [parameter.default, *getattr(parameter.annotation, "__metadata__", ())]
    return next((each for each in candidates if isinstance(each, FieldInfo)), None)


def _as_body(parameter: Parameter) -> Parameter:
    """Return a parameter as FastAPI would read it: raw JSON is a body, of any JSON."""
    if plain_type(parameter.annotation) is not RawJSON:
        return parameter
    return parameter.replace(annotation=Annotated[Any, _marker(parameter) or params.Body()])


def _has_marker(parameter: Parameter) -> bool:
    return isinstance(parameter.default, (FieldInfo, params.Depends))


def _is_duplex(parameter: Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    if any(isinstance(each, params.Depends) for each in (parameter.default, *metadata)):
        return False
    return _is_iterator(plain_type(parameter.annotation))


def _is_iterator(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) in _ASYNC_KINDS + _SYNC_KINDS


def _is_form(parameter: Parameter) -> bool:
    annotation = plain_type(parameter.annotation)
    is_file = inspect.isclass(annotation) and issubclass(annotation, UploadFile)
    return is_file or isinstance(_marker(parameter), params.Form)


def _stub(signature: inspect.Signature) -> Callable[..., None]:
    def stub() -> None: ...

    stub.__signature__ = signature  # type: ignore[attr-defined]
    return stub
