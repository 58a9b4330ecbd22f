"""JSON schemas of types, by Pydantic, in the dialect of AsyncAPI: draft 7, with a discriminator that is a name."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, from_json, to_json

from ..codec import plain_type
from ..raw import RawJSON

Schema = dict[str, Any]
Key = tuple[Hashable, ...]
"""The id of a definition, and the part of it."""
Mode = Literal["validation", "serialization"]

PLACE = "#/components/schemas/"
ANY: Schema = {"description": "Any JSON."}
BYTES: Schema = {"type": "string", "format": "binary"}
_UNKNOWN: Schema = {"description": "Any JSON: the type of Python has no JSON schema."}

_MAPS = frozenset({"properties", "patternProperties", "definitions", "$defs"})
"""Keywords whose values are schemas by their names."""
_SCHEMAS = frozenset(
    {"items", "additionalItems", "additionalProperties", "contains", "propertyNames"}
    | {"anyOf", "oneOf", "allOf", "not", "if", "then", "else"}
)
"""Keywords whose values are schemas, or lists of schemas."""


class Problem(NamedTuple):
    """A type without a JSON schema, at least for a part of it."""

    key: Key
    reason: str


class _Wanted(NamedTuple):
    key: Key
    mode: Mode
    core: CoreSchema


class _Generator(GenerateJsonSchema):
    """Pydantic's generator; a part without a schema becomes any JSON, instead of an error."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as Pydantic declares it

    def __init__(self) -> None:
        super().__init__(by_alias=True, ref_template=PLACE + "{model}")
        self.problems: list[str] = []

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:
        """Return the schema of any JSON, and note the problem."""
        self.problems.append(error_info)
        return dict(_UNKNOWN)

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of bytes inside a value, as FastAPI describes them."""
        made = {"type": "string", "contentMediaType": "application/octet-stream"}
        mode = self._config.ser_json_bytes if self.mode == "serialization" else self._config.val_json_bytes
        if mode == "base64":
            made["contentEncoding"] = "base64"
        self.update_with_validations(made, schema, self.ValidationsMapping.bytes)
        return made


@dataclass
class Schemas:
    """The schemas of many types, which are made together, so that models with the same name get different names."""

    definitions: dict[str, Schema] = field(default_factory=dict)
    """Schemas by their names, once they are made."""
    problems: list[Problem] = field(default_factory=list)
    """Types for which there is no schema, once they are made."""
    _wanted: list[_Wanted] = field(default_factory=list)
    _same: dict[Key, Key] = field(default_factory=dict)
    """The key that was first added for the same type and mode, by later keys."""
    _first: dict[tuple[Any, Mode], Key] = field(default_factory=dict)
    _made: dict[Key, Schema] = field(default_factory=dict)

    def add(self, key: Key, annotation: Any, mode: Mode) -> None:
        """Ask for the schema of a type, which :meth:`of` returns after :meth:`make`."""
        plain = plain_type(annotation)
        if plain in (RawJSON, bytes, None, NoneType):
            self._made[key] = {RawJSON: ANY, bytes: BYTES}.get(plain, {"type": "null"})
            return
        try:
            first = self._first.setdefault((annotation, mode), key)
        except TypeError:  # metadata that cannot be hashed
            first = key
        if first != key:
            self._same[key] = first
            return
        try:
            self._wanted.append(_Wanted(key, mode, TypeAdapter(annotation).core_schema))
        except Exception as error:  # a type of the app's own, whose schema is the app's code
            self._failed(key, error)

    def make(self) -> None:
        """Make the schemas of all types."""
        try:
            generator = _Generator()
            self._generate(generator, self._wanted)
        except Exception:  # from the app's own code; the others still have a schema
            self._wanted = [each for each in self._wanted if self._is_sound(each)]
            generator = _Generator()
            self._generate(generator, self._wanted)
        else:
            if generator.problems:
                for each in self._wanted:
                    self._is_sound(each)

    def resolved(self, schema: Schema) -> Schema:
        """Return the schema that another one refers to; itself if it refers to none."""
        return self.definitions.get(schema.get("$ref", "").removeprefix(PLACE), schema)

    def of(self, key: Key) -> Schema:
        """Return the schema of a type."""
        return self._made[self._same.get(key, key)]

    def _generate(self, generator: _Generator, wanted: Sequence[_Wanted]) -> None:
        made, definitions = generator.generate_definitions(wanted)
        known = frozenset(map(str, definitions))
        self.definitions = {str(name): _adapted(each, known) for name, each in sorted(definitions.items())}
        self._made |= {key: _adapted(made[key, mode], known) for key, mode, _ in wanted}

    def _is_sound(self, wanted: _Wanted) -> bool:
        """Return whether a schema can be made of a type; note the problem if it has parts without one."""
        generator = _Generator()
        try:
            generator.generate_definitions([wanted])
        except Exception as error:
            self._failed(wanted.key, error)
            return False
        self.problems += [Problem(wanted.key, each) for each in dict.fromkeys(generator.problems)]
        return True

    def _failed(self, key: Key, error: Exception) -> None:
        self.problems.append(Problem(key, f"{type(error).__name__}: {error}"))
        self._made[key] = dict(_UNKNOWN)


def json_of_default(annotation: Any, value: Any) -> Any:
    """Return a default in the types of JSON; None if it has no form in JSON."""
    if type(value) in (str, int, bool, NoneType):
        return value
    try:
        made = TypeAdapter(annotation).dump_python(value, mode="json", by_alias=True, warnings=False)
        return from_json(to_json(made, inf_nan_mode="null"))
    except Exception:
        return None


def _adapted(schema: Any, known: frozenset[str]) -> Any:
    """Return a schema of Pydantic's, or several, in the dialect of AsyncAPI."""
    if isinstance(schema, list):
        return [_adapted(each, known) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "prefixItems" in schema:
        rest = schema.get("items", schema.get("maxItems") is None)
        schema = {**schema, "items": schema["prefixItems"], "additionalItems": rest}
        del schema["prefixItems"]
    return {name: each for key, value in schema.items() for name, each in _keyword(key, value, known)}


def _keyword(name: str, value: Any, known: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Yield a keyword with its value, unless it is left out."""
    match name, value:
        case _, dict() if name in _MAPS:
            yield name, {key: _adapted(each, known) for key, each in value.items()}
        case _, _ if name in _SCHEMAS:
            yield name, _adapted(value, known)
        case "$ref", str():
            if value.removeprefix(PLACE) in known:  # the app's own schemas may refer to nothing
                yield name, value
        case "discriminator", _:
            if isinstance(value, dict) and isinstance(value.get("propertyName"), str):
                yield name, value["propertyName"]
        case "description", str():
            yield name, value.partition("\f")[0]
        case _ if not _refers(value):
            yield name, value


def _refers(value: Any) -> bool:
    """Return whether there is a reference in an example, a default or an addition of the app's."""
    match value:
        case {"$ref": _}:
            return True
        case dict():
            return any(map(_refers, value.values()))
        case list():
            return any(map(_refers, value))
    return False
