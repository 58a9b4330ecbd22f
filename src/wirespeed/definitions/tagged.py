"""Values with tags: names and texts that travel beside a value and that clients can filter by."""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, Strict, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import CoreSchema

from ..codec import plain_type
from ..log.base import Append, Marks
from ..spelling import metadata_of

T_co = TypeVar("T_co", covariant=True)

# The constraint makes Pydantic refuse text that UTF-8 cannot encode here, rather than when it is sent.
_Text = Annotated[str, Strict(), Field(min_length=0)]
_TAGS = TypeAdapter(dict[_Text, _Text])


class _Beside:
    """Keeps Pydantic from accepting ``Tagged`` as a type of values, with the tags as part of the data."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        problem = "only values of topics and feeds have tags; for a topic, name the type inside, T for Tagged[T]"
        raise PydanticUserError(problem, code=None)


class Tagged(NamedTuple, Generic[T_co]):
    """A value with tags, to be published or yielded. Clients of multiplexed connections can filter by the tags.

    Args:
        value: The value.
        tags: The tags: texts by their names.
    """

    value: T_co
    tags: Annotated[Mapping[str, str], _Beside()]


class Snapshot(Generic[T_co]):
    """A whole table, which a feed with ``by=`` yields instead of a row. It takes the place of all rows at once.

    Rows that are missing in it are removed, and those that have not changed are not sent again. Watchers and GETs never
    see a table that is half old and half new.

    Args:
        rows: The rows, each a value or :class:`Tagged`. Of two with the same key, the last one counts.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Iterable[T_co | Tagged[T_co]]) -> None:
        self.rows = tuple(rows)
        """The rows."""


def whole(value: Any) -> Iterable[Any] | None:
    """Return the rows of a snapshot; None for another value."""
    return value.rows if type(value) is Snapshot else None


_AROUND = (Tagged, Snapshot)


def checked(tags: object) -> dict[str, str]:
    """Return a copy of tags.

    Raises:
        pydantic.ValidationError: The tags are not a mapping of text to text.
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
    """Return the type of values of which some or all have tags, are in snapshots, or are appended: ``Trade`` for
    ``Tagged[Trade]`` and ``Snapshot[Trade]``, ``str`` for ``str | Append``."""
    plain = plain_type(annotation)
    members = get_args(plain)[:1] if get_origin(plain) in _AROUND else _members(plain)
    if get_origin(plain) in _AROUND or any(_is_around(each) for each in members):
        values = tuple(untagged(each) for each in members if each is not Append)
        kind: Any = Union[values]  # noqa: UP007 - of as many as there are
        around = metadata_of(annotation)  # serializers and constraints
        return Annotated[kind, *around] if around else kind
    return annotation


def _is_around(member: Any) -> bool:
    return member is Append or get_origin(plain_type(member)) in _AROUND


def has_snapshots(annotation: Any) -> bool:
    """Return True if some of the values of a type are whole tables."""
    plain = plain_type(annotation)
    return any(get_origin(plain_type(each)) is Snapshot for each in (plain, *_members(plain)))


def has_appends(annotation: Any) -> bool:
    """Return True if some of the values of a type are text for the end of a growing text."""
    return Append in (annotation, *_members(plain_type(annotation)))


def _members(plain: Any) -> tuple[Any, ...]:
    return get_args(plain) if get_origin(plain) in (Union, UnionType) else ()
