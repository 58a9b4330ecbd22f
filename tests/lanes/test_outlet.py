"""Outlets: the messages of many watchers to one client leave in few frames, in order, and within bounds."""

import asyncio
from collections.abc import Callable

import pytest

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from wirespeed.frames import TEXT, frame
from wirespeed.lanes.outlet import LIMIT, Framing, Outlet

pytestmark = pytest.mark.anyio


class Shelf:
    """An outlet, its lane, and the number of times that it was ready."""

    def __init__(self) -> None:
        self.lane = RecordingLane()
        self.ready: list[Outlet] = []
        self.outlet = Outlet(self.lane, framing(), self.ready.append)


def framing() -> Framing:
    """Make a text frame of messages that end with a line end, without the last one."""
    return Framing(lambda messages: frame(TEXT, messages[:-1]))


# Framing


def test_parts_become_one_frame() -> None:
    """A frame may have any number of parts, and each part any number of messages."""
    assert framing()([b"a\nb\n", b"c\n"]) == frame(TEXT, b"a\nb\nc")
    assert framing()([b"a\n"]) == frame(TEXT, b"a")


def test_same_part_is_framed_once() -> None:
    """Clients that get the same bytes object share its frame. Equal bytes of other clients are not compared."""
    shared, part = framing(), bytes(bytearray(b"value\n"))
    framed = shared([part])
    assert shared([part]) is framed
    assert shared([bytes(bytearray(part))]) == framed


def test_frames_do_not_get_mixed_up() -> None:
    """The last frame is reused for its own message only."""
    shared, first, second = framing(), b"first\n", b"second\n"
    for _ in range(2):
        assert shared([first]) == frame(TEXT, b"first")
        assert shared([first, second]) == frame(TEXT, b"first\nsecond")
        assert shared([second]) == frame(TEXT, b"second")


# Collecting


def test_what_gathers_leaves_together() -> None:
    """Parts are written in one frame, in the order of their writes, and counted by their messages."""
    shelf = Shelf()
    assert shelf.outlet.offer(b"a\nb\n", 2)
    shelf.outlet.write(b"c\n", 1)
    assert shelf.outlet.offer(b"d\n", 1)
    assert shelf.lane.written == []
    shelf.outlet.flush()
    assert shelf.lane.values == ["a\nb\nc\nd"]
    assert shelf.lane.traffic.messages == 4


@pytest.mark.parametrize("take", [Outlet.write, Outlet.offer])
def test_outlet_is_ready_once(take: Callable[[Outlet, bytes, int], object]) -> None:
    """The outlet calls ``ready`` when the first messages are collected, and again only after they were written."""
    shelf = Shelf()
    for count in (1, 2):
        take(shelf.outlet, b"a\n", 1)
        take(shelf.outlet, b"b\n", 1)
        assert shelf.ready == [shelf.outlet] * count
        shelf.outlet.flush()


def test_nothing_is_not_written() -> None:
    """An empty write makes no frame and no call of ``ready``."""
    shelf = Shelf()
    shelf.outlet.write(b"", 3)
    assert shelf.outlet.offer(b"", 1)
    shelf.outlet.flush()
    assert (shelf.lane.written, shelf.ready) == ([], [])


def test_nothing_is_written_twice() -> None:
    """A second flush has nothing to write."""
    shelf = Shelf()
    shelf.outlet.write(b"a\n", 1)
    shelf.outlet.flush()
    shelf.outlet.flush()
    assert (shelf.lane.values, shelf.lane.traffic.messages) == (["a"], 1)


# Room


def test_full_lane_takes_no_offers() -> None:
    """Without room in the lane, an offer is declined. An answer is accepted all the same."""
    shelf = Shelf()
    shelf.lane.block()
    assert not shelf.outlet.writable()
    assert not shelf.outlet.offer(b"news\n", 1)
    shelf.outlet.write(b"answer\n", 1)
    shelf.lane.unblock()
    assert shelf.outlet.writable()
    shelf.outlet.flush()
    assert shelf.lane.values == ["answer"]


def test_what_was_taken_is_written() -> None:
    """Messages that were accepted are written, even if there is no room any more."""
    shelf = Shelf()
    assert shelf.outlet.offer(b"news\n", 1)
    shelf.lane.block()
    shelf.outlet.flush()
    assert shelf.lane.values == ["news"]


def test_no_more_than_the_limit_gathers() -> None:
    """At 64 KiB, the outlet writes at once. As long as the lane has room, more is accepted."""
    shelf = Shelf()
    part = b"x" * (LIMIT // 4 - 1) + b"\n"
    for count in range(1, 11):
        assert shelf.outlet.offer(part, 1)
        assert len(shelf.lane.written) == (count - 1) // 4
    shelf.outlet.flush()
    assert [len(each.split("\n")) for each in shelf.lane.values] == [4, 4, 2]


def test_asking_for_room_makes_some() -> None:
    """``writable`` is about the lane: what is collected in the outlet does not count."""
    shelf = Shelf()
    shelf.outlet.write(b"x" * (LIMIT - 1), 1)
    assert shelf.outlet.writable()
    assert shelf.lane.written == []
    shelf.outlet.write(b"\n", 1)
    assert shelf.outlet.writable()
    assert len(shelf.lane.written) == 1
    shelf.outlet.write(b"more\n", 1)
    assert shelf.outlet.writable()
    assert len(shelf.lane.written) == 1


def test_limit_and_a_full_lane() -> None:
    """If writing what was collected fills the lane, no more is accepted."""
    shelf = Shelf()
    shelf.outlet.write(b"x" * LIMIT, 1)
    shelf.lane.block()
    assert not shelf.outlet.offer(b"more\n", 1)
    assert len(shelf.lane.written) == 1


@pytest.mark.parametrize("size", [1, LIMIT])
async def test_drained(size: int) -> None:
    """A waiter continues when the lane has room. A full outlet is written before the wait."""
    shelf = Shelf()
    shelf.lane.block()
    shelf.outlet.write(b"x" * size, 1)
    waiting = asyncio.ensure_future(shelf.outlet.drained())
    await turns(3)
    assert (waiting.done(), len(shelf.lane.written)) == (False, int(size == LIMIT))
    shelf.lane.unblock()
    await turns(3)
    assert waiting.done()


def test_watchers_do_not_take_the_lane() -> None:
    """The lane keeps notifying the connection that there is room, and none of its watchers."""
    shelf = Shelf()
    shelf.lane.on_writable = shelf.outlet.flush
    shelf.outlet.watched_by(lambda: None)
    shelf.outlet.watched_by(None)
    assert shelf.lane.on_writable == shelf.outlet.flush
