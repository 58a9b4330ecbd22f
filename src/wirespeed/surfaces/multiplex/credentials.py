"""Who is at the other end of a connection, and what its commands enter the app with."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ...centrifuge import codes
from ...centrifuge.codes import ProtocolError
from ...centrifuge.messages import Connect
from ...codec import json_of
from ...errors import InvalidToken, TokenExpired, TokensUnavailable
from ...hub import Hub
from ...identity import Grant, Identity, Sender
from ...runs.outcome import Cancelled, Completed, Failed, Outcome, Unfinished
from ...runs.outcome import Refused as RunRefused
from ..authenticator import Authenticator, has_grants
from ..runs import refusal, run_for_client
from .checked import grant_of, identity_of
from .entry import Channel, Entry, base_of, virtual_scope
from .payloads import Refused
from .refusal import error_of

IDENTITY = "wirespeed.identity"
GRANT = "wirespeed.grant"
SENDER = "wirespeed.sender"

_SEEN = ("app", "path", "raw_path", "query_string")
"""Of the handshake, what channels have instead, and who says who it is may want to see."""

ANONYMOUS = Identity()
_NO_GRANT = Grant()


class Credentials:
    """What a handshake and its tokens say.

    Args:
        scope: The handshake's; it may be emptied later.
        authenticator: Identifies clients; None if all are anonymous.
        hub: The hub of the app, which counts failures.
    """

    __slots__ = ("_authenticator", "_base", "_handshake", "_hub", "_token", "identity")

    def __init__(self, scope: Scope, authenticator: Authenticator | None, hub: Hub) -> None:
        self._hub = hub
        self._base = base_of(scope)
        self._authenticator = authenticator
        self._handshake = {} if authenticator is None else {name: scope[name] for name in _SEEN if name in scope}
        self._token = ""
        self.identity = ANONYMOUS

    async def connect(self, command: Connect, is_over: Callable[[], bool]) -> Identity:
        """The identity of a client that connects.

        Args:
            command: The command.
            is_over: Whether the connection has ended, which cancels this.

        Raises:
            ProtocolError: It has to go: its token is invalid, or it has none and needs one.
            Refused: Its token has expired, or nobody can tell now.
        """
        headers = {name.lower(): value for name, value in command.headers.items()}
        token = command.token or bearer_of(headers.get("authorization", ""))
        self.identity = await self._identified(token, is_over)
        self._token = token
        return self.identity

    async def refresh(self, token: str, is_over: Callable[[], bool]) -> Identity:
        """The identity of a client that brings a new token; raises as :meth:`connect`."""
        if self._authenticator is None:
            raise Refused(codes.NOT_AVAILABLE)
        identity = await self._identified(token, is_over)
        if identity.user != self.identity.user:
            raise ProtocolError(codes.INVALID_TOKEN, "a token of another user")
        self.identity, self._token = identity, token
        return identity

    async def _identified(self, token: str, is_over: Callable[[], bool]) -> Identity:
        if self._authenticator is None:
            return ANONYMOUS
        handshake = HTTPConnection({**self._base, **self._handshake, "type": "websocket"})
        match await identified(self._hub, self._authenticator, token, handshake, is_over):
            case Completed(found):
                identity = found
            case RunRefused(InvalidToken() as error):
                raise ProtocolError(codes.INVALID_TOKEN, str(error))
            case outcome:
                raise _refused(outcome)
        if identity is None:
            raise ProtocolError(codes.BAD_PROTOCOL, "no credentials")
        if identity.expires_at is not None and identity.expires_at <= time.time():
            raise Refused(codes.TOKEN_EXPIRED)
        return identity

    async def grant(self, token: str, channel: str, is_over: Callable[[], bool]) -> Grant | None:
        """What a subscription token grants; None if there is none, or nobody who could verify it.

        Raises:
            Refused: It is forged or for something else (103), has expired (109), or nobody can tell now (100).
        """
        authenticator = self._authenticator
        if not token or authenticator is None or not has_grants(authenticator):
            return None

        async def verify() -> Grant:
            return grant_of(await authenticator.grant(token, channel, self.identity))

        what = "the verification of a subscription token"
        match await run_for_client(self._hub, repr(channel), verify, is_over, what=what, refusal=token_refusal):
            case Completed(grant):
                pass
            case outcome:
                raise _refused(outcome)
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


async def identified(
    hub: Hub,
    authenticator: Authenticator,
    token: str,
    handshake: HTTPConnection,
    is_cancelled: Callable[[], bool] | None = None,
) -> Outcome[Identity | None]:
    """Ask the app's authenticator for an identity and return how that ended.

    Args:
        hub: The hub of the app, which counts failures.
        authenticator: The app's authenticator.
        token: The client's token; empty for none.
        handshake: The client's handshake.
        is_cancelled: Whether the client has gone, see :func:`~.run_once`.
    """

    async def run() -> Identity | None:
        found = await authenticator.connect(token, handshake)
        return None if found is None else identity_of(found)

    return await run_for_client(
        hub, "authenticate", run, is_cancelled, what="the identification of a client", refusal=token_refusal
    )


def token_refusal(error: BaseException) -> RunRefused | Failed | None:
    """Return the refusal that an error of tokens means, besides those that all user code may raise."""
    if isinstance(error, TokenExpired):
        return RunRefused(error, 401)
    if isinstance(error, InvalidToken):
        return RunRefused(error, 403)
    return RunRefused(error, 503) if isinstance(error, TokensUnavailable) else refusal(error)


def _refused(outcome: Unfinished) -> Refused | asyncio.CancelledError:
    """Return what to raise for a token that was not accepted."""
    match outcome:
        case RunRefused(TokenExpired()):
            return Refused(codes.TOKEN_EXPIRED)
        case RunRefused(InvalidToken()):
            return Refused(codes.PERMISSION_DENIED)
        case RunRefused(HTTPException() as error, status, detail):
            return Refused(error_of(status, detail, _raw(error)))
        case RunRefused(WebSocketException(), status, detail):
            return Refused(error_of(status, detail))
        case RunRefused() | Failed():
            return Refused(codes.INTERNAL)
        case Cancelled():
            return asyncio.CancelledError()


def sender_of(sender: Sender, grant: Grant | None) -> Sender:
    """Return a client as the sender of what it publishes to a channel."""
    more = b"" if grant is None or grant.info is None else json_of(grant.info)
    return replace(sender, channel_info=more)


def bearer_of(header: str) -> str:
    """The token of an ``Authorization`` header (RFC 6750, section 2.1)."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _raw(error: HTTPException) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
