"""Authenticators: the app's own code that identifies clients by their tokens."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection

from ..errors import InvalidToken
from ..identity import Grant, Identity

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
