"""A gate in front of a server: it can cut all connections, and keep clients out for a while."""

import asyncio
import threading
from contextlib import suppress
from typing import Self

from tests.waiting import PATIENCE


class Gate:
    """Forwards connections to a port on the loopback interface, while it is open.

    Args:
        port: Where to.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._is_open = True
        self._ends: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._arrived, "127.0.0.1", 0), self._loop
        ).result(PATIENCE)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def shut(self) -> None:
        """Cut all connections; refuse new ones."""
        self._is_open = False
        self.cut()

    def open(self) -> None:
        """Accept connections again."""
        self._is_open = True

    def cut(self) -> None:
        """Cut all current connections."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(PATIENCE)

    async def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _finish(self) -> None:
        self._server.close()
        self._is_open = False
        await asyncio.sleep(0)  # by then, the connection that was accepted last has arrived
        while self._passing:
            await self._cut()
            await asyncio.wait(self._passing)

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        task = self._loop.create_task(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # the server may be down
            if self._is_open:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                self._ends.add(far_writer)
                await asyncio.gather(self._forward(reader, far_writer), self._forward(far_reader, writer))
        await self._close(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        await self._close(writer)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        self._ends.discard(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
