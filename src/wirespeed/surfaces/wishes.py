"""Wishes: the options of one client beside the key: ``?max_rate=5``, ``?positions=1``, ``?append=1``,
``?since=epoch:offset``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from starlette.exceptions import HTTPException

from ..codec import plain_type
from ..definitions import Watched
from ..hub.clock import rate_class
from ..log.position import Position


class Wish(NamedTuple):
    """The wishes of one client."""

    rate: int | None
    """The most writes per second, one of :data:`wirespeed.hub.clock.RATES`; None for no limit."""
    since: Position | None
    """The position from which the client resumes; None if it starts."""


def wish_of(watched: Watched[Any, Any], query: Mapping[str, str], since: Position | None = None) -> Wish:
    """Return the wishes of one client. A parameter that is part of the key is not a wish.

    Raises:
        HTTPException: 422, in FastAPI's form: a wish is invalid.
    """
    if since is None and (given := _wished(watched, query, "since")) is not None:
        since = _position(given)
    return Wish(_rate(watched, _wished(watched, query, "max_rate")), since)


def _wished(watched: Watched[Any, Any], query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    return None if value is None or watched.key.reads(name) else value


def last_event(text: str) -> Position:
    """Return the position in a ``Last-Event-ID``. If it is not a position, return one that no log has: the client then
    learns that it has lost values."""
    try:
        return Position.parse(text)
    except ValueError:
        return Position("unknown", 0)


def wants_positions(watched: Watched[Any, Any], query: Mapping[str, str]) -> bool:
    """Return True if each value has to come with its position.

    Raises:
        HTTPException: 422, the values are ``bytes``, which JSON cannot carry.
    """
    wanted = _wished(watched, query, "positions") == "1"
    if wanted and plain_type(watched.value_type) is bytes:
        raise _refusal("positions", f"is not available: this {watched.kind} has values of bytes", "1")
    return wanted


def wants_pieces(watched: Watched[Any, Any], query: Mapping[str, str]) -> bool:
    """Return True if the client applies the pieces of a growing text.

    Raises:
        HTTPException: 422, nothing grows here.
    """
    wanted = _wished(watched, query, "append") == "1"
    if wanted and watched.options.grows is False:
        raise _refusal("append", f"is not available: nothing grows in this {watched.kind}", "1")
    return wanted


def limit_of(watched: Watched[Any, Any], query: Mapping[str, str]) -> int | None:
    """Return the largest number of rows that a GET wants; None for all.

    Raises:
        HTTPException: 422, it is not a number, or this is not a table.
    """
    asked = _wished(watched, query, "limit")
    if asked is None:
        return None
    if watched.retention.kind != "table":
        raise _refusal("limit", f"is not available: this {watched.kind} is not a table", asked)
    if not (asked.isascii() and asked.isdecimal() and len(asked) <= 9):
        raise _refusal("limit", "should be a number of rows, 0 or more", asked)
    return int(asked)


def _rate(watched: Watched[Any, Any], asked: str | None) -> int | None:
    rates = [] if watched.options.max_rate is None else [watched.options.max_rate]
    if asked is not None:
        try:
            rate_class(float(asked))
        except ValueError:
            raise _refusal("max_rate", "should be a number of at least 1 per second", asked) from None
        rates.append(float(asked))
    return rate_class(min(rates, default=None))


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError as error:
        raise _refusal("since", str(error), text) from None


def _refusal(name: str, problem: str, value: str) -> HTTPException:
    detail: Any = {"type": "value_error", "loc": ["query", name], "msg": problem, "input": value[:100]}
    return HTTPException(422, cast("Any", [detail]))  # as FastAPI answers; its own HTTPException takes any JSON
