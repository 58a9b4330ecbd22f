"""Values out of their own payloads: a type often sends other names than it reads, and NaN as null."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

T = TypeVar("T")
Schema = dict[str, Any]

_PARTS = (
    "arguments_schema", "choices", "definitions", "extras_schema", "fields", "items_schema", "json_schema",
    "keys_schema", "lax_schema", "python_schema", "schema", "steps", "strict_schema", "values_schema",
    "var_args_schema", "var_kwargs_schema",
)  # fmt: skip
"""Keys of a schema of Pydantic's under which it has further ones: one, a list, or a mapping."""


def reader(adapter: TypeAdapter[T]) -> Callable[[bytes], T]:
    """Return a function that reads payloads of a type, as its values are sent: by alias.

    A type that reads what it sends is read by its own validator. For others, one is built that reads each field by the
    name by which it is sent, before all names by which the type reads it; at any depth, and in unions as well. Where a
    number may be NaN, null is NaN: Pydantic sends it so. JSON inside a text is sent as the value that it is, bytes are
    in the format in which the type sends them, and fields that are computed are no extra ones.

    The function raises a ``ValidationError`` for a payload that is none of the type.
    """
    schema = dict(adapter.core_schema)
    sent = _Sent()
    sent.of(schema)
    if not sent.differs:
        return lambda payload: adapter.validate_json(payload, by_alias=True, by_name=True)
    read = _validator(sent.of(schema)).validate_json  # again, because now all names are known
    return lambda payload: read(payload, by_alias=True, by_name=False)


def _validator(schema: Any) -> Any:
    make: Any = SchemaValidator
    try:
        # Otherwise, it takes the validator that each class in the schema has, which reads by the other names.
        return make(schema, _use_prebuilt=False)
    except TypeError:  # a version without this argument
        return make(schema)


class SentField(NamedTuple):
    """A field, as it is sent."""

    name: str
    """Name in JSON."""
    is_excluded: bool


def sent_field(adapter: TypeAdapter[Any], name: str) -> SentField | None:
    """Return a field of a model, dataclass or TypedDict, as it is sent; None if the type has no such field."""
    found = dict(_fields(_object(dict(adapter.core_schema))[0])).get(name)
    return None if found is None else SentField(_name_of(name, found), bool(found.get("serialization_exclude")))


def name_in_json(adapter: TypeAdapter[Any], name: str) -> str:
    """Return the name by which a field is sent; the name itself if the type has no such field."""
    found = sent_field(adapter, name)
    return name if found is None else found.name


def name_in_python(adapter: TypeAdapter[Any], in_json: str) -> str:
    """Return the name in Python of the field that is sent by a name; this name if the type has no such field."""
    fields = [*_fields(_object(dict(adapter.core_schema))[0])]
    # A field that is excluded may have the same name, but identifies rows as well.
    fields.sort(key=lambda field: bool(field[1].get("serialization_exclude")))
    return next((name for name, each in fields if _name_of(name, each) == in_json), in_json)


def field_reader(adapter: TypeAdapter[Any], name: str) -> Callable[[bytes], Any]:
    """Return a function from a payload to the value of one field of a model, dataclass or TypedDict.

    The function returns the default of a field that is missing. It raises a ``ValidationError`` for a value that does
    not fit, a ``KeyError`` if there is no default, and errors of the field's own validators.
    """
    schema = dict(adapter.core_schema)
    sent = _Sent()
    sent.of(schema)
    holder, named, config = _object(sent.of(schema))
    field = dict(_fields(holder))[name]
    one = {
        "type": "typed-dict",
        "fields": {
            name: {
                "type": "typed-dict-field",
                "schema": field["schema"],
                "required": False,
                "validation_alias": field["validation_alias"],
            }
        },
        "extra_behavior": "ignore",
        "config": config,
    }
    read = _validator({"type": "definitions", "schema": one, "definitions": [*named.values()]}).validate_json
    return lambda payload: read(payload, by_alias=True, by_name=False)[name]


def _object(schema: Schema) -> tuple[Schema, dict[str, Schema], Schema]:
    """Return the schema of the fields inside one of an object, which may have validators around it.

    It comes with the schemas to which it may refer, and with its configuration.
    """
    named: dict[str, Schema] = {}
    config: Schema = {}
    while "fields" not in schema or schema["type"] == "dataclass":
        named |= {each["ref"]: each for each in schema.get("definitions", ())}
        config = schema.get("config", config)
        inner = schema["schema"] if "schema" in schema else named.get(schema.get("schema_ref", ""))
        if not isinstance(inner, dict):
            return {}, named, config
        schema = inner
    return schema, named, schema.get("config", config)


def _fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    fields = schema.get("fields", {})
    yield from fields.items() if isinstance(fields, Mapping) else ((each["name"], each) for each in fields)


