"""Messages in JSON, as the server reads them: Pydantic writes a value as one that the server sends."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

from .naming import spellings_in


def written(adapter: TypeAdapter[Any], value: Any) -> Any:
    """Return a validated value in the types of JSON, so that the same type reads it.

    Fields have the names by which they are read, computed fields are left out, and secrets are not masked. What the
    app serialises by functions of its own is as they return it.
    """
    return _read(value, adapter.dump_python(value, mode="json", by_alias=True))


def _read(value: Any, sent: Any) -> Any:
    """Return the JSON of a value as it is read, from its JSON as it is sent."""
    match value, sent:
        case ((SecretStr() | SecretBytes()), str()) if set(sent) <= {"*"}:
            secret = value.get_secret_value()
            return secret if isinstance(secret, str) else secret.decode()
        case RootModel(), _:
            return _read(value.root, sent)
        case BaseModel(), dict():
            return dict(_fields(value, sent)) if sent.keys() <= _names(value) else sent
        case Mapping(), dict() if len(value) == len(sent):
            return {name: _read(each, sent[name]) for name, each in zip(sent, value.values(), strict=True)}
        case ((list() | tuple()), list()) if len(value) == len(sent):
            return [_read(each, one) for each, one in zip(value, sent, strict=True)]
    return sent


def _names(model: BaseModel) -> set[str]:
    """Return the names that the fields of a model have unless it is serialised by functions of the app."""
    fields, computed = type(model).model_fields, type(model).model_computed_fields
    return {
        *(_sent_name(name, field) for name, field in fields.items()),
        *(field.alias or name for name, field in computed.items()),
        *(model.model_extra or ()),
    }


def _sent_name(name: str, field: FieldInfo) -> str:
    return field.serialization_alias or field.alias or name


def _fields(model: BaseModel, sent: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    read = spellings_in(type(model))
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if (sent_name := _sent_name(name, field)) in sent:
            yield read[name][0], _read(value, sent[sent_name])
        elif field.exclude and name in model.model_fields_set:
            yield read[name][0], written(TypeAdapter(field.rebuild_annotation()), value)
    for name, value in (model.model_extra or {}).items():
        if name in sent:
            yield name, _read(value, sent[name])
