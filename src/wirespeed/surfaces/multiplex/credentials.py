"""Credentials: what the handshake and the tokens of a connection say about its client."""

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from functools import partial
from math import inf

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
from ...runs.outcome import Cancelled, Completed, Failed, Outcome, Refused, Unfinished
from ..admitted import IDENTITY
from ..answers import answer_to
from ..authenticator import Authenticator, bearer_of, grant_of, has_grants, identified
from ..recheck import seconds_of
from ..runs import run_for_client
from .admission import Admission, base_of, virtual_scope
from .channels import ChannelName, Found
from .link import Link
from .refusal import CommandRefused, error_by

ASK_AGAIN = "wirespeed.ask_again"
"""A function that asks the app's authenticator again, where the identity of the connection does not suffice."""
GRANT = "wirespeed.grant"
SENDER = "wirespeed.sender"
SUBSCRIBED = "wirespeed.subscribed"

_SEEN = ("app", "path", "raw_path", "query_string")
"""Parts of the handshake that ``authenticate`` may want to see; commands have others in their place."""


class Credentials:
    """The credentials of one connection."""

    __slots__ = ("_asked_at", "_authenticator", "_base", "_handshake", "_hub", "_refreshed", "_token", "identity")

    def __init__(self, scope: Scope, authenticator: Authenticator | None, hub: Hub) -> None:
        self._hub = hub
        self._base = base_of(scope)
        self._authenticator = authenticator
        self._handshake = {} if authenticator is None else {name: scope[name] for name in _SEEN if name in scope}
        self._token = ""
        self._refreshed = 0
        """Number of the newest refresh that counts; 0 for none."""
        self._asked_at = -inf
        """When the authenticator was asked that has confirmed the identity last; -inf if it does not any more."""
        self.identity = ANONYMOUS

    async def connect(self, command: Connect, is_over: Callable[[], bool]) -> Identity:
        """Return the identity of a client that connects.

        Raises:
            ProtocolError: The token is invalid, or missing where one is required: the connection has to end.
            CommandRefused: The token has expired, or cannot be verified now.
        """
        headers = {name.lower(): value for name, value in command.headers.items()}
        token = command.token or bearer_of(headers.get("authorization", ""))
        asked_at = _now()
        self.identity = await self._identified(token, is_over)
        self._token, self._asked_at = token, asked_at
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
        asked_at = _now()
        identity = await self._identified(token, is_over)
        if identity.user != self.identity.user:
            raise ProtocolError(codes.INVALID_TOKEN, "a token of another user")
        if number < self._refreshed:
            return False
        self.identity, self._token, self._refreshed, self._asked_at = identity, token, number, asked_at
        return True

    async def _ask(
        self, authenticator: Authenticator, token: str, is_over: Callable[[], bool]
    ) -> Outcome[Identity | None]:
        handshake = HTTPConnection({**self._base, **self._handshake, "type": "websocket"})
        return await identified(self._hub, authenticator, token, handshake, is_over)

    async def _ask_again(self, authenticator: Authenticator, is_over: Callable[[], bool]) -> Outcome[Identity | None]:
        """Ask whose the connection's token is now.

        Once the answer is another than before, every later command asks again: otherwise a client that a recheck has
        ended would come back with the identity of its connection. A token that is refreshed, or an answer that is as
        before, ends that.
        """
        own, asked_at = self.identity, _now()
        outcome = await self._ask(authenticator, self._token, is_over)
        if own is not self.identity:
            return Completed(self.identity)  # of a newer token, which has come meanwhile
        match outcome:
            case Completed(found) if found == own:
                self._asked_at = asked_at
                return Completed(own)
            case Completed():
                self._asked_at = -inf
            case Refused() as refused if answer_to(refused).status_code < 500:  # an outage says nothing of the client
                self._asked_at = -inf
        return outcome

    async def _identified(self, token: str, is_over: Callable[[], bool]) -> Identity:
        if self._authenticator is None:
            return ANONYMOUS
        match await self._ask(self._authenticator, token, is_over):
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
            afresh: True if ``current_identity`` asks the app's authenticator again. It also does so once the identity
                of the connection is older than the definition's guards may be.
        """
        scope = virtual_scope(self._base, name, token or self._token)
        scope[IDENTITY] = self.identity
        seconds = seconds_of(found.definition)
        is_old = _now() - self._asked_at >= (inf if seconds is None else seconds)
        if self._authenticator is not None and (afresh or is_old):
            scope[ASK_AGAIN] = partial(self._ask_again, self._authenticator, link.has_ended)
        scope[GRANT] = grant
        scope[SENDER] = granted(link.sender, grant)
        scope[SUBSCRIBED] = subscribes
        return Admission(found, scope, self._hub, link.has_ended, context)


def _now() -> float:
    return asyncio.get_running_loop().time()


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