def _name_of(name: str, field: Schema) -> str:
    return str(field.get("serialization_alias") or name)


class _Sent:
    """From the schema of a type to one that validates what the type sends."""

    def __init__(self) -> None:
        self.differs = False
        """True if the type does not read all that it sends."""
        self._renamed: set[str] = set()
        """Names by which fields are read, but not sent."""

    def of(self, schema: Schema, config: Mapping[str, Any] | None = None) -> Schema:
        """Return the schema that validates what one sends.

        Args:
            config: The configuration of the object around it.
        """
        config = schema.get("config") or config or {}
        made = schema | {key: self._part(schema[key], config) for key in _PARTS if key in schema}
        if "config" in schema and _bytes_differ(config):
            self.differs = True
            made["config"] = {**config, "val_json_bytes": config.get("ser_json_bytes", "utf8")}
        match schema["type"]:
            case "model" if schema.get("custom_init"):
                return self._initialised(schema)
            case "model-fields" | "typed-dict" | "dataclass-args":
                made |= self._object(made, config)
            case "float" if schema.get("allow_inf_nan", config.get("allow_inf_nan", True)):
                self.differs = True
                return {"type": "union", "choices": [made, _NULL], "mode": "left_to_right"}
            case "json":
                self.differs = True
                return made.get("schema", {"type": "any"})  # type: ignore[no-any-return]
            case "tagged-union" if self._renamed.intersection(_flat(schema["discriminator"])):
                return {"type": "union", "choices": list(made["choices"].values())}
        return made

    def _part(self, part: Any, config: Mapping[str, Any]) -> Any:
        match part:
            case {"type": str()}:
                return self.of(part, config)
            case dict():
                return {name: self._part(each, config) for name, each in part.items()}
            case list():
                return [self._part(each, config) for each in part]
            case (dict() as choice, label):
                return self.of(choice, config), label
        return part

    def _object(self, schema: Schema, config: Mapping[str, Any]) -> Schema:
        """Return the changes to the schema of an object's fields."""
        fields = dict(_fields(schema))
        sent = {_name_of(name, each) for name, each in fields.items() if not each.get("serialization_exclude")}
        read = {name: self._read(name, each, sent) for name, each in fields.items()}
        is_mapping = isinstance(schema["fields"], dict)
        changes: Schema = {"fields": read if is_mapping else list(read.values())}
        extra = schema.get("extra_behavior", config.get("extra_fields_behavior"))
        if schema.get("computed_fields") and extra == "forbid":
            self.differs = True
            changes["extra_behavior"] = "ignore"
        return changes

    def _read(self, name: str, field: Schema, sent: set[str]) -> Schema:
        """Return a field that is read by the name by which it is sent, or else by its own that no other one has."""
        paths = _paths(field.get("validation_alias") or name)
        if field.get("serialization_exclude"):
            first = []
        else:
            first = [[_name_of(name, field)]]
            if first[0] != paths[0]:
                self.differs = True
                self._renamed.update(name for path in paths for name in path if isinstance(name, str))
                self._renamed.add(name)
        others = [path for path in [*paths, [name]] if path[0] not in sent and path not in first]
        return field | {"validation_alias": [*first, *others] or _NOWHERE}

    def _initialised(self, schema: Schema) -> Schema:
        """Return the schema of a model whose own ``__init__`` takes the names that the model reads."""
        names = {
            _name_of(name, each): _paths(each.get("validation_alias") or name)[0][0]
            for name, each in _fields(_object(schema)[0])
        }

        def as_read(value: Any) -> Any:
            return {names.get(each, each): one for each, one in value.items()} if isinstance(value, dict) else value

        function = {"type": "no-info", "function": as_read}
        outer = {"ref": schema["ref"]} if "ref" in schema else {}
        inner = {name: each for name, each in schema.items() if name != "ref"}
        return {"type": "function-before", "function": function, "schema": inner, **outer}


def _bytes_differ(config: Mapping[str, Any]) -> bool:
    return bool(config.get("ser_json_bytes", "utf8") != config.get("val_json_bytes", "utf8"))


def _paths(alias: Any) -> list[list[Any]]:
    """Return an alias of a field as paths, one for each of its choices."""
    if isinstance(alias, str):
        return [[alias]]
    return list(alias) if isinstance(alias[0], list) else [list(alias)]


def _flat(discriminator: Any) -> Iterator[Any]:
    """Yield the names in a discriminator; none in a function."""
    if isinstance(discriminator, str):
        yield discriminator
    elif isinstance(discriminator, list):
        for each in discriminator:
            yield from _flat(each)


_NOWHERE = [["\0"]]
"""Alias of a field that is not sent, and whose own names are those of others."""

_NULL = {
    "type": "function-after",
    "function": {"type": "no-info", "function": lambda _: math.nan},
    "schema": {"type": "none"},
}
"""Schema of NaN, as it is sent."""
