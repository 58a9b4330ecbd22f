"""Guards of connections on both event loops."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from tests.waiting import until
from wirespeed.lanes.guard import Guard
from wirespeed.lanes.sweep import Sweep


class BareGuard(Guard):
    """A guard of a connection that asks whether its client has closed its side before each write."""

    def wrote(self) -> None:
        if not self._has_sent_fin():
            super().wrote()

    def closing(self) -> bool:
        return self.transport.is_closing()

    def writable(self) -> bool:
        return True

    def ending(self) -> bool:
        return self.transport.is_closing()

    def ending_timeout(self) -> float:
        return 1.0

    def settled(self) -> bool:
        return self.transport.is_closing()

    def finish(self) -> None:
        """Do nothing: no response is written here."""


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connection_that_is_gone(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A guard of a connection whose socket is closed can be written to and aborted."""

    async def use() -> None:
        ended = asyncio.Event()

        class Ending(asyncio.Protocol):
            def connection_lost(self, error: Exception | None) -> None:
                ended.set()

        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            transport, _ = await asyncio.get_running_loop().create_connection(Ending, *address)
            sweep = Sweep(1.0)
            guard = BareGuard(transport, sweep, 100)
            transport.abort()
            await ended.wait()
            await until(lambda: transport.get_extra_info("socket").fileno() < 0)
            guard.wrote()
            guard.abort()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(use())
