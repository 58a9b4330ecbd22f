"""The codes of the protocol: errors, disconnects and unsubscribes.

A code instructs the client. After a disconnect with 3000 to 3499 or 4000 to 4499 it connects again; after 3500 to 3999
or 4500 to 4999 it does not. An unsubscribe below 2500 is final; from 2500 on, the client subscribes again.
"""

import json
from typing import Any, NamedTuple


class Error(NamedTuple):
    """The reason why a command was refused or failed. Apps may use codes from 400 to 1999.

    Args:
        temporary: True if the same command may succeed later.
        name: Name in statistics, if it differs from the name of the code. Clients do not receive it.
        status: HTTP status with which the app refuses; 0 if the app has no part in it.
        detail: Details for the client in the types of JSON, as in an ``HTTPException``; None if they are too large.
    """

    code: int
    message: str
    temporary: bool = False
    name: str = ""
    status: int = 0
    detail: Any = None

    def explained(self) -> str:
        """Return the message for our own clients: with a status, it is JSON of message, status and detail."""
        if not self.status:
            return self.message
        # The app's own words, even where the protocol has others for them.
        message = self.detail if isinstance(self.detail, str) else self.message
        said = {"message": message, "status": self.status}
        return json.dumps(said if self.detail is None else said | {"detail": self.detail}, separators=(",", ":"))


INTERNAL = Error(100, "internal server error", temporary=True)
UNAUTHORIZED = Error(101, "unauthorized")
UNKNOWN_CHANNEL = Error(102, "unknown channel")
PERMISSION_DENIED = Error(103, "permission denied")
METHOD_NOT_FOUND = Error(104, "method not found")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
BAD_REQUEST = Error(107, "bad request")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
EXPIRED = Error(110, "expired")
TOO_MANY_REQUESTS = Error(111, "too many requests", temporary=True)
UNRECOVERABLE = Error(112, "unrecoverable position")


class Disconnect(NamedTuple):
    """The reason why a connection ends: a close code, and the text for the client."""

    code: int
    reason: str


def is_final(disconnect: Disconnect) -> bool:
    """Return True if a client does not connect again after a disconnect."""
    return disconnect.code % 1000 >= 500


CONNECTION_CLOSED = Disconnect(3000, "connection closed")
SHUTDOWN = Disconnect(3001, "shutdown")
SERVER_ERROR = Disconnect(3004, "internal server error")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SUBSCRIPTION_EXPIRED = Disconnect(3006, "subscription expired")
SLOW = Disconnect(3008, "slow")
INSUFFICIENT_STATE = Disconnect(3010, "insufficient state")
NO_PONG = Disconnect(3012, "no pong")
TOO_MANY_COMMANDS = Disconnect(3013, "too many requests")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_PROTOCOL = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_DISCONNECT = Disconnect(3503, "force disconnect")
CHANNEL_LIMIT = Disconnect(3505, "channel limit")
INAPPROPRIATE_PROTOCOL = Disconnect(3506, "inappropriate protocol")
PERMISSION = Disconnect(3507, "permission denied")
REVOKED = Disconnect(3507, "access was revoked")
NO_SEND = Disconnect(3508, "not available")


class Unsubscription(NamedTuple):
    """The reason why a subscription ends.

    Args:
        error: The app's refusal that ends it; None if it ends for another reason.
    """

    code: int
    reason: str
    error: Error | None = None


COMPLETE = Unsubscription(2000, "complete")
SERVER_UNSUBSCRIBE = Unsubscription(2000, "server unsubscribe")
FAILED = Unsubscription(2001, "internal server error")
INSUFFICIENT = Unsubscription(2500, "insufficient state")
EXPIRED_SUBSCRIPTION = Unsubscription(2501, "subscription expired")


class ProtocolError(Exception):
    """A client violated the protocol, and its connection ends."""

    def __init__(self, disconnect: Disconnect, problem: str) -> None:
        super().__init__(disconnect, problem)
        self.disconnect = disconnect
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem} ({self.disconnect.code}, {self.disconnect.reason})"


_NAMES = {each.code: each.message for each in list(globals().values()) if isinstance(each, Error)}


def name_of(error: Error) -> str:
    """Return the name of an error in statistics. It does not depend on the message, which may be the app's own."""
    return error.name or _NAMES.get(error.code, f"error {error.code}")
