"""One definition with all that a document shows of it, and the types in it."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.client import responses
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic_core import PydanticUndefined

from ..codec import adapter
from ..definitions import Description, flattened, placeholders, spellings_in
from ..readback import name_in_json
from .errors import HTTPValidationError
from .schemas import ANY, Mode, Schema, Schemas, json_of_default

Place = Literal["path", "query", "header", "cookie"]


class GuardParameter(NamedTuple):
    """A parameter of a dependency."""

    name: str
    place: Place
    type: Any
    is_required: bool
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """A definition with its documentation.

    Args:
        address: The path with the prefixes of all routers, and without the converters of its parameters.
        text: The description.
        responses: The app's ``responses``, as FastAPI takes them, by their statuses.
        guards: The parameters of its dependencies.
        scopes: The names of its security schemes, each with the scopes that it requires.
    """

    description: Description
    address: str
    title: str
    text: str
    tags: Sequence[str]
    deprecated: bool
    responses: Mapping[int | str, Mapping[str, Any]]
    guards: Sequence[GuardParameter]
    scopes: Mapping[str, Sequence[str]]


def heading(name: str) -> str:
    """Return the title of a route without a summary, as in OpenAPI."""
    return name.replace("_", " ").title()


def header(name: str) -> str:
    """Return the header that a parameter takes, as FastAPI makes it of the name."""
    return name.replace("_", "-")


def takes_hyphens(field: object) -> bool:
    """Return True unless a parameter or field is declared with ``Header(convert_underscores=False)``."""
    return bool(getattr(field, "convert_underscores", True))


class _Written(NamedTuple):
    """A parameter as clients write it: each field of a model is one of its own."""

    name: str
    place: Place
    type: Any
    is_required: bool
    default: Any
    is_of_dependency: bool


class Section:
    """A definition in a document: it first asks for the schemas of its types, and then reads them.

    Args:
        id: The id of its channel.
    """

    def __init__(self, id_: str, documented: Documented, schemas: Schemas) -> None:
        self.id = id_
        self.documented = documented
        self._schemas = schemas
        self._parameters = list(_parameters(documented))
        self._errors = dict(_errors(documented.responses))
        for part, type_, mode in self._types():
            schemas.add((id_, *part), type_, mode)

    def _types(self) -> Iterator[tuple[tuple[Hashable, ...], Any, Mode]]:
        described = self.documented.description
        yield ("value",), described.value_type, "serialization"
        if described.intake.value != "nothing":
            yield ("message",), described.message_type, "validation"
        for each in self._parameters:
            yield ("parameter", each.place, each.name), each.type, "validation"
        for status, answer in self._errors.items():
            if answer.get("model") is not None:
                yield ("error", status), answer["model"], "serialization"
        if self._validates():
            yield ("error", "422"), HTTPValidationError, "serialization"

    def _validates(self) -> bool:
        """Return whether a client's mistakes are answered with FastAPI's list of errors, as in OpenAPI."""
        is_given = any(status in self._errors for status in ("422", "4XX", "default"))
        return not is_given and bool(self._parameters or self.documented.description.intake.value != "nothing")

    def schema(self, *part: Hashable) -> Schema:
        """Return the schema of a part of the definition."""
        return self._schemas.of((self.id, *part))

    def resolved(self, schema: Schema) -> Schema:
        """Return the schema that another one refers to; itself if it refers to none."""
        return self._schemas.resolved(schema)

    def row_field(self, name: str) -> str:
        """Return the name in JSON of a field of a table's rows."""
        return name_in_json(adapter(self.documented.description.value_type), name)

    def row_key(self, name: str, types: Sequence[str]) -> Schema:
        """Return the schema of the key of a table's rows; that of any JSON if it is not of one of some types.

        Args:
            name: The field of a row that is its key, by its name in JSON.
        """
        model = self.resolved(self.schema("value"))
        schema: Schema = model.get("properties", {}).get(name, {})
        return schema if schema.get("type") in types and "format" not in schema else dict(ANY)

    def parameters(self, *places: Place) -> list[Schema]:
        """Return the parameters in some places."""
        return [each for each in self._described if each["in"] in places]

    @cached_property
    def _described(self) -> list[Schema]:
        return [self._parameter(each) for each in self._parameters]

    def _parameter(self, parameter: _Written) -> Schema:
        schema = self.schema("parameter", parameter.place, parameter.name)
        default = None if parameter.is_required else json_of_default(parameter.type, parameter.default)
        made: Schema = {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.is_required,
            "schema": schema if default is None else schema | {"default": default},
        }
        if default is not None:
            made["default"] = default
        if (text := schema.get("description")) is not None:
            made["description"] = text
        if parameter.is_of_dependency:
            made["dependency"] = True
        return made

    def errors(self) -> dict[str, Schema]:
        """Return the answers that refuse a client or report an error, by their statuses."""
        own = {status: self._error(status, answer) for status, answer in self._errors.items()}
        if self._validates():
            own["422"] = {"description": "Validation Error", "schema": self.schema("error", "422")}
        return dict(sorted(own.items()))

    def _error(self, status: str, answer: Mapping[str, Any]) -> Schema:
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if answer.get("model") is not None:
            schema = self.schema("error", status)
        elif "$ref" in repr(schema):  # to a schema that this document does not have
            schema = None
        return {"description": answer.get("description") or _phrase(status), "schema": schema}


def _phrase(status: str) -> str:
    return responses.get(int(status), "Error") if status.isdigit() else "Error"


def _errors(given: Mapping[int | str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for status, answer in given.items():
        text = str(status)
        if text[:1] in "45" or text.lower() == "default":
            yield (text.lower() if text.lower() == "default" else text.upper()), answer


def _parameters(documented: Documented) -> Iterator[_Written]:
    seen: set[tuple[str, str]] = set()
    own = [(*each, False) for each in documented.description.parameters]
    for each in (*own, *((*guard, True) for guard in documented.guards)):
        for parameter in _flat(_Written(*each)):
            if (parameter.place, parameter.name) not in seen and _is_shown(parameter.type):
                seen.add((parameter.place, parameter.name))
                yield parameter
    for name in placeholders(documented.address):
        if ("path", name) not in seen:
            yield _Written(name, "path", str, True, None, True)


def _flat(parameter: _Written) -> Iterator[_Written]:
    """Yield a parameter; in place of a model, its fields."""
    model = None if parameter.place == "path" else flattened(parameter.type)
    if model is None:
        yield parameter
        return
    metadata = get_args(parameter.type)[1:] if get_origin(parameter.type) is Annotated else ()
    names = spellings_in(model)
    for name, field in model.model_fields.items():
        written = names[name][0]
        if parameter.place == "header" and written == name and all(map(takes_hyphens, (field, *metadata))):
            written = header(name)
        is_required = parameter.is_required and field.is_required()
        default = None if field.default is PydanticUndefined else field.default
        type_ = Annotated[field.annotation, field] if field.metadata else field.annotation
        yield _Written(written, parameter.place, type_, is_required, default, parameter.is_of_dependency)


def _is_shown(annotation: Any) -> bool:
    """Return whether the app shows a parameter: ``Query(include_in_schema=False)`` hides it."""
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return all(getattr(each, "include_in_schema", True) for each in metadata)
