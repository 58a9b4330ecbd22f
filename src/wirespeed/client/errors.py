"""Errors of the Python client."""

import json
from dataclasses import dataclass
from typing import Any

from ..errors import WirespeedError


@dataclass(eq=False)
class ServerRefused(WirespeedError):
    """The server refused a request, or ended a subscription or the connection."""

    what: str
    """Path of the request."""
    code: int
    """Code of the protocol."""
    reason: str
    """Reason given by the server."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the refusal."""
    detail: Any = None
    """Detail of the app's ``HTTPException``; for a status of 422, FastAPI's list of errors."""

    @classmethod
    def explained(cls, what: str, code: int, reason: str) -> "ServerRefused":
        """Return the error for a reason that may be JSON of message, status and detail."""
        try:
            said = json.loads(reason) if reason.startswith("{") else {}
            return cls(what, code, said.get("message", reason), said.get("status"), said.get("detail"))
        except (ValueError, RecursionError):
            return cls(what, code, reason)

    def __str__(self) -> str:
        return f"{self.what}: {self.reason} ({self.code})"


@dataclass(eq=False)
class ValuesLost(WirespeedError):
    """Values were lost: the connection was lost for longer than the server keeps them."""

    what: str
    """Path of the feed or topic."""

    def __str__(self) -> str:
        return f"{self.what}: values were lost; to continue without them, use watch(..., lossy=True)"


@dataclass(eq=False)
class TooSlow(WirespeedError):
    """Values arrive faster than the code takes them."""

    what: str
    """Path of the feed, topic or stream."""
    backlog: int
    """Number of values that may wait."""

    def __str__(self) -> str:
        return f"{self.what}: over {self.backlog} values wait; to skip to the newest, use watch(..., newest=True)"
