"""The heartbeat: a comment is written to quiet responses at intervals."""

from contextlib import ExitStack

import pytest

from tests.hub.stepping import BACKEND, running
from tests.lanes.recording import RecordingLane
from wirespeed.hub.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio

BEAT = b":\n\n"


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


async def test_comment_comes_every_interval() -> None:
    """All lanes get a comment, however many they are, from one timer; it does not count as a message."""
    loop = running()
    heartbeat = Heartbeat(loop, 25.0)
    lanes = [RecordingLane() for _ in range(3)]
    with ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(heartbeat.of(lane, BEAT))
        await loop.pass_time(24.9)
        assert [lane.written for lane in lanes] == [[], [], []]
        await loop.pass_time(50.2)
        assert [lane.written for lane in lanes] == [[BEAT] * 3] * 3
    assert [lane.traffic.messages for lane in lanes] == [0, 0, 0]
    assert len(loop.timers) == 7


async def test_first_beat_comes_after_half_an_interval_at_least() -> None:
    """A new response gets no comment for a while, whenever the others get theirs."""
    loop = running()
    heartbeat = Heartbeat(loop, 20.0)
    first, second = RecordingLane(), RecordingLane()
    with heartbeat.of(first, BEAT):
        await loop.pass_time(19)
        with heartbeat.of(second, b" "):
            await loop.pass_time(10)
            assert (first.written, second.written) == ([BEAT], [])
            await loop.pass_time(1)
            assert (first.written, second.written) == ([BEAT], [b" "])
            await loop.pass_time(20)
            assert (first.written, second.written) == ([BEAT] * 2, [b" "] * 2)


async def test_lane_without_a_beat() -> None:
    """A body without a form for a heartbeat gets none, and needs no timer."""
    loop = running()
    heartbeat = Heartbeat(loop, 25.0)
    with heartbeat.of(RecordingLane(), b""):
        await loop.pass_time(100)
    assert loop.timers == []


async def test_beat_ends_with_the_last_lane() -> None:
    """A closed lane gets nothing; without lanes there is no timer, and the next lane starts one."""
    loop = running()
    heartbeat = Heartbeat(loop, 25.0)
    gone, staying = RecordingLane(), RecordingLane()
    with heartbeat.of(staying, BEAT):
        with heartbeat.of(gone, BEAT):
            pass
        await loop.pass_time(25)
        assert (gone.written, len(staying.written)) == ([], 1)
    set_before = len(loop.timers)
    assert all(timer.cancelled() or timer.when() <= loop.now for timer in loop.timers)
    await loop.pass_time(100)
    assert len(loop.timers) == set_before
    with heartbeat.of(staying, BEAT):
        await loop.pass_time(25)
    assert len(staying.written) == 2


async def test_full_lane_is_not_written_to() -> None:
    """A client that accepts nothing gets no comments."""
    loop = running()
    heartbeat = Heartbeat(loop, 25.0)
    lane = RecordingLane()
    lane.block()
    with heartbeat.of(lane, BEAT):
        await loop.pass_time(100)
    assert lane.written == []
