"""The properties of runs, for synchronous generators in worker threads."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from anyio import CapacityLimiter

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.codec import encoder
from wirespeed.runs.inbox import Inbox
from wirespeed.runs.pump import PIECE
from wirespeed.runs.thread import Bridge, ThreadMessages, pump_from_thread

pytestmark = pytest.mark.anyio

TEXTS = encoder(str)
"""Seconds after which a thread stops waiting, so that a failing test does not hang."""


async def run(start: Callable[[], Iterable[Any]], lane: RecordingLane, limiter: CapacityLimiter | None = None) -> None:
    """Pump from a thread, without a limit on the number of threads."""
    await pump_from_thread(start, TEXTS, lane, limiter or CapacityLimiter(1))


class Gated:
    """A generator that blocks its thread in the middle, and records its end."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began_in: int | None = None
        self.ended_in: int | None = None

    def __call__(self) -> Iterator[str]:
        self.began_in = threading.get_ident()
        try:
            yield "before"
            assert self.gate.wait(PATIENCE)
            while True:
                yield "after"
        finally:
            self.ended_in = threading.get_ident()


@pytest.mark.parametrize("room", [None, 1, 1000])
@pytest.mark.parametrize("count", [0, 1, 10_000])
async def test_everything_arrives_in_order(count: int, room: int | None) -> None:
    """All values arrive in order, whatever the speed of the client."""
    lane = RecordingLane(room)
    expected = [str(number) for number in range(count)]
    await run(lambda: (text for text in expected), lane)
    assert lane.values == expected
    assert lane.traffic.messages == count


@pytest.mark.parametrize("iterable", [["a", "b"], iter(["a", "b"]), {"a": 1, "b": 2}], ids=["list", "iterator", "dict"])
async def test_every_iterable_runs(iterable: Iterable[str]) -> None:
    """Any iterable works, not only generators."""
    lane = RecordingLane()
    await run(lambda: iterable, lane)
    assert lane.values == ["a", "b"]


async def test_a_value_does_not_wait_for_the_next() -> None:
    """Every value that was yielded is on the lane while the generator blocks its thread."""
    lane, generator = RecordingLane(), Gated()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: lane.values == ["before"])
    generator.gate.set()
    await until(lambda: "after" in lane.values)
    lane.shut()
    await going


async def test_the_loop_goes_on_while_the_thread_blocks() -> None:
    """The generator runs in its own thread."""
    lane, generator = RecordingLane(), Gated()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: lane.values)
    assert generator.began_in != threading.get_ident()
    lane.shut()
    generator.gate.set()
    await going


async def test_blocked_lane_stops_the_thread() -> None:
    """A generator whose client does not read waits after one piece on the lane and one behind it."""
    lane, yielded = RecordingLane(), 0
    lane.block()

    def values() -> Iterator[str]:
        nonlocal yielded
        for _ in range(1000):
            yielded += 1
            yield "x" * 1000

    going = asyncio.create_task(run(values, lane))
    await until(lambda: yielded * 1000 > PIECE)
    await turns(1000)
    assert yielded * 1000 < 2 * PIECE + 3000
    lane.unblock()
    await going
    assert len(lane.values) == yielded == 1000
    assert max(map(len, lane.written)) < PIECE + 2000


async def test_closing_lane_ends_the_run() -> None:
    """When the client is gone, the generator is closed, in its thread."""
    lane, generator = RecordingLane(room=1), Gated()
    generator.gate.set()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: "after" in lane.values)
    lane.shut()
    await going
    assert generator.ended_in == generator.began_in != threading.get_ident()


async def test_cancelling_closes_the_generator() -> None:
    """A run that waits for its client is closed where it stands, in its thread, before the cancellation ends."""
    lane, generator = RecordingLane(), Gated()
    generator.gate.set()
    lane.block()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: lane.values)
    going.cancel()
    await asyncio.wait([going])
    assert going.cancelled()
    assert generator.ended_in == generator.began_in is not None


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelling_waits_for_the_thread(times: int) -> None:
    """A thread cannot be interrupted: however often a run is cancelled, it ends after its generator."""
    lane, generator = RecordingLane(), Gated()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: lane.values)
    for _ in range(times):
        going.cancel()
        await turns(5)
    assert not going.done()
    generator.gate.set()
    await asyncio.wait([going])
    assert going.cancelled()
    assert generator.ended_in is not None
    assert lane.values == ["before"]


