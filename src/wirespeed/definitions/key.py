"""Keys, which tell the logs of one feed or topic apart."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin
from urllib.parse import quote

from pydantic import BaseModel, Json, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..errors import DeclarationError, InvalidKey
from ..spelling import Unspellable, classes_in, metadata_of, plain_type, problems, spelled, subclass_in
from .naming import spellings, spellings_in
from .written import written

_PLAIN = (int, str)
_TEXTS = 10_000
"""Number of spellings that are cached: validating and spelling a key costs some 5 µs."""
_SHORT = 256
"""Largest number of characters of a spelling that is cached."""


class Key:
    """The parameters that make up the key of a feed or topic.

    The validated values of the parameters identify a key: ``/price/7`` and ``/price/007`` of an ``int`` are one key.
    Each key has one canonical spelling, see :mod:`wirespeed.spelling`.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic does not know the type of one of them.
        DeclarationError: Values of one of them cannot identify a key.
    """

    def __init__(self, what: str, parameters: Sequence[Parameter] = ()) -> None:
        self._what = what
        plain = [plain_parameter(each) for each in parameters]
        self._signature = _signature(plain)
        self._adapters: dict[str, TypeAdapter[Any]] = {each.name: TypeAdapter(each.annotation) for each in plain}
        self._check(plain)
        self._classes = frozenset().union(*(classes_in(each.annotation) for each in plain))
        given = {each.name: each.default for each in plain if each.default is not Parameter.empty}
        self._defaults = {name: self._valid_default(name, default) for name, default in given.items()}
        self.parameters = tuple(self._with_valid_default(each) for each in parameters)
        """Parameters as declared, but with validated defaults, because FastAPI does not validate those."""
        self._texts: dict[object, str] = {}

    def _check(self, parameters: Sequence[Parameter]) -> None:
        for each in parameters:
            for problem in problems(each.annotation):
                raise DeclarationError(self._what, f"{each.name!r} cannot be part of the key: {problem}")

    def _valid_default(self, name: str, default: Any) -> Any:
        """Return the validated default; if it does not validate, like None, return it unchanged."""
        if isinstance(default, Made):
            return default
        try:
            return self._adapters[name].validate_python(default)
        except ValidationError:
            return default

    def _with_valid_default(self, parameter: Parameter) -> Parameter:
        default = self._defaults.get(parameter.name, Parameter.empty)
        if default is Parameter.empty or isinstance(default, Made):
            return parameter
        if isinstance(parameter.default, FieldInfo):
            marker = copy(parameter.default)
            marker.default = default
            return parameter.replace(default=marker)
        return parameter.replace(default=default)

    def __bool__(self) -> bool:
        return bool(self._adapters)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._adapters)

    @cached_property
    def by_spelling(self) -> Mapping[str, Parameter]:
        """Parameters by their names in URLs, see :func:`by_spelling`."""
        return by_spelling(self.parameters)

    def reads(self, name: str) -> bool:
        """Return True if a parameter with a name in a URL is part of the key."""
        return name in self.by_spelling or self.takes_more

    @cached_property
    def takes_more(self) -> bool:
        """True if the key has a model that takes parameters of any name."""
        models = filter(None, map(model_of, self.parameters))
        return any(each.model_config.get("extra") == "allow" for each in models)

    def pick(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the key's values among the arguments that FastAPI resolved."""
        return {name: arguments[name] for name in self._adapters}

    def of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the validated values of a call in Python, such as ``publish(value, user_id=5)``, with defaults.

        Raises:
            InvalidKey: An argument is missing, unknown or does not validate.
        """
        if not self._adapters and not args and not kwargs:
            return {}
        if len(args) == 1 and isinstance(args[0], Validated):
            return dict(args[0].values)
        given = self.given(args, kwargs)
        return {name: given[name] if name in given else self._default(name) for name in self._adapters}

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the validated values that a call in Python gives, without defaults; raise as :meth:`of_call` does."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidKey(self._what, str(error)) from None
        return {name: self._valid(name, value) for name, value in bound.arguments.items()}

    def _default(self, name: str) -> Any:
        default = self._defaults[name]
        return default.factory() if isinstance(default, Made) else deepcopy(default)

    def _valid(self, name: str, value: Any) -> Any:
        try:
            valid = self._adapters[name].validate_python(value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            raise InvalidKey(self._what, f"{name}={value!r:.100}: {problem}") from None
        # Pydantic lets it through, but no address leads to it, and it may have fields that the declared class has not.
        if self._classes and (kind := subclass_in(valid, self._classes)) is not None:
            problem = f"{kind.__name__} is a subclass of the declared class: pass an instance of that one itself"
            raise InvalidKey(self._what, f"{name}={value!r:.100}: {problem}")
        return valid

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return validated values in the types of JSON, which :meth:`of_call` takes."""
        return {name: written(self._adapters[name], value) for name, value in values.items()}

    def text_of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the canonical spelling of the key of a call; raise as :meth:`of_call` does."""
        if not self._adapters and not args and not kwargs:
            return ""
        # Exact types only: True, 1 and 1.0 are equal, but may be three keys.
        given = (args, *kwargs.items())
        plain = all(type(each) in _PLAIN for each in (*args, *kwargs.values()))
        known = self._texts.get(given) if plain else None  # in one step, because another thread may clear the cache
        if known is not None:
            return known
        text = self.text(self.of_call(args, kwargs))
        if plain and len(text) <= _SHORT:
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            self._texts[given] = text
        return text

    def text(self, values: Mapping[str, Any]) -> str:
        """Return the canonical spelling of validated values, which identifies the key. Values of None are left out.

        Raises:
            InvalidKey: A validator returned a value that has no spelling.
        """
        if len(values) == 1:  # a shortcut for most keys, in a fifth of the time
            for name, value in values.items():
                if type(value) is int or (
                    type(value) is str and value.isalnum() and value.isidentifier() and value.isascii()
                ):
                    return f"{name}={value}"
        try:
            return "&".join(
                f"{quote(name)}={spelled(values[name])}" for name in self._adapters if values[name] is not None
            )
        except Unspellable as error:
            raise InvalidKey(self._what, str(error)) from None


class OpenKey(Key):
    """The key of a topic whose path has parameters that no function has declared yet."""

    def of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Raise a DeclarationError: values cannot be validated."""
        problem = "its path has parameters; decorate a function that declares them with this topic"
        raise DeclarationError(self._what, problem)


