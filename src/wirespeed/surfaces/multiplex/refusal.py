"""Refusals: in the protocol each is an error of one command, and never the end of the connection."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import responses
from typing import Any

from starlette.exceptions import HTTPException

from ...centrifuge import codes
from ...centrifuge.codec import writable
from ...centrifuge.codes import Error, Unsubscription
from ...codec import safe_detail
from ...errors import Unavailable
from ...hub.engine import KeyRefused
from ...runs.outcome import Refused
from ..answers import answer_to
from ..refusals import LAST_RUN_GOES_ON, http_refusal
from ..runs import message_of

_BY_STATUS = {
    401: codes.UNAUTHORIZED,
    403: codes.PERMISSION_DENIED,
    404: codes.UNKNOWN_CHANNEL,
    429: codes.TOO_MANY_REQUESTS,
}

_REFUSED = 2000
"""Code that is added to a status when a subscription ends by it."""

TEMPORARY = (502, 503, 504)
"""Statuses that pass by themselves; SDKs retry a temporary error without end."""


class CommandRefused(Exception):
    """A command is answered with an error."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the errors of code that makes room for a client into errors of a command.

    Raises:
        CommandRefused: The refusal of the feed's generator or the topic's loader; 503, too many keys are watched, the
            broker cannot be reached, the feed is still stopping its previous run, or the app has stopped.
    """
    try:
        yield
    except KeyRefused as error:
        raise CommandRefused(_error_for(http_refusal(error))) from None
    except Unavailable as error:
        raise CommandRefused(error_of(503, error.advice)._replace(name=error.cause)) from None
    except TimeoutError:
        raise CommandRefused(error_of(503, LAST_RUN_GOES_ON)) from None
    except HTTPException as error:
        raise CommandRefused(_error_for(error)) from None


def error_of(status: int, detail: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Error:
    """Return the error that stands for a response of the app.

    Args:
        headers: The headers; a ``WWW-Authenticate`` that names an expired token (RFC 6750, section 3) counts.
    """
    safe = safe_detail(message_of(status, detail) if isinstance(detail, str) else detail)
    return _error_of(status, detail, headers)._replace(status=status, detail=safe)


def error_by(refused: Refused) -> Error:
    """Return the error that stands for a refusal by code of the app."""
    return _error_for(answer_to(refused))


def _error_for(answer: HTTPException) -> Error:
    return error_of(answer.status_code, answer.detail, _headers_of(answer))


def _headers_of(error: HTTPException) -> list[tuple[bytes, bytes]]:
    """Return the headers of the response that an exception stands for."""
    # As text: Retry-After is easily written as a number.
    headers = dict(error.headers or {}).items()
    return [(str(name).encode(errors="replace"), str(value).encode(errors="replace")) for name, value in headers]


def _error_of(status: int, detail: Any, headers: Iterable[tuple[bytes, bytes]]) -> Error:
    """Return the error as official SDKs get it, with a message only."""
    if status == 422 and isinstance(detail, list):
        return codes.BAD_REQUEST._replace(message=_invalid(detail))
    said = writable(message_of(status, detail))
    if status == 401 and _is_expired(headers):
        return codes.TOKEN_EXPIRED
    if status in _BY_STATUS:
        error = _BY_STATUS[status]
        is_own = status == 404 and isinstance(detail, dict | list)  # the app lacks data; the channel is not unknown
        return error._replace(message=said) if is_own or said != responses.get(status) else error
    # A redirect, for example, would be the same the next time: clients must not retry it without end.
    return Error(status, said, status in TEMPORARY) if status >= 400 else codes.INTERNAL._replace(temporary=False)


def unsubscription_of(status: int, detail: Any) -> Unsubscription:
    """Return the end of a subscription that the app refuses after it has begun."""
    error = error_of(status, detail)
    return Unsubscription(_REFUSED + status if status < 500 else codes.FAILED.code, error.message, error)


def detail_of(body: bytes) -> Any:
    """Return the ``detail`` in the body of a response; None if it has none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content.get("detail") if isinstance(content, dict) else None


def _is_expired(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"www-authenticate" and b"expired" in value.lower() for name, value in headers)


def _invalid(detail: list[Any]) -> str:
    """Return the first of FastAPI's validation errors, with its field."""
    first = detail[0] if detail and isinstance(detail[0], dict) else {}
    loc = first.get("loc")
    where = ".".join(map(str, loc[1:])) if isinstance(loc, list | tuple) else ""
    said = str(first.get("msg", codes.BAD_REQUEST.message))
    return writable(message_of(422, f"{where}: {said}" if where else said))
