"""Shared logs: their ends, while a broker has not answered yet."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.watching import topic
from tests.lanes.turns import turns
from wirespeed.errors import BrokerDown, Stopped
from wirespeed.hub.logs import LogReader
from wirespeed.hub.outbox import Outbox
from wirespeed.hub.shared import SharedLogs

pytestmark = pytest.mark.anyio


class SlowBroker(SimulatedBroker):
    """A broker that attaches a log when a test lets it, and notes what is detached."""

    def __init__(self) -> None:
        super().__init__(Network())
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.detached = 0

    async def attach(self, *_: Any) -> Callable[[], None]:
        """Wait for the answer."""
        await self.answer
        return self._detach_one

    def _detach_one(self) -> None:
        self.detached += 1


class Reader(LogReader):
    """A reader that takes no notice."""

    def news(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_end_while_a_log_is_attached(is_lost: bool) -> None:
    """A log that is still being attached when the app ends is detached, and its opener gets an error that says so."""
    broker, loop = SlowBroker(), asyncio.get_running_loop()
    logs = SharedLogs(loop, broker, Outbox(broker, loop, 1000))
    opening = asyncio.create_task(logs.open("name", topic(int, keep=10).log_kind, Reader()))
    await turns(3)
    logs.clear()
    if is_lost:
        broker.answer.set_exception(BrokerDown("the connection was lost"))
    else:
        broker.answer.set_result(None)
    with pytest.raises(BrokerDown if is_lost else Stopped):
        await opening
    assert broker.detached == (not is_lost)
