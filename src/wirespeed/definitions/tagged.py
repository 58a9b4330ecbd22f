"""Values with tags: a few words on a value, which travel beside it."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, Strict, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import CoreSchema

from ..codec import plain_type
from ..log.base import Marks

T_co = TypeVar("T_co", covariant=True)

# Constrained, since Pydantic then refuses what UTF-8 has no bytes for: here, and not on its way to clients.
_Text = Annotated[str, Strict(), Field(min_length=0)]
_TAGS = TypeAdapter(dict[_Text, _Text])


class _Beside:
    """Keeps Pydantic from taking what has tags for a type of values, with the tags as a part of the data."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        problem = "only values of topics and feeds have tags; of a topic name the type inside, T for Tagged[T]"
        raise PydanticUserError(problem, code=None)


class Tagged(NamedTuple, Generic[T_co]):
    """A value with tags, to publish or to yield: clients of the multiplexed connection can choose by them.

    Args:
        value: The value.
        tags: Names and what they say, both of them text.
    """

    value: T_co
    tags: Annotated[Mapping[str, str], _Beside()]


def checked(tags: object) -> dict[str, str]:
    """A copy of tags that are such.

    Raises:
        pydantic.ValidationError: They are not.
    """
    return _TAGS.validate_python(tags)


def split(value: Any) -> tuple[Any, Marks | None]:
    """Separate a value from its tags, if it has any.

    Raises:
        pydantic.ValidationError: The tags are not a mapping of text to text.
    """
    if type(value) is not Tagged:
        return value, None
    tags = checked(value.tags)
    return value.value, Marks(tags) if tags else None


def untagged(annotation: Any) -> Any:
    """The type of the values where some, or all, are said to come with tags: ``Trade`` for ``Tagged[Trade]``."""
    plain = plain_type(annotation)
    if get_origin(plain) is Tagged:
        return get_args(plain)[0]
    members = get_args(plain) if get_origin(plain) in (Union, UnionType) else ()
    if any(get_origin(plain_type(each)) is Tagged for each in members):
        return Union[tuple(untagged(each) for each in members)]  # noqa: UP007 - of as many as there are
    return annotation
