"""The sweep aborts connections that are stuck, in time, and no others. The test controls the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.lanes.stepping import SteppedLoop, step_sweeps
from wirespeed.lanes.sweep import INTERVAL, LEFT_TIMEOUT, Sweep

STALL_TIMEOUT = 10.0


@dataclass(eq=False)
class Patient:
    """The sweep's view of a connection."""

    loop: SteppedLoop
    waiting: int = 100
    is_writable: bool = False
    is_ending: bool = False
    is_settled: bool = False
    cut_at: list[float] = field(default_factory=list)

    def backlog(self) -> int:
        return self.waiting

    def writable(self) -> bool:
        return self.is_writable

    def ending(self) -> bool:
        return self.is_ending

    def ending_timeout(self) -> float:
        return LEFT_TIMEOUT

    def settled(self) -> bool:
        return self.is_settled

    def abort(self) -> None:
        self.cut_at.append(self.loop.now)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> SteppedLoop:
    """The loop of the connections."""
    return step_sweeps(monkeypatch)


@pytest.fixture
def sweep(loop: SteppedLoop) -> Sweep:
    """A sweep with a stall timeout of ten seconds."""
    return Sweep(STALL_TIMEOUT)


def test_sweep_without_lanes_costs_nothing(loop: SteppedLoop, sweep: Sweep) -> None:
    """There is no timer before a connection needs it, one for all of them, and none after the last one is settled."""
    assert loop.timers == []
    lanes = [Patient(loop), Patient(loop)]
    for lane in lanes:
        sweep.watch(lane)
    assert len(loop.timers) == 1
    lanes[0].is_settled = True
    loop.pass_time(INTERVAL)
    assert len(loop.timers) == 1
    lanes[1].is_settled = True
    loop.pass_time(INTERVAL)
    assert loop.timers == []
    assert [lane.cut_at for lane in lanes] == [[], []]


def test_stalled_lane_is_cut(loop: SteppedLoop, sweep: Sweep) -> None:
    """A connection that accepts nothing for the stall timeout is aborted, once, and then forgotten."""
    sweep.watch(lane := Patient(loop))
    loop.pass_time(3 * STALL_TIMEOUT)
    assert lane.cut_at == [pytest.approx(STALL_TIMEOUT, abs=INTERVAL)]
    assert loop.timers == []


@pytest.mark.parametrize("ending_already", [False, True])
def test_ending_lane_is_cut_soon(loop: SteppedLoop, sweep: Sweep, ending_already: bool) -> None:
    """An ending connection has half a second from then on."""
    sweep.watch(lane := Patient(loop, is_ending=ending_already))
    loop.pass_time(0 if ending_already else 5)
    lane.is_ending, since = True, loop.now
    loop.pass_time(3)
    assert lane.cut_at == [pytest.approx(since + LEFT_TIMEOUT + INTERVAL, abs=INTERVAL)]


def take_a_byte(lane: Patient) -> None:
    """Have the client accept a little."""
    lane.waiting -= 1


def take_and_get_more(lane: Patient) -> None:
    """Have the client accept everything, while as much again is written."""
    lane.is_writable = True


@pytest.mark.parametrize("progress", [take_a_byte, take_and_get_more])
def test_slow_lane_is_left_alone(loop: SteppedLoop, sweep: Sweep, progress: Callable[[Patient], None]) -> None:
    """A client that accepts something now and then is kept until it stops."""
    sweep.watch(lane := Patient(loop, waiting=1000))
    for _ in range(20):
        loop.pass_time(STALL_TIMEOUT - 2 * INTERVAL)
        progress(lane)
        loop.pass_time(INTERVAL)
        lane.is_writable = False
    assert lane.cut_at == []
    stopped = loop.now
    loop.pass_time(2 * STALL_TIMEOUT)
    assert lane.cut_at == [pytest.approx(stopped + STALL_TIMEOUT, abs=2 * INTERVAL)]


def test_slow_end_is_no_excuse(loop: SteppedLoop, sweep: Sweep) -> None:
    """Accepting something does not give an ending connection more time."""
    sweep.watch(lane := Patient(loop, is_ending=True))
    loop.pass_time(3, lambda: take_a_byte(lane))
    assert lane.cut_at == [pytest.approx(LEFT_TIMEOUT, abs=INTERVAL)]


def test_growing_backlog_is_no_progress(loop: SteppedLoop, sweep: Sweep) -> None:
    """Neither more bytes behind a stuck backlog nor another call of ``watch`` gives a connection more time."""

    def write_more() -> None:
        lane.waiting += 10
        sweep.watch(lane)

    sweep.watch(lane := Patient(loop))
    loop.pass_time(STALL_TIMEOUT + INTERVAL, write_more)
    assert len(lane.cut_at) == 1


def test_settled_lane_begins_anew(loop: SteppedLoop, sweep: Sweep) -> None:
    """A connection that was settled gets the full timeout when it is watched again."""
    sweep.watch(lane := Patient(loop))
    loop.pass_time(STALL_TIMEOUT - 1)
    lane.is_settled = True
    loop.pass_time(INTERVAL)
    lane.is_settled = False
    sweep.watch(lane)
    loop.pass_time(STALL_TIMEOUT - INTERVAL)
    assert lane.cut_at == []


def test_many_are_looked_after_in_slices(loop: SteppedLoop, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round with many connections takes several turns of the loop, and the next one begins an interval later."""
    monkeypatch.setattr("wirespeed.lanes.sweep.SLICE", 0.0)
    lanes = [Patient(loop) for _ in range(200)]
    for lane in lanes:
        sweep.watch(lane)
    turns: list[float] = []
    loop.pass_time(STALL_TIMEOUT + INTERVAL, lambda: turns.append(loop.now))
    assert turns.count(INTERVAL) > 3
    assert len(loop.timers) <= 1
    assert [lane.cut_at for lane in lanes] == [[pytest.approx(STALL_TIMEOUT, abs=INTERVAL)]] * 200


def test_lanes_are_looked_after_one_by_one(loop: SteppedLoop, sweep: Sweep) -> None:
    """The end of one connection does not affect the others, whenever they were added."""
    lanes = [Patient(loop) for _ in range(3)]
    for lane in lanes:
        sweep.watch(lane)
        loop.pass_time(4)
    loop.pass_time(2 * STALL_TIMEOUT)
    assert [lane.cut_at for lane in lanes] == [[pytest.approx(at + STALL_TIMEOUT, abs=INTERVAL)] for at in (0, 4, 8)]