@dataclass(frozen=True, slots=True)
class Validated:
    """The only argument of a call whose values FastAPI has validated: some validators change a value each time."""

    values: Mapping[str, Any]


class Made(NamedTuple):
    """A default that a factory makes for each call, as in FastAPI."""

    factory: Callable[[], Any]


def _signature(parameters: Sequence[Parameter]) -> inspect.Signature:
    """Return the signature for calls: a parameter without a default that follows one with a default is by name."""
    ordered: list[Parameter] = []
    for each in parameters:
        before = ordered[-1] if ordered else each
        by_name = before.kind is Parameter.KEYWORD_ONLY or (
            each.default is Parameter.empty and before.default is not Parameter.empty
        )
        kind = Parameter.KEYWORD_ONLY if by_name else Parameter.POSITIONAL_OR_KEYWORD
        ordered.append(each.replace(kind=kind, annotation=Parameter.empty))
    return inspect.Signature(ordered)


def plain_parameter(parameter: Parameter) -> Parameter:
    """Return a parameter as plain Python would declare it: ``limit: int = Query(5, le=10)`` has the default 5."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    given, marker = parameter.default, marker_of(parameter)
    annotation: Any = parameter.annotation
    if isinstance(given, FieldInfo):
        given = Parameter.empty if given.default in (PydanticUndefined, ...) else given.default
        annotation = Annotated[annotation, marker]
    if given is Parameter.empty and marker.default_factory is not None:
        given = Made(marker.default_factory)  # type: ignore[arg-type]
    return Parameter(parameter.name, kind, default=given, annotation=annotation)


def spellings_of(parameter: Parameter) -> tuple[str, ...]:
    """Return the names of a parameter in URLs, the preferred one first."""
    return spellings(marker_of(parameter), parameter.name)


def by_spelling(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """Return parameters by their names in URLs, the preferred name of each first.

    FastAPI reads the fields of a model, and not the model, so these have names in place of it.
    """
    found: dict[str, Parameter] = {}
    for each in parameters:
        model = model_of(each)
        names = [spellings_of(each)] if model is None else spellings_in(model).values()
        found |= {name: each for some in names for name in some}
    return found


def model_of(parameter: Parameter) -> type[BaseModel] | None:
    """Return the model whose fields FastAPI reads from a query in place of a parameter; None for any other."""
    return flattened(Annotated[parameter.annotation, marker_of(parameter)])


def flattened(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a type, with its ``Query()``, whose fields FastAPI reads in place of it; None if it has none.

    It is also found beside None, and not if the model comes as one JSON text.
    """
    metadata = metadata_of(annotation)
    if Json in map(type, (*metadata, *(some for each in metadata for some in getattr(each, "metadata", ())))):
        return None
    plain = plain_type(annotation)
    if get_origin(plain) in (Union, UnionType) and len(get_args(plain)) == 2:
        plain = next((plain_type(each) for each in get_args(plain) if each is not type(None)), None)
    return plain if inspect.isclass(plain) and issubclass(plain, BaseModel) else None


def marker_of(parameter: Parameter) -> FieldInfo:
    """Return the ``Query()`` or ``Path()`` of a parameter, from its annotation or its default."""
    candidates = (parameter.default, *getattr(parameter.annotation, "__metadata__", ()))
    return next((each for each in candidates if isinstance(each, FieldInfo)), FieldInfo())


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a key for the app's code, which may change them."""
    return {name: each if type(each) in _PLAIN else deepcopy(each) for name, each in values.items()}
