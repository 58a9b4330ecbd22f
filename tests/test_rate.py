"""The rate admits no more events than agreed, and no fewer."""

from itertools import accumulate, combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirespeed.rate import Rate

START = 1000.0


@given(
    per_second=st.floats(0.1, 50),
    pauses=st.lists(st.floats(0, 3) | st.just(0.0), max_size=60),
)
def test_no_time_has_more_than_its_share(per_second: float, pauses: list[float]) -> None:
    """In any period, no more events pass than the burst and the rate allow for its length."""
    rate = Rate(per_second, START)
    passed = [at for at in accumulate(pauses, initial=START) if rate.admits(at)]
    burst = max(per_second, 1)
    for (first, begin), (last, end) in combinations_with_replacement(enumerate(passed), 2):
        assert last - first + 1 <= burst + per_second * (end - begin) + 1e-6


@pytest.mark.parametrize(("per_second", "burst"), [(0.5, 1), (1, 1), (2.5, 2), (1000, 1000)])
def test_burst_is_one_seconds_worth(per_second: float, burst: int) -> None:
    """The events of one second pass at once, and one event in any case."""
    rate = Rate(per_second, START)
    assert [rate.admits(START) for _ in range(burst + 2)] == [True] * burst + [False] * 2


@pytest.mark.parametrize("per_second", [0.5, 1, 3, 1000])
def test_steady_rate_passes(per_second: float) -> None:
    """A client that keeps to the rate is never refused, not even after a burst."""
    rate = Rate(per_second, START)
    while rate.admits(START):
        pass
    assert all(rate.admits(START + 1.001 * number / per_second) for number in range(1, 2000))


def test_quiet_times_do_not_add_up() -> None:
    """After an hour of silence, the burst is as large as always."""
    rate = Rate(3, START)
    assert [rate.admits(START + 3600) for _ in range(4)] == [True, True, True, False]


def test_refused_events_cost_nothing() -> None:
    """A client that was refused for a while may continue as soon as any other."""
    rate = Rate(1, START)
    admitted = [rate.admits(START + tenth / 10) for tenth in range(21)]
    assert [at for at, passed in enumerate(admitted) if passed] == [0, 10, 20]


def test_events_together() -> None:
    """Several events pass together or not at all. Those that do not pass cost nothing."""
    rate = Rate(10, 0.0)
    assert not rate.admits(0.0, 11)
    assert rate.admits(0.0, 10)
    assert not rate.admits(0.05)
    assert rate.admits(0.5, 5)
