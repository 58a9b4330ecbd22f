"""Readers: a connection is read until it is over or until someone ends it, and no cancellation gets lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive

from tests.lanes.turns import turns
from wirespeed.surfaces.reader import Reader

pytestmark = pytest.mark.anyio


class Reading(Reader):
    """A reader that reads until None, and records the messages."""

    __slots__ = ("ended", "on_message", "read", "went_on")

    def __init__(self, receive: Receive) -> None:
        super().__init__(receive)
        self.read: list[Any] = []
        self.ended = False
        self.went_on = False
        self.on_message: Callable[[], object] = lambda: None

    async def _read(self) -> None:
        while not self.ended and (message := await self._receive_event())["type"] != "end":
            self.read.append(message["type"])
            self.on_message()

    def stop(self) -> None:
        """End the reading."""
        self.ended = True
        self._stop_reading()

    async def run(self) -> None:
        """Read, then continue for a while."""
        await self._read_until_over()
        await turns(3)
        self.went_on = True


class Connection:
    """A reader in its own task, with the messages of the test."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.reader: Reading | None = None
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        self.reader = Reading(self.messages.get)
        await self.reader.run()

    async def begun(self) -> Reading:
        """Return the reader once it reads."""
        await turns(3)
        assert self.reader is not None
        return self.reader

    def send(self, *kinds: str) -> None:
        """Let messages arrive."""
        for kind in kinds:
            self.messages.put_nowait({"type": kind})


async def test_connection_is_read_to_its_end() -> None:
    """All messages are read, and then the code after the reading runs."""
    connection = Connection()
    reader = await connection.begun()
    connection.send("a", "b", "end")
    await connection.task
    assert (reader.read, reader.went_on) == (["a", "b"], True)


async def test_reading_can_be_stopped() -> None:
    """Ending the reading, once or twice, interrupts only the reading: the code after it runs."""
    connection = Connection()
    reader = await connection.begun()
    for _ in range(2):
        reader.stop()
    await connection.task
    assert (reader.went_on, connection.task.cancelling()) == (True, 0)


async def test_stopping_when_a_message_has_come() -> None:
    """A message that arrives at the same moment makes no difference to the code after the reading."""
    connection = Connection()
    reader = await connection.begun()
    connection.send("a")
    reader.stop()
    await connection.task
    assert (reader.went_on, connection.task.cancelling()) == (True, 0)


async def test_reader_can_stop_itself() -> None:
    """A reader that ends itself while it handles a message ends after it, without being cancelled."""
    connection = Connection()
    reader = await connection.begun()
    reader.on_message = reader.stop
    connection.send("a", "b")
    await connection.task
    assert (reader.read, reader.went_on) == (["a"], True)


@pytest.mark.parametrize("stopped_before", [False, True])
async def test_cancellation_of_others_goes_through(stopped_before: bool) -> None:
    """A server that cancels the task is obeyed, even at the moment of a stop."""
    connection = Connection()
    reader = await connection.begun()
    if stopped_before:
        reader.stop()
    connection.task.cancel()
    await asyncio.wait([connection.task])
    assert connection.task.cancelled()
    assert not reader.went_on


async def test_stopping_when_nobody_reads() -> None:
    """Before the reading and after it there is nothing to interrupt."""
    connection = Connection()
    reader = await connection.begun()
    connection.send("end")
    await turns(2)
    reader.stop()
    await connection.task
    assert reader.went_on
    reader.stop()


async def test_end_of_the_task_is_waited_for() -> None:
    """``over()`` returns when the task has ended, with the code after the reading, however it ends."""
    for cancelled in (False, True):
        connection = Connection()
        reader = await connection.begun()
        waiting = asyncio.create_task(reader.over())
        await turns(2)
        assert not waiting.done()
        if cancelled:
            connection.task.cancel()
        else:
            reader.stop()
        await waiting
        assert connection.task.done()
