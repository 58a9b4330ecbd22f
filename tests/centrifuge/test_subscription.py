"""The states of a subscription: the table that is the code, and the same table on the protocol page."""

from pathlib import Path
from typing import Any

import pytest

from wirespeed.centrifuge.subscription import TRANSITIONS, Event, IllegalEvent, State, Subscription

PAGE = Path(__file__).parents[2] / "docs" / "topics" / "protocol.md"


def in_state(state: State) -> Subscription[Any]:
    """A subscription in a state."""
    subscription: Subscription[Any] = Subscription("a", is_server_side=False)
    subscription.state = state
    return subscription


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_transitions(state: State, event: Event) -> None:
    """An event that the table has leads to the state that the table names; any other raises, and changes nothing."""
    subscription = in_state(state)
    if event in TRANSITIONS[state]:
        subscription.on(event)
        assert subscription.state is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalEvent, match=f"{event.value!r} cannot happen while {state.value!r}"):
            subscription.on(event)
        assert subscription.state is state


def test_every_subscription_can_end() -> None:
    """From every state there is a way to the end, and none leads back from it."""
    ends = {State.OVER}
    for _ in State:
        ends |= {state for state in State if ends & set(TRANSITIONS[state].values())}
    assert ends == set(State)
    assert TRANSITIONS[State.OVER] == {}


def test_answers_to_questions() -> None:
    """A subscription is undecided until the app has decided, and live from the reply to the end."""
    assert [state for state in State if in_state(state).is_undecided()] == [State.ASKED, State.LEAVING]
    assert [state for state in State if in_state(state).is_live()] == [State.LIVE]


def test_page_has_the_table() -> None:
    """The table on the protocol page is the one that the code has."""
    rows = [
        f"| {state.value} | {event.value} | {following.value} |"
        for state, events in TRANSITIONS.items()
        for event, following in events.items()
    ]
    text = PAGE.read_text()
    assert "\n".join(["| State | Event | Next state |", "|---|---|---|", *rows]) in text
