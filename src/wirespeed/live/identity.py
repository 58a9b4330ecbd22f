"""Who watches, as a dependency."""

import time

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ..errors import InvalidToken, TokenExpired, TokensUnavailable
from ..identity import Identity
from ..runs.outcome import Cancelled, Completed, Failed, Refused, Unfinished
from ..surfaces.multiplex.credentials import ANONYMOUS, IDENTITY, bearer_of, identified
from .serving import required_serving


async def current_identity(connection: HTTPConnection) -> Identity:
    """As a dependency: who watches, as ``Live(authenticate=...)`` says; anonymous without that.

    On the multiplexed surface it was asked when the client connected. Elsewhere it is asked here, with the token of the
    ``Authorization`` header, if there is one.

    Raises:
        HTTPException: 401, the token is not good, or there is none and one is needed; 503, nobody can tell now.
    """
    identity = connection.scope.get(IDENTITY)
    if isinstance(identity, Identity):
        return identity
    serving = required_serving(connection.app)
    authenticate = serving.site.authenticate
    if authenticate is None:
        return ANONYMOUS
    token = bearer_of(connection.headers.get("authorization", ""))
    outcome = await identified(serving.hub, authenticate, token, connection)
    if not isinstance(outcome, Completed):
        raise _refused(outcome)
    found = outcome.value
    if found is None:
        raise HTTPException(401, "A token is needed.", {"www-authenticate": "Bearer"})
    if found.expires_at is not None and found.expires_at <= time.time():
        raise _unauthorized("The token has expired.")
    return found


def _refused(outcome: Unfinished) -> BaseException:
    """Return what to raise where the app's ``authenticate`` gives no identity."""
    match outcome:
        case Refused(InvalidToken()):
            return _unauthorized("The token is not valid.")
        case Refused(TokenExpired()):
            return _unauthorized("The token has expired.")
        case Refused(TokensUnavailable()):
            return HTTPException(503, "Tokens cannot be verified now.")
        case Failed():
            return HTTPException(500, "The authentication failed.")
        case Refused(error) | Cancelled(error):
            return error


def _unauthorized(problem: str) -> HTTPException:
    """A refusal of a token (RFC 6750, section 3)."""
    challenge = f'Bearer error="invalid_token", error_description="{problem}"'
    return HTTPException(401, problem, {"www-authenticate": challenge})
