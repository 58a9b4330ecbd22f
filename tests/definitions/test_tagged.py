"""Values with tags: which tags are valid, and which type the values have."""

import dataclasses
from types import MappingProxyType
from typing import Annotated, Any, NewType

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from wirespeed.definitions import Tagged, split, untagged
from wirespeed.definitions.tagged import checked
from wirespeed.log.base import Marks


@dataclasses.dataclass
class Trade:
    side: str


Bought = NewType("Bought", Trade)


@pytest.mark.parametrize("tags", [{}, {"side": "buy"}, MappingProxyType({"side": "buy", "Größe": "🙂"})])
def test_tags_are_copied(tags: Any) -> None:
    """Any mapping of text to text is accepted and copied; later changes have no effect."""
    assert checked(tags) == tags
    assert checked(tags) is not tags


@pytest.mark.parametrize(
    "tags",
    [
        {"side": 5},
        {5: "buy"},
        {"side": None},
        {"side": b"buy"},
        {"a": "\ud800"},
        {"\ud800": "a"},
        "a",
        None,
        [("a", "b")],
    ],
)
def test_what_are_no_tags(tags: Any) -> None:
    """Tags are not converted; tags that cannot be sent are refused where they are published."""
    with pytest.raises(ValidationError):
        checked(tags)


def test_what_a_log_gets() -> None:
    """A value is separated from its tags, which are checked; a value without tags has no marks."""
    assert split(Tagged(5, {"a": "b"})) == (5, Marks({"a": "b"}))
    assert split(Tagged(5, {})) == split(5) == (5, None)
    with pytest.raises(ValidationError):
        split(Tagged(5, {"a": 5}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (Tagged[Trade], Trade),
        (Tagged[Annotated[int, "note"]], Annotated[int, "note"]),
        (Annotated[Tagged[Trade], "note"], Annotated[Trade, "note"]),
        (Tagged[Bought], Bought),
        (Trade | Tagged[Trade], Trade),
        (Tagged[Trade] | Tagged[int], Trade | int),
        (Tagged[int | str], int | str),
        (int | Annotated[Tagged[str], "note"], int | Annotated[str, "note"]),
    ],
)
def test_type_of_the_values(annotation: Any, values: Any) -> None:
    """The type is the one inside ``Tagged``, whether all values have tags or only some."""
    assert untagged(annotation) == values


@pytest.mark.parametrize(
    "annotation", [Trade, int | str, list[Tagged[int]], Annotated[int, "note"], Tagged, Any, dict[str, Trade]]
)
def test_annotations_without_tags(annotation: Any) -> None:
    """An annotation without ``Tagged`` is returned unchanged."""
    assert untagged(annotation) is annotation


@pytest.mark.parametrize("annotation", [Tagged, Tagged[int], list[Tagged[int]], int | Tagged[int]])
def test_tagged_is_no_type_of_values(annotation: Any) -> None:
    """Pydantic refuses ``Tagged``, so that tags never become data by mistake."""
    with pytest.raises(PydanticUserError, match="name the type inside"):
        TypeAdapter(annotation)
