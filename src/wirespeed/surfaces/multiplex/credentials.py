"""Credentials: what the handshake and the tokens of a connection say about its client."""

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ...centrifuge import codes
from ...centrifuge.codes import ProtocolError
from ...centrifuge.messages import Connect
from ...codec import json_of
from ...errors import InvalidToken, TokenExpired
from ...hub import Hub
from ...identity import ANONYMOUS, Grant, Identity, Sender
from ...runs.outcome import Cancelled, Completed, Failed, Refused, Unfinished
from ..admitted import IDENTITY
from ..authenticator import Authenticator, bearer_of, grant_of, has_grants, identified
from ..runs import run_for_client
from .admission import Admission, base_of, virtual_scope
from .channels import ChannelName, Found
from .link import Link
from .refusal import CommandRefused, error_by

GRANT = "wirespeed.grant"
SENDER = "wirespeed.sender"
SUBSCRIBED = "wirespeed.subscribed"

_SEEN = ("app", "path", "raw_path", "query_string")
"""Parts of the handshake that ``authenticate`` may want to see; commands have others in their place."""


class Credentials:
    """The credentials of one connection."""

    __slots__ = ("_authenticator", "_base", "_handshake", "_hub", "_refreshed", "_token", "identity")

    def __init__(self, scope: Scope, authenticator: Authenticator | None, hub: Hub) -> None:
        self._hub = hub
        self._base = base_of(scope)
        self._authenticator = authenticator
        self._handshake = {} if authenticator is None else {name: scope[name] for name in _SEEN if name in scope}
        self._token = ""
        self._refreshed = 0
        """Number of the newest refresh that counts; 0 for none."""
        self.identity = ANONYMOUS

    async def connect(self, command: Connect, is_over: Callable[[], bool]) -> Identity:
        """Return the identity of a client that connects.

        Raises:
            ProtocolError: The token is invalid, or missing where one is required: the connection has to end.
            CommandRefused: The token has expired, or cannot be verified now.
        """
        headers = {name.lower(): value for name, value in command.headers.items()}
        token = command.token or bearer_of(headers.get("authorization", ""))
        self.identity = await self._identified(token, is_over)
        self._token = token
        return self.identity

    async def refresh(self, token: str, number: int, is_over: Callable[[], bool]) -> bool:
        """Take the identity of a client that sends a new token; raise as :meth:`connect` does.

        Args:
            number: Number of the refresh. Refreshes may end in another order than they were sent in.

        Returns:
            False if a newer one counts already, which stays.
        """
        if self._authenticator is None:
            raise CommandRefused(codes.NOT_AVAILABLE)
        identity = await self._identified(token, is_over)
        if identity.user != self.identity.user:
            raise ProtocolError(codes.INVALID_TOKEN, "a token of another user")
        if number < self._refreshed:
            return False
        self.identity, self._token, self._refreshed = identity, token, number
        return True

    async def _identified(self, token: str, is_over: Callable[[], bool]) -> Identity:
        if self._authenticator is None:
            return ANONYMOUS
        handshake = HTTPConnection({**self._base, **self._handshake, "type": "websocket"})
        match await identified(self._hub, self._authenticator, token, handshake, is_over):
            case Completed(found):
                identity = found
            case Refused(InvalidToken() as error):
                raise ProtocolError(codes.INVALID_TOKEN, str(error))
            case outcome:
                raise _refused(outcome)
        if identity is None:
            raise ProtocolError(codes.BAD_PROTOCOL, "no credentials")
        if identity.expires_at is not None and identity.expires_at <= time.time():
            raise CommandRefused(codes.TOKEN_EXPIRED)
        return identity

    async def grant(self, token: str, channel: str, is_over: Callable[[], bool]) -> Grant | None:
        """Return the grant of a subscription token; None without a token, or if the app does not verify such tokens.

        Raises:
            CommandRefused: 103, the token is forged or for something else; 109, it has expired; 100, it cannot be
                verified now.
        """
        authenticator = self._authenticator
        if not token or authenticator is None or not has_grants(authenticator):
            return None

        async def verify() -> Grant:
            return grant_of(await authenticator.grant(token, channel, self.identity))

        what = "the verification of a subscription token"
        match await run_for_client(self._hub, repr(channel), verify, is_over, what=what):
            case Completed(grant):
                pass
            case outcome:
                raise _refused(outcome)
        if grant.expires_at is not None and grant.expires_at <= time.time():
            raise CommandRefused(codes.TOKEN_EXPIRED)
        return grant

    def admission(
        self,
        link: Link,
        found: Found,
        name: ChannelName,
        context: Context,
        token: str = "",
        grant: Grant | None = None,
        *,
        subscribes: bool = False,
        afresh: bool = False,
    ) -> Admission:
        """Return the app's decision about a command of this client, to be entered.

        Args:
            afresh: True if ``current_identity`` asks the app's authenticator again.
        """
        scope = virtual_scope(self._base, name, token or self._token)
        if not afresh or self._authenticator is None:
            scope[IDENTITY] = self.identity
        scope[GRANT] = grant
        scope[SENDER] = granted(link.sender, grant)
        scope[SUBSCRIBED] = subscribes
        return Admission(found, scope, self._hub, link.has_ended, context)


def _refused(outcome: Unfinished) -> CommandRefused | asyncio.CancelledError:
    """Return what to raise for a token that was not accepted."""
    match outcome:
        case Refused(TokenExpired()):
            return CommandRefused(codes.TOKEN_EXPIRED)
        case Refused(InvalidToken()):
            return CommandRefused(codes.PERMISSION_DENIED)
        case Refused(HTTPException() | WebSocketException()) as refused:
            return CommandRefused(error_by(refused))
        case Refused() | Failed():
            return CommandRefused(codes.INTERNAL)
        case Cancelled():
            return asyncio.CancelledError()


def granted(sender: Sender, grant: Grant | None) -> Sender:
    """Return a client as others see it in a channel for which it has a grant."""
    return sender if grant is None or grant.info is None else replace(sender, channel_info=json_of(grant.info))
