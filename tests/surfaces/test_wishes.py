"""Wishes: the options of a client beside the key, and the errors of invalid ones."""

from inspect import Parameter
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tests.hub.watching import topic
from wirespeed import Live
from wirespeed.definitions import Key, watched_of
from wirespeed.log.position import Position
from wirespeed.surfaces.wishes import last_event, wants_positions, wish_of


def test_nothing_is_wished_for() -> None:
    """Without parameters, and with unknown ones, there is no wish."""
    assert wish_of(topic(), {}) == (None, None)
    assert wish_of(topic(), {"token": "x"}) == (None, None)


@pytest.mark.parametrize(
    ("declared", "asked", "rate"),
    [
        (None, "5", 5),
        (None, "7.5", 5),
        (None, "1e3", 60),
        (30, None, 30),
        (30, "5", 5),
        (30, "60", 30),
        (7.5, None, 5),
    ],
)
def test_rate_is_the_lower_one(declared: float | None, asked: str | None, rate: int) -> None:
    """A client may ask for a lower rate than was declared, and never gets a higher one."""
    query = {} if asked is None else {"max_rate": asked}
    assert wish_of(topic(max_rate=declared), query).rate == rate


def test_position_is_understood() -> None:
    """A client names its position; one from a header such as Last-Event-ID takes precedence over the query."""
    assert wish_of(topic(), {"since": "e1:7"}).since == ("e1", 7)
    assert wish_of(topic(), {"since": "e1:7"}, Position("e2", 1)).since == ("e2", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_rate", "0"),
        ("max_rate", "0.5"),
        ("max_rate", "-5"),
        ("max_rate", "nan"),
        ("max_rate", "fast"),
        ("max_rate", ""),
        ("since", "7"),
        ("since", "e1:-7"),
        ("since", ""),
        ("since", "x" * 100_000),
    ],
)
def test_what_cannot_be_understood_is_refused(name: str, value: str) -> None:
    """The answer is FastAPI's 422, bounded, and names the parameter."""
    with pytest.raises(HTTPException) as refused:
        wish_of(topic(), {name: value})
    assert refused.value.status_code == 422
    detail: Any = refused.value.detail
    assert detail[0]["loc"] == ["query", name]
    assert len(str(detail)) < 500


def test_what_is_part_of_the_key_is_no_wish() -> None:
    """The key of a feed may have parameters of these names."""
    watched = topic()
    names = ("max_rate", "since", "positions")
    watched.key = Key("x", [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=str) for name in names])
    query = {"max_rate": "fast", "since": "yesterday", "positions": "1"}
    assert wish_of(watched, query) == (None, None)
    assert not wants_positions(watched, query)


@pytest.mark.parametrize(("value", "wants"), [("1", True), ("0", False), ("", False), ("true", False)])
def test_positions_are_asked_for(value: str, wants: bool) -> None:
    """Positions come only if a client asks for them."""
    assert wants_positions(topic(), {"positions": value}) is wants
    assert not wants_positions(topic(), {})


def test_last_event_is_never_an_error() -> None:
    """A browser cannot change an id that it got elsewhere: an unknown id counts as a lost position."""
    assert last_event("e1:7") == ("e1", 7)
    for text in ("", "complete", "7", "x" * 1000):
        assert str(last_event(text)) == "unknown:0"


def test_alias_of_a_parameter_of_the_key_is_no_wish() -> None:
    """A key whose parameter has the name of a wish keeps that name for itself."""
    parameter = Parameter("start", Parameter.KEYWORD_ONLY, annotation=Annotated[str, Query(alias="since")])
    watched = topic()
    watched.key = Key("topic", [parameter])
    assert wish_of(watched, {"since": "yesterday"}) == (None, None)


class Filters(BaseModel):
    """A query model with fields that are named as wishes."""

    since: str = ""
    rate: str = Field("", alias="max_rate")


class Open(BaseModel, extra="allow"):
    """A query model that takes any name."""


@pytest.mark.parametrize("model", [Filters, Open])
def test_fields_of_a_model_are_no_wishes(model: type[BaseModel]) -> None:
    """A parameter that a model of the key reads is part of the key."""

    def found(filters: Annotated[model, Query()]) -> None: ...  # type: ignore[valid-type]

    watched = watched_of(Live(FastAPI()).topic("/found", str)(found))
    assert wish_of(watched, {"since": "2024", "max_rate": "x"}) == (None, None)