async def test_thread_that_does_not_end_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning reports a generator that blocks its thread long after its client has left."""
    monkeypatch.setattr("wirespeed.runs.thread.PATIENCE", 0.01)
    lane, generator = RecordingLane(), Gated()
    going = asyncio.create_task(run(generator, lane))
    await until(lambda: lane.values)
    going.cancel()
    await until(lambda: caplog.records)
    assert "blocks its worker thread" in caplog.text
    assert not going.done()
    generator.gate.set()
    await asyncio.wait([going])
    assert generator.ended_in is not None


@pytest.mark.parametrize("count", [0, 3, 5000])
@pytest.mark.parametrize("error", [ValueError("wrong"), StopIteration(), SystemExit(1), KeyboardInterrupt()], ids=repr)
async def test_exception_passes_after_the_values_before_it(count: int, error: BaseException) -> None:
    """The exception of a generator ends the run, after everything before it was written."""
    lane = RecordingLane(room=100)

    def values() -> Iterator[str]:
        for number in range(count):
            yield str(number)
        raise error

    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)) as raised:
        await run(values, lane)
    assert error in (raised.value, raised.value.__cause__)
    assert lane.values == [str(number) for number in range(count)]


async def test_value_that_cannot_be_encoded() -> None:
    """The error names the value. Values before it were written, and the generator is closed."""
    lane, ended = RecordingLane(), threading.Event()

    def values() -> Iterator[str]:
        try:
            yield "a"
            yield "\ud800"
        finally:
            ended.set()

    with pytest.raises(UnicodeEncodeError) as raised:
        await run(values, lane)
    assert raised.value.__notes__ == ["while encoding the value '\\ud800'"]
    assert lane.values == ["a"]
    assert ended.is_set()


async def test_context_reaches_the_thread() -> None:
    """Context variables have the values from the start of the run."""
    color: ContextVar[str] = ContextVar("color")
    color.set("red")
    lane = RecordingLane()
    await run(lambda: [color.get()], lane)
    assert lane.values == ["red"]


async def test_limiter_bounds_the_threads() -> None:
    """A run without a free thread begins when another has ended. It may be cancelled while it waits."""
    limiter = CapacityLimiter(1)
    lanes, generators = [RecordingLane() for _ in range(3)], [Gated() for _ in range(3)]
    first, second, third = (
        asyncio.create_task(run(generator, lane, limiter)) for generator, lane in zip(generators, lanes, strict=True)
    )
    await until(lambda: lanes[0].values)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    assert [generator.began_in for generator in generators[1:]] == [None, None]
    generators[0].gate.set()
    lanes[0].shut()
    await first
    await until(lambda: lanes[2].values)
    lanes[2].shut()
    generators[2].gate.set()
    await third
    assert generators[1].began_in is None
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("closed_early", [False, True])
async def test_messages_end_when_the_inbox_closes(closed_early: bool) -> None:
    """A duplex generator takes message after message, including ``None``, and ends with its inbox."""
    lane, inbox = RecordingLane(), Inbox(10, 1000)

    def values() -> Iterator[str]:
        for message in ThreadMessages(inbox):
            yield repr(message)
        yield "end"

    for message in ("a", None):
        inbox.put(message, 1)
    if closed_early:
        inbox.close()
    going = asyncio.create_task(run(values, lane))
    await until(lambda: lane.values[:2] == ["'a'", "None"])
    inbox.close()
    await going
    assert lane.values == ["'a'", "None", "end"]


async def test_cancelling_ends_the_wait_for_a_message() -> None:
    """A duplex generator that waits for a message ends when its run is cancelled."""
    lane, inbox = RecordingLane(), Inbox(10, 1000)

    def values() -> Iterator[str]:
        yield "begin"
        yield from ThreadMessages(inbox)

    going = asyncio.create_task(pump_from_thread(values, TEXTS, lane, CapacityLimiter(1), stopped=inbox.close))
    await until(lambda: lane.values)
    going.cancel()
    try:
        await until(going.done)
    finally:
        inbox.close()
    assert going.cancelled()


# The bridge


async def test_bridge_gives_what_has_come_together() -> None:
    """Items that arrived before the loop looked are taken at once, in order; an empty iterable takes nothing."""
    taken: list[list[str]] = []
    done = threading.Event()

    def start() -> Iterator[str]:
        yield from "abc"
        done.set()

    async def take(items: list[str]) -> bool:
        taken.append(items)
        assert done.wait(PATIENCE)
        return True

    await Bridge(start, str.upper, len, 100).run(take, CapacityLimiter(1))
    assert "".join("".join(items) for items in taken) == "ABC"
    assert len(taken) <= 3


async def test_bridge_ends_when_enough_was_taken() -> None:
    """If ``take`` returns False, the iterable ends and is closed in its thread."""
    closed: list[int] = []

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.append(threading.get_ident())

    async def take(items: list[str]) -> bool:
        return False

    await Bridge(endless, str, len, 1).run(take, CapacityLimiter(1))
    assert len(closed) == 1
    assert closed != [threading.get_ident()]


async def test_bridge_has_room_for_one_item_of_any_size() -> None:
    """An item that is larger than the room passes all the same; the thread waits with the next one."""
    sizes: list[int] = []

    async def take(items: list[str]) -> bool:
        sizes.append(len(items))
        return True

    await Bridge(lambda: ["x" * 1000] * 5, str, len, 10).run(take, CapacityLimiter(1))
    assert sum(sizes) == 5
    assert max(sizes) == 1
