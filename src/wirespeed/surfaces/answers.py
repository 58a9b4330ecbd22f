"""Answers over HTTP to code of the app that refuses its client by an exception."""

from starlette.exceptions import HTTPException

from ..errors import InvalidToken, TokenExpired, TokensUnavailable, Unavailable
from ..runs.outcome import Refused
from .refusals import RETRY_AFTER, unavailable


def unauthorized(problem: str) -> HTTPException:
    """Return the refusal of a token (RFC 6750, section 3)."""
    challenge = f'Bearer error="invalid_token", error_description="{problem}"'
    return HTTPException(401, problem, {"www-authenticate": challenge})


def token_answer(error: BaseException) -> HTTPException | None:
    """Return the answer that an error of tokens means; None for any other exception."""
    match error:
        case InvalidToken():  # whose text is for the log
            return unauthorized("The token is not valid.")
        case TokenExpired():
            return unauthorized("The token has expired.")
        case TokensUnavailable():
            return HTTPException(503, "Tokens cannot be verified now.", RETRY_AFTER)
    return None


def answer_to(refused: Refused) -> HTTPException:
    """Return the answer that a refusal means."""
    error = refused.error
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, Unavailable):
        return unavailable(error)
    return token_answer(error) or HTTPException(refused.status, refused.detail)
