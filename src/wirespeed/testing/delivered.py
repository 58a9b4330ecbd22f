"""The values, joins, leaves and errors of a subscription, as they have arrived."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import WirespeedError
from ..log.position import Position
from .mailbox import Mailbox


class Explained(NamedTuple):
    """The reason for a refusal: a text; and status and detail if the app refuses."""

    reason: str
    status: int | None = None
    detail: Any = None


def explained(reason: str) -> Explained:
    """Take a reason apart that may be JSON of message, status and detail."""
    try:
        said = json.loads(reason) if reason.startswith("{") else None
    except ValueError:
        said = None
    return Explained(said.get("message", ""), said.get("status"), said.get("detail")) if said else Explained(reason)


@dataclass(eq=False)
class CommandFailed(WirespeedError):
    """The app refused a command, or could not serve it. The connection stays open."""

    what: str
    """Command and path, such as ``subscribe price/BTC``."""
    code: int
    """Code of the protocol."""
    reason: str
    """Reason for the client."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the refusal."""
    detail: Any = None
    """Detail of the app's ``HTTPException``; for a status of 422, FastAPI's list of errors."""

    def __str__(self) -> str:
        return f"{self.what}: {_reason(self)}"


@dataclass(eq=False)
class SubscriptionEnded(WirespeedError):
    """The server has ended a subscription."""

    channel: str
    """Channel."""
    code: int
    """Code of the protocol: 2000 if the feed, topic or run is complete."""
    reason: str
    """Reason for the client."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the end."""
    detail: Any = None
    """Detail of the app's ``HTTPException``."""

    def __str__(self) -> str:
        return f"the subscription to {self.channel} has ended: {_reason(self)}"


def _reason(error: CommandFailed | SubscriptionEnded) -> str:
    """Return the reason of an error, with its code and status."""
    status = "" if error.status is None else f", status {error.status}"
    return f"{error.reason} ({error.code}{status})"


class OtherClient(NamedTuple):
    """A client as others see it: in presence, when it joins or leaves, and as the sender of a publication."""

    client: str
    """Id of its connection."""
    user: str
    """Id of its user; empty if it is anonymous."""
    info: Any = None
    """``Identity.info``."""
    grant: Any = None
    """``Grant.info``."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "OtherClient":
        """Return the client in an answer of the protocol."""
        return cls(told["client"], told["user"], told.get("conn_info"), told.get("chan_info"))


class Arrival(NamedTuple):
    """A value as it has arrived."""

    value: Any
    position: Position | None = None
    """Its position in the log; None for the values of a stream without ``resume=``."""
    tags: Mapping[str, str] = MappingProxyType({})
    """Tags that were published beside it."""
    sender: OtherClient | None = None
    """The client on whose behalf it was published; None if the app itself has published it."""


class Delivered:
    """The state of one subscription, as far as the connection has reported it.

    Attributes:
        values: The values that have arrived.
        joined: The clients that have joined.
        left: The clients that have left.
        data: Data of the server's answer; None if there is none.
        position: Position from which the client would resume; None if it cannot.
        recovered: True if the client has missed nothing since the position from which it resumed.
        ended_by: The error by which the subscription has ended, or the connection; None before that.
    """

    def __init__(self) -> None:
        self.values: Mailbox[Arrival] = Mailbox()
        self.joined: Mailbox[OtherClient] = Mailbox()
        self.left: Mailbox[OtherClient] = Mailbox()
        self.data: Any = None
        self.position: Position | None = None
        self.recovered = False
        self.ended_by: Exception | None = None

    def reopen(self) -> None:
        """Let more arrive after an end."""
        self.ended_by = None
        for each in (self.values, self.joined, self.left):
            each.reopen()

    def begin(self, result: Mapping[str, Any]) -> None:
        """Take the server's answer to a subscribe."""
        self.reopen()
        self.data = result.get("data")
        self.recovered = bool(result.get("recovered"))
        if result.get("recoverable"):
            self.position = Position(result.get("epoch", ""), result.get("offset", 0))
        for pub in result.get("publications", ()):
            self._publication(pub)

    def take(self, channel: str, what: Mapping[str, Any]) -> None:
        """Take a push of the server."""
        match what:
            case {"pub": pub}:
                self._publication(pub)
            case {"join": {"info": info}}:
                self.joined.put(OtherClient.of(info))
            case {"leave": {"info": info}}:
                self.left.put(OtherClient.of(info))
            case {"unsubscribe": {"code": code, "reason": reason}}:
                self.end(SubscriptionEnded(channel, code, *explained(reason)))

    def _publication(self, pub: Mapping[str, Any]) -> None:
        position = None
        if "offset" in pub and self.position is not None:
            position = self.position = Position(self.position.epoch, pub["offset"])
        sender = OtherClient.of(pub["info"]) if "info" in pub else None
        self.values.put(Arrival(pub["data"], position, pub.get("tags", {}), sender))

    def end(self, error: Exception) -> None:
        """End the subscription: nothing arrives any more. Do nothing if it has ended already."""
        self.ended_by = self.ended_by or error
        for each in (self.values, self.joined, self.left):
            each.end(error)
