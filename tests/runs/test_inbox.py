"""The inbox is bounded, keeps the order, and ends when it is closed."""

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lanes.turns import turns
from wirespeed.errors import InboxFull
from wirespeed.runs.inbox import Inbox

pytestmark = pytest.mark.anyio


@given(
    messages=st.integers(1, 5),
    size=st.integers(1, 20),
    steps=st.lists(st.none() | st.integers(0, 30)),
)
def test_inbox_is_a_bounded_queue(messages: int, size: int, steps: list[int | None]) -> None:
    """Puts and pops behave as those of a deque, except that a bound may be exceeded only by a single message."""
    inbox, model = Inbox(messages, size), deque[tuple[int, int]]()
    for number, step in enumerate(steps):
        if step is None:
            if model:
                assert inbox.pop() == model.popleft()[0]
            else:
                with pytest.raises(IndexError):
                    inbox.pop()
        elif len(model) < messages and (not (used := sum(each for _, each in model)) or used + step <= size):
            inbox.put(number, step)
            model.append((number, step))
        else:
            with pytest.raises(InboxFull, match=f"at most {messages} messages and {size} bytes"):
                inbox.put(number, step)
        assert len(inbox) == len(model)


async def taken(inbox: Inbox) -> list[str]:
    """Return everything that comes out of an inbox until it is closed."""
    return [item async for item in inbox]


async def test_iteration_takes_what_waits_and_what_comes() -> None:
    """A reader gets the messages from before it began, and those that arrive while it waits, in order."""
    inbox = Inbox(10, 1000)
    inbox.put("a", 1)
    reader = asyncio.create_task(taken(inbox))
    for item in "bcd":
        await turns(3)
        inbox.put(item, 1)
    inbox.close()
    assert await reader == ["a", "b", "c", "d"]


async def test_close_ends_a_waiting_reader() -> None:
    """Closing the inbox ends a reader's wait."""
    inbox = Inbox(10, 1000)
    reader = asyncio.create_task(taken(inbox))
    await turns(3)
    inbox.close()
    assert await reader == []


async def test_cancelled_reader_takes_nothing() -> None:
    """Messages that arrive after a reader was cancelled wait for the next reader."""
    inbox = Inbox(10, 1000)
    reader = asyncio.ensure_future(anext(inbox))
    await turns(3)
    reader.cancel()
    inbox.put("a", 1)
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert await anext(inbox) == "a"


async def test_every_reader_is_woken() -> None:
    """Readers that wait at the same time share the messages, and the end of the inbox ends all of them."""
    inbox = Inbox(10, 1000)
    readers = [asyncio.create_task(taken(inbox)) for _ in range(4)]
    await turns(3)
    inbox.put("a", 1)
    inbox.put("b", 1)
    await turns(3)
    inbox.close()
    await turns(3)
    assert [reader.done() for reader in readers] == [True] * 4
    assert sorted(item for reader in readers for item in reader.result()) == ["a", "b"]


async def test_one_message_at_a_time_reaches_readers_in_their_order() -> None:
    """Readers that wait for one message each get it in the order in which they began to wait."""
    inbox = Inbox(10, 1000)
    readers = [asyncio.ensure_future(anext(inbox)) for _ in range(3)]
    for number, reader in enumerate(readers):
        await turns(3)
        inbox.put(number, 1)
        await turns(3)
        assert reader.done()
        assert reader.result() == number


async def test_reading_makes_room() -> None:
    """Messages that were read do not count any more."""
    inbox = Inbox(1, 10)
    for item in range(5):
        inbox.put(item, 10)
        assert await anext(inbox) == item
