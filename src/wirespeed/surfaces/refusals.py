"""Refusals before a client is served: the app's own, on all surfaces, and those of feeds and topics without room."""

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import Message, Scope, Send

from ..errors import Unavailable
from ..hub import Hub
from ..hub.engine import KeyRefused

RETRY_AFTER = {"retry-after": "1"}
LAST_RUN_GOES_ON = "The feed is still stopping its previous run; try again."

_COUNTED = "wirespeed.counted"


def mark_counted(scope: Scope) -> None:
    """Record that a refusal was counted by its reason, so that its status is not counted as well."""
    scope[_COUNTED] = True


def is_counted(scope: Scope) -> bool:
    """Return True if the refusal of a request or handshake was counted."""
    return _COUNTED in scope


def noting(scope: Scope, send: Send, refused: Callable[[Scope, int], None]) -> Send:
    """Return a ``send`` that reports an answer which refuses a client, such as those of guards and validation."""
    is_open = False

    def noted(message: Message) -> Awaitable[None]:  # no coroutine of its own: it would cost more than all the rest
        nonlocal is_open
        if not is_open:
            is_open = True  # the first message decides
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    refused(scope, message["status"])
            elif message["type"] == "websocket.close":
                refused(scope, HTTPStatus.FORBIDDEN)
        return send(message)

    return noted


@contextmanager
def refusing(hub: Hub, scope: Scope) -> Iterator[None]:
    """Turn the errors of code that makes room for a client into answers over HTTP.

    Raises:
        HTTPException: The refusal of the feed's generator; 503, too many keys are watched, the broker cannot be
            reached, the client waited too long, or the app has stopped: some servers accept connections until the very
            end.
    """
    try:
        yield
    except KeyRefused as error:
        raise http_refusal(error) from None
    except Unavailable as error:
        hub.refused(error.cause, scope["path"], str(error))
        mark_counted(scope)
        raise unavailable(error) from None
    except TimeoutError:
        raise HTTPException(503, LAST_RUN_GOES_ON, RETRY_AFTER) from None


def http_refusal(error: KeyRefused) -> HTTPException:
    """Return the answer over HTTP to a client whom the generator of a feed refuses."""
    status, detail, _, headers = error.refusal
    others = {name: value for name, value in headers.items() if name.lower() != "retry-after"}
    return HTTPException(status, detail, {**others, "retry-after": str(max(math.ceil(error.left), 1))})


def unavailable(error: Unavailable) -> HTTPException:
    """Return the answer over HTTP to a client that may try again."""
    return HTTPException(503, error.advice, RETRY_AFTER)
