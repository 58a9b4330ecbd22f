"""What a client asks for beside the key: ``?max_rate=5``, ``?positions=1``, ``?since=epoch:offset``."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from starlette.exceptions import HTTPException

from ..codec import plain_type
from ..definitions import Watched
from ..hub.clock import rate_class
from ..log.position import Position


class Wish(NamedTuple):
    """What one client asks for."""

    rate: int | None
    """At most so many times per second; a class of :data:`wirespeed.hub.clock.RATES`."""
    since: Position | None
    """Where it was, when it returns."""


def wish_of(watched: Watched[Any, Any], query: Mapping[str, str], since: Position | None = None) -> Wish:
    """What one client wishes. A parameter that is part of the key is no wish.

    Args:
        watched: The feed or topic.
        query: The parameters of its query string.
        since: Where it was, as it was told.

    Raises:
        HTTPException: 422, in FastAPI's form: a wish cannot be understood.
    """
    query = {name: value for name, value in query.items() if name not in watched.key.spellings}
    if since is None and (given := query.get("since")) is not None:
        since = _position(given)
    return Wish(_rate(watched, query.get("max_rate")), since)


def last_event(text: str) -> Position:
    """The position in a ``Last-Event-ID``; one that no log has for what is none, so that the client learns of it."""
    try:
        return Position.parse(text)
    except ValueError:
        return Position("unknown", 0)


def wants_positions(watched: Watched[Any, Any], query: Mapping[str, str]) -> bool:
    """Whether each value is to come with its position.

    Raises:
        HTTPException: 422, they are asked for of ``bytes``, which JSON cannot carry.
    """
    wanted = "positions" not in watched.key.spellings and query.get("positions") == "1"
    if wanted and plain_type(watched.value_type) is bytes:
        raise _refusal("positions", f"cannot be told: this {watched.kind} is of bytes", "1")
    return wanted


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
