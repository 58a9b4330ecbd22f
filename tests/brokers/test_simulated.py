"""The simulated network broker keeps the contract, whether its offsets have holes or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.brokers.contract import BrokerContract, Process, control_of
from tests.brokers.simulated import RECONNECT, Network, SimulatedBroker
from tests.hub.stepping import BACKEND, running


class TestSimulatedBroker(BrokerContract):
    """The offsets of a log have no holes."""

    is_sparse = False

    @pytest.fixture(autouse=True)
    def anyio_backend(self) -> object:
        """Tests run on a loop whose time they let pass."""
        return BACKEND

    @asynccontextmanager
    async def processes(self) -> AsyncIterator[tuple[Process, Process]]:
        self.network = Network(is_sparse=self.is_sparse)
        async with SimulatedBroker(self.network) as one, SimulatedBroker(self.network) as two:
            yield Process(one, "one"), Process(two, "two")

    async def stop(self) -> None:
        self.network.go_down()

    async def start(self) -> None:
        self.network.is_up = True
        await running().pass_time(2 * RECONNECT)

    async def pass_time(self, seconds: float) -> None:
        await running().pass_time(seconds)

    async def let_die(self, process: Process) -> None:
        control = control_of(process)
        for known in (self.network.hall.alive, self.network.hall.present):
            known.pop(control.process, None)


class TestSparseOffsets(TestSimulatedBroker):
    """All logs are numbered together."""

    is_sparse = True
