"""Who is at the other end of a connection, and what its commands enter the app with."""

import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ...centrifuge import codes
from ...centrifuge.codes import ProtocolError
from ...centrifuge.messages import Connect
from ...errors import InvalidToken, TokenExpired, TokensUnavailable
from ...identity import Grant, Identity
from .entry import Channel, Entry, base_of, virtual_scope
from .payloads import Refused
from .refusal import error_of
from .site import Authenticate, VerifiesSubscriptions

logger = logging.getLogger("wirespeed")

IDENTITY = "wirespeed.identity"
GRANT = "wirespeed.grant"

_SEEN = ("app", "path", "raw_path", "query_string")
"""Of the handshake, what channels have instead, and who says who it is may want to see."""

ANONYMOUS = Identity()
_NO_GRANT = Grant()


class Credentials:
    """What a handshake and its tokens say.

    Args:
        scope: The handshake's; it may be emptied later.
        authenticate: Who is at the other end; None for nobody knows.
    """

    __slots__ = ("_authenticate", "_base", "_handshake", "_token", "identity")

    def __init__(self, scope: Scope, authenticate: Authenticate | None) -> None:
        self._base = base_of(scope)
        self._authenticate = authenticate
        self._handshake = {} if authenticate is None else {name: scope[name] for name in _SEEN if name in scope}
        self._token = ""
        self.identity = ANONYMOUS

    async def connect(self, command: Connect) -> Identity:
        """The identity of a client that connects.

        Raises:
            ProtocolError: It has to go: its token is invalid, or it has none and needs one.
            Refused: Its token has expired, or nobody can tell now.
        """
        headers = {name.lower(): value for name, value in command.headers.items()}
        token = command.token or bearer_of(headers.get("authorization", ""))
        self.identity = await self._identified(token)
        self._token = token
        return self.identity

    async def refresh(self, token: str) -> Identity:
        """The identity of a client that brings a new token; raises as :meth:`connect`."""
        if self._authenticate is None:
            raise Refused(codes.NOT_AVAILABLE)
        identity = await self._identified(token)
        if identity.user != self.identity.user:
            raise ProtocolError(codes.INVALID_TOKEN, "a token of another user")
        self.identity, self._token = identity, token
        return identity

    async def _identified(self, token: str) -> Identity:
        if self._authenticate is None:
            return ANONYMOUS
        handshake = HTTPConnection({**self._base, **self._handshake, "type": "websocket"})
        try:
            identity = await self._authenticate(token, handshake)
        except InvalidToken as error:
            raise ProtocolError(codes.INVALID_TOKEN, str(error)) from None
        except TokenExpired:
            raise Refused(codes.TOKEN_EXPIRED) from None
        except TokensUnavailable:
            raise Refused(codes.INTERNAL) from None
        except HTTPException as error:
            raise Refused(error_of(error.status_code, error.detail, _raw(error))) from None
        except Exception:
            logger.exception("A client could not be authenticated.")
            raise Refused(codes.INTERNAL) from None
        if identity is None:
            raise ProtocolError(codes.BAD_PROTOCOL, "no credentials")
        if identity.expires_at is not None and identity.expires_at <= time.time():
            raise Refused(codes.TOKEN_EXPIRED)
        return identity

    async def grant(self, token: str, channel: str) -> Grant | None:
        """What a subscription token grants; None if there is none, or nobody who could verify it.

        Raises:
            Refused: It is forged or for something else (103), has expired (109), or nobody can tell now (100).
        """
        verifier: Any = self._authenticate
        if not token or not hasattr(verifier, "subscription"):
            return None
        verifies: VerifiesSubscriptions = verifier
        try:
            grant = await verifies.subscription(token, channel, self.identity)
        except InvalidToken:
            raise Refused(codes.PERMISSION_DENIED) from None
        except TokenExpired:
            raise Refused(codes.TOKEN_EXPIRED) from None
        except TokensUnavailable:
            raise Refused(codes.INTERNAL) from None
        except Exception:
            logger.exception("%s: a subscription token could not be verified", channel)
            raise Refused(codes.INTERNAL) from None
        if grant.expires_at is not None and grant.expires_at <= time.time():
            raise Refused(codes.TOKEN_EXPIRED)
        return grant

    def scope(self, channel: Channel, entry: Entry, token: str, grant: Grant | None) -> Scope:
        """The scope by which a channel is entered.

        Args:
            channel: The channel.
            entry: Who is told.
            token: A subscription token that the app is to verify; in place of the connection's.
            grant: What a subscription token that was verified grants.
        """
        scope = virtual_scope(self._base, channel, entry, token or self._token)
        scope[IDENTITY] = self.identity
        scope[GRANT] = grant
        return scope


def required_grant(connection: HTTPConnection) -> Grant:
    """As a dependency: the client has to bring a subscription token for this channel.

    Raises:
        HTTPException: 403, it has not.
    """
    grant = connection.scope.get(GRANT)
    if not isinstance(grant, Grant):
        raise HTTPException(403, codes.PERMISSION_DENIED.message)
    return grant


def bearer_of(header: str) -> str:
    """The token of an ``Authorization`` header (RFC 6750, section 2.1)."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _raw(error: HTTPException) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
