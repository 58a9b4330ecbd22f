"""A subscription as a state machine: one table says what may happen to it, and when.

The server learns of a subscription from the client's subscribe command, or decides on it itself. From then on it is in
one of the five states of :data:`TRANSITIONS`. An event that the table does not have for the present state raises
:class:`IllegalEvent`: it is a bug of the server, never of the client.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Generic, TypeVar

S = TypeVar("S")


class State(Enum):
    """The states of a subscription."""

    ASKED = "asked"
    """The app has not decided yet."""
    LEAVING = "leaving"
    """The app has not decided yet, and the client has unsubscribed, or has left."""
    ANSWERED = "answered"
    """The app has admitted the client, which does not know yet: nothing is published to it."""
    LIVE = "live"
    """The client knows: publications follow."""
    OVER = "over"
    """Nothing more happens."""


class Event(Enum):
    """The events in the life of a subscription."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    REPLIED = "reply written"
    UNSUBSCRIBED = "unsubscribed"
    ENDED = "completed, failed, expired or too slow"
    LOST = "connection lost"


_UNDECIDED = {
    Event.ADMITTED: State.ANSWERED,
    Event.REFUSED: State.OVER,
    Event.UNSUBSCRIBED: State.LEAVING,
    Event.LOST: State.LEAVING,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.ASKED: _UNDECIDED,
    # A client that has unsubscribed still gets the reply to its subscribe. The commands between the two find a live
    # subscription, and the unsubscribe, which has waited behind them, ends it.
    State.LEAVING: _UNDECIDED,
    State.ANSWERED: {Event.REPLIED: State.LIVE, Event.ENDED: State.OVER, Event.LOST: State.OVER},
    State.LIVE: {Event.UNSUBSCRIBED: State.OVER, Event.ENDED: State.OVER, Event.LOST: State.OVER},
    State.OVER: {},
}


class IllegalEvent(RuntimeError):
    """An event that cannot happen in the present state: the server has a bug."""


@dataclass(slots=True, eq=False)
class Subscription(Generic[S]):
    """One channel of one connection."""

    channel: str
    is_server_side: bool = field(kw_only=True)
    """True if the server has subscribed the client."""
    size: int = 0
    """Bytes of its filter and data, which are kept for as long as it lasts, or is served."""
    is_served: bool = False
    """True while code serves it that keeps its filter and data, whether or not it is over."""
    state: State = State.ASKED
    expiry: float = inf
    """The time by which the client should have refreshed it."""
    ends_at: float = inf
    """The time at which it ends, whatever the client sends."""
    refreshed: int = 0
    """Number of the newest refresh that counts; 0 for none."""
    delivery: S | None = None
    """The object that serves it, from the admission to the end."""

    def on(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            IllegalEvent: It cannot happen in the present state.
        """
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError:
            raise IllegalEvent(f"{self.channel}: {event.value!r} cannot happen while {self.state.value!r}") from None

    def is_live(self) -> bool:
        """Return True if the client knows that it is subscribed."""
        return self.state is State.LIVE

    def is_undecided(self) -> bool:
        """Return True if the app has not decided yet."""
        return self.state is State.ASKED or self.state is State.LEAVING
