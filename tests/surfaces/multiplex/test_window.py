"""Windows: publications that are sent ahead of the client's acknowledgements."""

import asyncio
from time import perf_counter

import pytest

from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.definitions import LATENCIES
from wirespeed.hub.buckets import Buckets
from wirespeed.surfaces.multiplex.window import FIRST_ROUND_TRIP, SLACK, RoundTrip, Window


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def quick(clock: Clock) -> Window:
    """Return a window with a known round trip of 10 ms, and its first publication."""
    window = Window(clock, RoundTrip())
    window.sent()
    clock.now += 0.01
    window.acknowledge(1)
    return window


def test_nothing_sent(clock: Clock) -> None:
    """A window without publications stays open forever."""
    window = Window(clock, RoundTrip())
    clock.now += 1e9
    assert window.is_open()


def test_first_round_trip(clock: Clock) -> None:
    """Before a round trip is known, the window allows a second."""
    window = Window(clock, RoundTrip())
    window.sent()
    clock.now += FIRST_ROUND_TRIP + SLACK - 0.001
    assert window.is_open()
    clock.now += 0.002
    assert not window.is_open()


def test_smallest_round_trip(clock: Clock) -> None:
    """The smallest round trip of the connection counts, in any of its subscriptions."""
    round_trip = RoundTrip()
    first, second = Window(clock, round_trip), Window(clock, round_trip)
    for count, seconds in enumerate((2.0, 0.1, 0.5), start=1):
        first.sent()
        clock.now += seconds
        first.acknowledge(count)
    second.sent()
    clock.now += 0.1 + SLACK - 0.001
    assert second.is_open()
    clock.now += 0.002
    assert not second.is_open()


def test_slow_networks(clock: Clock) -> None:
    """A round trip of seconds is allowed if none was shorter."""
    window = Window(clock, RoundTrip())
    window.sent()
    clock.now += 3.0
    window.acknowledge(1)
    window.sent()
    clock.now += 3.1
    assert window.is_open()


def test_the_oldest_counts(clock: Clock) -> None:
    """The oldest publication without an acknowledgement closes the window, and its acknowledgement opens it."""
    window = quick(clock)
    opens: list[float] = []
    window.on_open = lambda: opens.append(clock.now)
    for _ in range(200):
        window.sent()
        clock.now += 0.01
    assert not window.is_open()
    window.acknowledge(11)
    assert (window.is_open(), opens) == (False, [])
    window.acknowledge(191)
    assert (window.is_open(), opens) == (True, [clock.now])
    window.acknowledge(201)
    clock.now += 1e9
    assert window.is_open()


def test_strange_counts(clock: Clock) -> None:
    """A repeated number changes nothing; one that is too large covers everything sent."""
    window = Window(clock, RoundTrip())
    window.sent()
    clock.now += 0.2
    window.sent()
    window.acknowledge(0)
    clock.now += 1.0
    assert not window.is_open()
    window.acknowledge(1_000_000)
    assert window.is_open()
    window.sent()
    clock.now += 1.1  # no round trip was seen in that
    assert window.is_open()
    clock.now += 0.9
    window.acknowledge(2)
    assert not window.is_open()
    window.acknowledge(3)
    assert window.is_open()


def test_publications_of_the_reply(clock: Clock) -> None:
    """They are acknowledged like all others."""
    window = Window(clock, RoundTrip(), 1)
    clock.now += 2.0
    assert not window.is_open()
    window.acknowledge(1)
    assert window.is_open()


def test_memory(clock: Clock) -> None:
    """A million publications at one time take little memory."""
    window = Window(clock, RoundTrip())
    for _ in range(100_000):
        window.sent()
        clock.now += 0.000001
    assert len(window._pending) <= 100_000 * 0.000001 / 0.005 + 2


@pytest.mark.anyio
async def test_waiting(clock: Clock) -> None:
    """The acknowledgement that opens the window ends the wait, which can also be given up."""
    window = quick(clock)
    await window.opened()
    window.sent()
    clock.now += 0.5
    window.sent()
    clock.now += 2.0
    first, second = asyncio.create_task(window.opened()), asyncio.create_task(window.opened())
    await turns(3)
    first.cancel()
    await turns(1)
    window.acknowledge(2)
    await turns(3)
    assert (first.cancelled(), second.done()) == (True, False)
    window.acknowledge(3)
    await second


@pytest.mark.anyio
async def test_all_that_wait_go_on(clock: Clock) -> None:
    """One acknowledgement wakes everyone that waits, and the watcher that is notified of it."""
    window = quick(clock)
    opens: list[float] = []
    window.on_open = lambda: opens.append(clock.now)
    window.sent()
    clock.now += 2.0
    waiting = [asyncio.create_task(window.opened()) for _ in range(3)]
    await turns(3)
    window.acknowledge(2)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    assert opens == [clock.now]


def test_ages_of_acknowledged_values(clock: Clock) -> None:
    """Each acknowledgement is one observation, of the newest group that it covers: the page may have painted the others
    long before. Publications without an age are not observed."""
    window = Window(clock, RoundTrip())
    window.painted = Buckets(LATENCIES)
    now = perf_counter()
    window.sent()
    clock.now += 1
    window.sent(now - 0.2)
    window.sent(now - 0.1)  # of the same moment
    clock.now += 1
    window.sent(now - 5)
    window.acknowledge(2)
    assert sum(window.painted.histogram().counts) == 0
    window.acknowledge(3)
    assert sum(window.painted.histogram().counts) == 1
    assert 0.2 <= window.painted.histogram().total < 5
    clock.now += 1
    window.sent(now - 30)
    window.acknowledge(5)
    assert sum(window.painted.histogram().counts) == 2
    assert 30.2 <= window.painted.histogram().total < 35
