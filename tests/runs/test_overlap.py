"""Overlap decides which runs begin, in which order, and what ends them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lanes.turns import turns
from wirespeed.errors import InboxFull
from wirespeed.runs.inbox import Inbox
from wirespeed.runs.overlap import QueuedRuns, ReplacingRuns, Runs, SingleRun

pytestmark = pytest.mark.anyio

Kind = Literal["queue", "replace", "single"]
EACH: list[Kind] = ["queue", "replace"]


class Begun:
    """A log of the runs: ``"+a"`` began, ``"!a"`` was cancelled, ``"-a"`` ended."""

    def __init__(self, *, clean_up: bool = False) -> None:
        self.events: list[str] = []
        self.may_end = asyncio.Event()
        self.may_clean_up = asyncio.Event()
        if not clean_up:
            self.may_clean_up.set()

    async def __call__(self, message: Any) -> None:
        self.events.append(f"+{message}")
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.events.append(f"!{message}")
            raise
        finally:
            await self.may_clean_up.wait()
            self.events.append(f"-{message}")


def broken(error: BaseException) -> None:
    """Fail: no run of these tests ends beside its outcome."""
    raise AssertionError from error


def runs_of(kind: Kind, begun: Begun, messages: int = 100) -> Runs:
    """Make the runs of one connection."""
    if kind == "replace":
        return ReplacingRuns(begun, broken)
    return (QueuedRuns if kind == "queue" else SingleRun)(begun, broken, Inbox(messages, 1000))


# One run after the other


@given(kind=st.sampled_from(EACH), steps=st.lists(st.integers(0, 3)), clean_up=st.integers(0, 3))
def test_runs_never_overlap(kind: Kind, steps: list[int], clean_up: int) -> None:
    """Whenever messages arrive, a run begins after the end of the one before it. The last message has its run."""
    events: list[str] = []

    async def begin(message: int) -> None:
        events.append(f"+{message}")
        try:
            await turns(2)
        finally:
            try:
                await turns(clean_up)
            finally:
                events.append(f"-{message}")

    async def run() -> None:
        runs = ReplacingRuns(begin, broken) if kind == "replace" else QueuedRuns(begin, broken, Inbox(1000, 1000))
        for number, pause in enumerate(steps):
            runs.offer(number, 1)
            await turns(pause)
        await turns((clean_up + 9) * (len(steps) + 1))
        await runs.stop()

    asyncio.run(run())
    order = [int(event[1:]) for event in events[::2]]
    assert events == [sign + str(number) for number in order for sign in "+-"]
    assert order == (list(range(len(steps))) if kind == "queue" else sorted(set(order)))
    assert order[-1:] == list(range(len(steps)))[-1:]


async def test_queued_messages_have_their_runs_in_order() -> None:
    """Each message waits for the end of the run before it."""
    begun = Begun()
    runs = runs_of("queue", begun)
    for message in "abc":
        runs.offer(message, 1)
    await turns(5)
    assert begun.events == ["+a"]
    begun.may_end.set()
    await turns(5)
    assert begun.events == ["+a", "-a", "+b", "-b", "+c", "-c"]


async def test_newest_message_takes_over() -> None:
    """A message cancels the run before it, and begins after its end. Older waiting messages are dropped."""
    begun = Begun(clean_up=True)
    runs = runs_of("replace", begun)
    runs.offer("a", 1)
    await turns(5)
    for message in "bcd":
        runs.offer(message, 1)
    await turns(5)
    assert begun.events == ["+a", "!a"]
    begun.may_clean_up.set()
    await turns(5)
    assert begun.events == ["+a", "!a", "-a", "+d"]
    await runs.stop()


@pytest.mark.parametrize("kind", EACH)
async def test_message_after_a_pause_begins_at_once(kind: Kind) -> None:
    """An idle connection has no task; the next message makes one."""
    begun = Begun()
    begun.may_end.set()
    runs = runs_of(kind, begun)
    before = len(asyncio.all_tasks())
    for message in "ab":
        runs.offer(message, 1)
        await turns(5)
        assert begun.events[-2:] == [f"+{message}", f"-{message}"]
        assert len(asyncio.all_tasks()) == before


async def test_single_run_begins_at_the_start() -> None:
    """A single run starts once, and its argument is the inbox of all messages."""
    given_inbox: list[Inbox] = []

    async def begin(inbox: Inbox) -> None:
        given_inbox.append(inbox)

    runs = SingleRun(begin, broken, inbox := Inbox(10, 1000))
    await turns(5)
    assert given_inbox == []
    runs.start()
    runs.offer("a", 1)
    await turns(5)
    assert given_inbox == [inbox]
    assert inbox.pop() == "a"
    await runs.stop()


# Bounds


@pytest.mark.parametrize(("kind", "taken"), [("queue", 3), ("single", 2)])
async def test_waiting_messages_are_bounded(kind: Kind, taken: int) -> None:
    """Messages beyond the limit are refused, not counting the one that runs. The run continues."""
    begun = Begun()
    runs = runs_of(kind, begun, messages=2)
    runs.start()
    for message in range(taken):
        runs.offer(message, 1)
        await turns(2)
    with pytest.raises(InboxFull):
        runs.offer("one too many", 1)
    assert len(begun.events) == 1
    await runs.stop()


async def test_replacing_messages_need_no_bound() -> None:
    """Only the newest message waits, so none is refused."""
    begun = Begun(clean_up=True)
    runs = runs_of("replace", begun, messages=1)
    for message in range(1000):
        runs.offer(message, 1000)
    begun.may_clean_up.set()
    await turns(5)
    assert begun.events == ["+999"]
    await runs.stop()


# Ends


@pytest.mark.parametrize("kind", ["queue", "replace", "single"])
@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError()], ids=repr)
async def test_run_that_raises(kind: Kind, error: BaseException) -> None:
    """A run that raises is reported, even a cancellation that no one requested, and the next one begins."""
    begun: list[Any] = []
    reported: list[BaseException] = []

    async def begin(message: Any) -> None:
        begun.append(message)
        await asyncio.sleep(0)
        raise error

    more = [Inbox(10, 1000)] if kind != "replace" else []
    runs = {"queue": QueuedRuns, "replace": ReplacingRuns, "single": SingleRun}[kind](begin, reported.append, *more)
    runs.start()
    for message in "ab":
        runs.offer(message, 1)
        await turns(5)
    assert [type(each) for each in reported] == [type(error)] * len(begun)
    assert len(begun) == (1 if kind == "single" else 2)
    await runs.stop()


@pytest.mark.parametrize("kind", ["queue", "replace", "single"])
async def test_stop_waits_for_the_run(kind: Kind) -> None:
    """Stopping cancels the run, and returns after its ``finally`` block. No other run begins."""
    begun = Begun(clean_up=True)
    runs = runs_of(kind, begun)
    runs.start()
    runs.offer("a", 1)
    await turns(5)
    if kind == "queue":
        runs.offer("b", 1)
    stopping = asyncio.create_task(runs.stop())
    await turns(5)
    assert not stopping.done()
    assert [event[0] for event in begun.events] == ["+", "!"]
    begun.may_clean_up.set()
    await stopping
    await turns(5)
    assert [event[0] for event in begun.events] == ["+", "!", "-"]


@pytest.mark.parametrize("kind", ["queue", "replace", "single"])
async def test_stop_before_any_run(kind: Kind) -> None:
    """Stopping works without a run, and with one that has not started yet."""
    await runs_of(kind, Begun()).stop()
    begun = Begun()
    runs = runs_of(kind, begun)
    runs.start()
    runs.offer("a", 1)
    await runs.stop()
    await turns(5)
    assert begun.events == []


async def test_stop_of_a_single_run_ends_its_messages() -> None:
    """Stopping closes the inbox for code that still iterates over it."""
    inbox = Inbox(10, 1000)
    runs = SingleRun(Begun(), broken, inbox)
    runs.start()
    await runs.stop()
    assert [item async for item in inbox] == []


async def another_message(runs: Runs) -> None:
    """Send one more message."""
    runs.offer("c", 1)


@pytest.mark.parametrize("then", [another_message, Runs.stop], ids=["another message", "stop"])
async def test_cleaning_up_is_not_interrupted(then: Callable[[Runs], Coroutine[Any, Any, None]]) -> None:
    """A run that was cancelled for the next one is not cancelled again while its ``finally`` blocks run."""
    begun = Begun(clean_up=True)
    runs = ReplacingRuns(begun, broken)
    for message in "ab":
        runs.offer(message, 1)
        await turns(5)
    going_on = asyncio.create_task(then(runs))
    await turns(5)
    begun.may_clean_up.set()
    await going_on
    await runs.stop()
    assert begun.events == ["+a", "!a", "-a"]
