"""GET on a feed or topic: its newest value, or Server-Sent Events."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..codec import plain_type
from ..definitions import SourceHealth, Watched
from ..hub import Hub
from ..hub.engine import Newest, NoValue
from .admitted import check_revoked
from .bodies import accepts_events
from .events import COMPLETE_ID, REFUSED_ID, EventsResponse
from .refusals import RETRY_AFTER, refusing
from .watching import check_key
from .whole import WholeResponse
from .wires import event_wire
from .wishes import last_event, limit_of, wants_pieces, wish_of

STATUS = "wirespeed-status"
"""Header of a value that is the last one, or whose source is not live: the status as JSON."""
COMPLETE = '{"state":"complete"}'

_NO_CACHE = {"cache-control": "no-cache", "vary": "accept"}


async def answer(request: Request, watched: Watched[Any, Any], hub: Hub, arguments: Mapping[str, Any]) -> Response:
    """Answer one GET or HEAD.

    Raises:
        HTTPException: 404, a topic without a value; 406, events of bytes, or the newest value of a log that withholds
            earlier ones; 414, the key is too long; 422, a wish is invalid; 503, no value came in time, or too many keys
            are watched.
    """
    check_key(hub, watched, arguments)
    if accepts_events(", ".join(request.headers.getlist("accept")) or None):
        return _events(request, watched, hub, arguments)
    if watched.options.history is not True:
        raise HTTPException(
            406, f"This {watched.kind} withholds earlier values: accept text/event-stream for new ones."
        )
    limit = limit_of(watched, request.query_params)
    values = watched.key.pick(arguments)
    name = hub.name(watched, watched.key.text(values))
    engine = await hub.engine()
    timeout = hub.settings.first_value_timeout
    with refusing(hub, request.scope):
        try:
            # One row of a table tells whether it has any; the others are read if the client does not have them.
            newest = await engine.first(watched, name, values, timeout, 1)
        except NoValue as late:
            raise _too_late(late.health, timeout) from None
    check_revoked(hub, request.scope, name)  # it may have waited
    headers, is_table = _status(newest), watched.retention.kind == "table"
    if not newest.entries and not (is_table and (newest.log.position.offset or watched.loader is not None)):
        raise HTTPException(404, f"This {watched.kind} has no value.", headers)
    return _newest(request, watched, hub, newest, limit, headers)


def _events(request: Request, watched: Watched[Any, Any], hub: Hub, arguments: Mapping[str, Any]) -> Response:
    if plain_type(watched.value_type) is bytes:
        raise HTTPException(406, f"This {watched.kind} has values of bytes, which Server-Sent Events cannot carry.")
    given = request.headers.get("last-event-id", "").strip() or None
    if given in (COMPLETE_ID, REFUSED_ID):
        return Response(status_code=204)  # by which an EventSource does not reconnect
    wish = wish_of(watched, request.query_params, None if given is None else last_event(given))
    wire = event_wire(grows=wants_pieces(watched, request.query_params))
    return EventsResponse(hub, watched, arguments, wish, wire)


def _too_late(health: SourceHealth | None, timeout: float) -> HTTPException:
    said = f"No value came within {timeout:g} seconds"
    if health is None:
        return HTTPException(503, f"{said}.", RETRY_AFTER)
    why = f"the source is {health.state}" + (f" ({health.reason})" if health.reason else "")
    return HTTPException(503, f"{said}: {why}.", {**RETRY_AFTER, STATUS: health.as_json()})


def _status(newest: Newest) -> dict[str, str]:
    """Return the header of a key that is complete, or whose source is not live."""
    if newest.log.is_complete:
        return {STATUS: COMPLETE}
    return {} if newest.health is None else {STATUS: newest.health.as_json()}


def _newest(
    request: Request,
    watched: Watched[Any, Any],
    hub: Hub,
    newest: Newest,
    limit: int | None,
    more: Mapping[str, str],
) -> Response:
    etag = f'"{newest.log.position}"'
    headers = _NO_CACHE | {"etag": etag, **more}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if watched.retention.kind == "table":
        rows = newest.log.payloads(limit) if newest.entries else []
        size = sum(map(len, rows)) + max(len(rows) - 1, 0) + 2
        return WholeResponse(hub, _joined(rows), size, "application/json", headers)
    payload = newest.entries[-1].payload
    return WholeResponse(hub, (payload,), len(payload), media_type_of(watched), headers)


def _joined(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts of a JSON array."""
    separator = b"["
    for row in rows:
        yield separator
        yield row
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def _matches(condition: str | None, etag: str) -> bool:
    """Return True if the client has this value already (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in (condition or "").split(",")]
    return "*" in tags or etag in tags


def media_type_of(watched: Watched[Any, Any]) -> str:
    """Return the media type of a value over HTTP."""
    kind = plain_type(watched.value_type)
    return {str: "text/plain", bytes: "application/octet-stream"}.get(kind, "application/json")
