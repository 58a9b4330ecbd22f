"""The deadlines of one connection: pings, pongs, and the expiry of tokens."""

import asyncio
from math import inf

from ...centrifuge import codes
from ...centrifuge.codes import ProtocolError
from .inbound import Inbound
from .link import Link


class Deadlines:
    """The timer of one connection.

    Args:
        link: The link to the client.
        inbound: The way in: a pong may wait there behind other commands.
    """

    __slots__ = ("_due", "_inbound", "_link", "_timer", "full_at")

    def __init__(self, link: Link, inbound: Inbound) -> None:
        self._link = link
        self._inbound = inbound
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        """The time at which the timer rings: not every handle of uvloop knows it."""
        self.full_at = -inf
        """The time at which the client was behind last: bytes that it had not taken filled the lane."""
        self.schedule()

    def schedule(self) -> None:
        """Set the timer: a deadline may have changed."""
        deadline = self._link.peer.deadline
        if self._timer is not None:
            if self._due <= deadline:
                return
            self._timer.cancel()
        self._due = deadline
        self._timer = None if deadline == inf else self._link.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        link = self._link
        if link.is_over:
            return
        try:
            now = link.loop.time()
            is_behind = bool(self._inbound) or now - self.full_at < link.hub.settings.ping_interval
            for subscription in link.peer.tick(now, is_behind=is_behind or not link.outlet.writable()):
                if subscription.is_server_side:
                    raise ProtocolError(codes.SUBSCRIPTION_EXPIRED, f"no refresh of {subscription.channel} in time")
                link.unsubscribe(subscription, codes.EXPIRED_SUBSCRIPTION)
        except ProtocolError as error:
            link.disconnect_for(error)
            return
        except Exception as error:  # a connection without its timer would never be pinged again
            link.outlet.failed(error)
            return
        link.write()
        self.schedule()

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
