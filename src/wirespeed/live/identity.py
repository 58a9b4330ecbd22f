"""Dependencies that give the identity, the grant and the sender of a client."""

import time
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ..identity import ANONYMOUS, Grant, Identity, Sender
from ..runs.outcome import Cancelled, Completed, Failed, Outcome, Refused, Unfinished
from ..surfaces.admitted import IDENTITY
from ..surfaces.answers import token_answer, unauthorized
from ..surfaces.authenticator import bearer_of, identified, identity_of
from ..surfaces.multiplex.credentials import ASK_AGAIN, GRANT, SENDER, SUBSCRIBED
from .serving import required_serving


async def current_identity(connection: HTTPConnection) -> Identity:
    """Return the identity of the client, as a dependency; anonymous in an app without ``authenticate=``.

    A client of the multiplexed connection was identified when it connected, and is identified again by ``recheck=``. On
    all other surfaces, the app's ``authenticate`` is asked now, with the token of the ``Authorization`` header.

    Raises:
        HTTPException: 401, the token is not valid, or is missing and needed; 503, it cannot be verified now.
    """
    scope = connection.scope
    identity, ask_again = scope.get(IDENTITY), scope.get(ASK_AGAIN)
    if isinstance(identity, Identity) and ask_again is None:
        return identity
    serving = required_serving(connection.app)
    authenticator = serving.site.authenticator
    if authenticator is None:
        return ANONYMOUS
    token = bearer_of(connection.headers.get("authorization", ""))
    ask = ask_again or partial(identified, serving.hub, authenticator, token, connection)
    outcome: Outcome[Identity | None] = await ask()
    if not isinstance(outcome, Completed):
        raise _refused(outcome)
    found = outcome.value
    if found is None:
        raise HTTPException(401, "A token is needed.", {"www-authenticate": "Bearer"})
    if found.expires_at is not None and found.expires_at <= time.time():
        raise unauthorized("The token has expired.")
    scope[IDENTITY] = found
    scope.pop(ASK_AGAIN, None)
    return found


def identify(connection: HTTPConnection, identity: Identity) -> None:
    """Note the identity of a client that a dependency of the app has found, so that it can be revoked.

    In an app with ``authenticate=``, :func:`current_identity` does this.

    Args:
        connection: The connection or request, as the dependency got it.
        identity: The identity. Its ``user``, ``session`` and ``expires_at`` count.

    Raises:
        TypeError: It is not an identity, or one of its fields has a wrong type.
        ValueError: One of its fields is not valid.
    """
    connection.scope[IDENTITY] = identity_of(identity)
    connection.scope.pop(ASK_AGAIN, None)


def _refused(outcome: Unfinished) -> BaseException:
    """Return the exception for a client that the app's authenticator does not identify."""
    match outcome:
        case Failed():
            return HTTPException(500, "The authentication failed.")
        case Refused(error):
            return token_answer(error) or error
        case Cancelled(error):
            return error


def required_grant(connection: HTTPConnection) -> Grant:
    """Return the grant of the subscription's token, as a dependency.

    Raises:
        HTTPException: 403, the client has sent no such token, or the app's authenticator does not verify them.
    """
    grant = connection.scope.get(GRANT)
    if not isinstance(grant, Grant):
        raise HTTPException(403, "permission denied")
    return grant


def current_sender(connection: HTTPConnection) -> Sender:
    """Return the client, as a dependency, for :meth:`Topic.publish_as <wirespeed.Topic.publish_as>`.

    Only a client of the multiplexed connection has an id; for all others, this is a :class:`~wirespeed.Sender` without
    one.
    """
    sender = connection.scope.get(SENDER)
    return sender if isinstance(sender, Sender) else Sender()


def is_subscribed(connection: HTTPConnection) -> bool:
    """Return True if the client that publishes a message is subscribed, as a dependency of a topic's handler.

    Clients of the multiplexed connection may publish to a channel without a subscription to it, if the topic's guards
    admit them. A client of a raw WebSocket always watches the topic that it sends to.
    """
    return bool(connection.scope.get(SUBSCRIBED, connection.scope["type"] == "websocket"))
