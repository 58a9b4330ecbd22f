"""A peer under the control of a test: its client's commands and the messages to it, in either format."""

from typing import Any

from tests.centrifuge.sides import Fields, Side
from wirespeed.centrifuge.messages import Command, ConnectResult, SubscribeResult
from wirespeed.centrifuge.peer import Peer
from wirespeed.centrifuge.subscription import Event
from wirespeed.settings import Settings

PING, PONG, CONNECT, REFRESH = 25.0, 8.0, 15.0, 20.0


class Pair:
    """A peer and its client.

    Args:
        side: The client's side of the format.
        pings: True if the peer sends pings.
        limits: Settings that differ from the usual ones.
    """

    def __init__(self, side: Side, *, pings: bool = True, **limits: Any) -> None:
        self.side = side
        self.now = 100.0
        times = {"ping_interval": PING, "pong_timeout": PONG, "connect_timeout": CONNECT, "refresh_timeout": REFRESH}
        self.peer: Peer[Any] = Peer(side.codec, Settings(**times | limits), self.now, pings)

    def send(self, *commands: Fields) -> list[Command]:
        """Send one frame, and return the commands that the server has to carry out."""
        return list(self.peer.receive(self.side.frame(commands)))

    def heard(self) -> list[Fields]:
        """Return the messages to the client since the last call."""
        return self.side.replies(self.peer.take())

    def connected(self, **result: Any) -> "Pair":
        """Connect, and drop the reply. The first ping follows after half of the interval."""
        self.send({"id": 1, "connect": {}})
        self.peer.connected(1, ConnectResult("me", **result), self.now, 0.5)
        self.peer.take()
        return self

    def subscribed(self, channel: str, **result: Any) -> "Pair":
        """Subscribe, and drop the reply."""
        assert self.send({"id": 9, "subscribe": {"channel": channel}})
        admit(self.peer, 9, channel, SubscribeResult(**result))
        self.peer.take()
        return self

    def tick(self) -> list[str]:
        """Let time pass up to the deadline, and return the channels that have expired."""
        self.now = self.peer.deadline
        return [each.channel for each in self.peer.tick(self.now)]


def admit(peer: Peer[Any], id_: int, channel: str, result: SubscribeResult) -> None:
    """Let a client in that has asked to subscribe, and tell it so."""
    subscription = peer.subscriptions[channel]
    subscription.on(Event.ADMITTED)
    peer.subscribed(id_, subscription, result)
