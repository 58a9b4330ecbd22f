"""The way from the values of a feed or topic to payloads."""

from collections.abc import Callable
from typing import Any, get_origin, get_type_hints

from pydantic import BaseModel

from ..codec import encoder, piece_of_text, plain_type, text_last
from ..log.kinds import Values

RowOf = Callable[[Any], Any]


def type_of_row(type_: Any, by: str) -> Any:
    """Return the type of the field that identifies a row; ``Any`` if it may be of any type."""
    plain = plain_type(type_)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return plain.model_fields[by].rebuild_annotation()
    return get_type_hints(get_origin(plain) or plain, include_extras=True).get(by, Any)


def values_of(type_: Any, row_of: RowOf | None, text: str | None) -> Values:
    """Return the way from values of a type to payloads.

    Args:
        text: Name of the text that grows in the JSON of a row; empty if the values are texts that grow; None if they do
            not grow.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic cannot serialise the type.
    """
    encode = encoder(type_).encode
    if text is None:
        return Values(encode=encode, row_of=row_of)
    if not text:
        return Values(encode=encode, grow=str.encode)
    return Values(encode=text_last(encode, text), row_of=row_of, grow=piece_of_text, field=text)
