"""Authenticators: the app's own code that identifies clients by their tokens."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from ..errors import InvalidToken
from ..hub import Hub
from ..identity import Grant, Identity, check_time
from ..runs.outcome import Outcome
from .runs import run_for_client

T = TypeVar("T")

Authenticate = Callable[[str, HTTPConnection], Awaitable[Identity | None]]
"""An async function that is an authenticator without grants: see :meth:`Authenticator.connect`."""


class Authenticator(ABC):
    """Identifies the clients of an app by their tokens, for ``Live(app, authenticate=...)``.

    An app without tokens for single channels can pass an async function in place of :meth:`connect` instead.
    """

    @abstractmethod
    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        """Return the identity of a client, or None to refuse it.

        Args:
            token: The client's token; empty if it has none.
            connection: The handshake, or the request of another surface.

        Raises:
            InvalidToken: The token is forged, or is for something else.
            TokenExpired: The token has expired; the client is asked for a new one.
            TokensUnavailable: The token cannot be verified now; the client may try again.
        """

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        """Return what the token of one subscription grants.

        Unless a subclass defines this method, the app's dependencies get the token instead, as the ``Authorization``
        header.

        Args:
            token: The token of the subscription.
            channel: The channel that the client wants to subscribe to.
            identity: The identity of the client.

        Raises:
            InvalidToken: The token is forged, or is for another channel or user.
            TokenExpired: The token has expired; the client is asked for a new one.
            TokensUnavailable: The token cannot be verified now; the client may try again.
        """
        raise InvalidToken("tokens of subscriptions are not accepted")


class _Function(Authenticator):
    """An authenticator made of a function."""

    def __init__(self, function: Authenticate) -> None:
        self._function = function

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        return await self._function(token, connection)


def authenticator_of(given: Authenticator | Authenticate | None) -> Authenticator | None:
    """Return the ``authenticate`` argument of a ``Live`` as an authenticator."""
    return given if given is None or isinstance(given, Authenticator) else _Function(given)


def has_grants(authenticator: Authenticator) -> bool:
    """Return whether an authenticator verifies the tokens of single subscriptions."""
    return type(authenticator).grant is not Authenticator.grant


async def identified(
    hub: Hub,
    authenticator: Authenticator,
    token: str,
    handshake: HTTPConnection,
    is_cancelled: Callable[[], bool] | None = None,
) -> Outcome[Identity | None]:
    """Ask the app's authenticator for an identity and return how that ended."""

    async def run() -> Identity | None:
        found = await authenticator.connect(token, handshake)
        return None if found is None else identity_of(found)

    return await run_for_client(hub, "authenticate", run, is_cancelled, what="the identification of a client")


def bearer_of(header: str) -> str:
    """Return the token of an ``Authorization`` header (RFC 6750, section 2.1); empty if it has none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def identity_of(value: object) -> Identity:
    """Return a value as an identity.

    Raises:
        Exception: It is not an identity, or one of its fields has a wrong type.
    """
    identity = _of_type(value, Identity, "an Identity")
    _check_text(identity.user, "user")
    _check_text(identity.session, "session")
    check_time(identity.expires_at)
    channels: Any = identity.subscriptions
    if isinstance(channels, str | bytes) or not isinstance(channels, Collection):
        raise TypeError(f"expected subscriptions as a list of channels, got {type(channels).__name__}")
    for channel in channels:
        _check_text(channel, "subscriptions")
    return identity


def grant_of(value: object) -> Grant:
    """Return a value as a grant; raise as :func:`identity_of` does."""
    grant = _of_type(value, Grant, "a Grant")
    check_time(grant.expires_at)
    return grant


def _check_text(value: object, name: str) -> None:
    try:
        _of_type(value, str, f"{name} as a str").encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: half of a surrogate pair is not text") from None


def _of_type(value: object, kind: type[T], called: str) -> T:
    if not isinstance(value, kind):
        # Only its type: the log must not show what may be a token.
        raise TypeError(f"expected {called}, got {type(value).__name__}")
    return value
