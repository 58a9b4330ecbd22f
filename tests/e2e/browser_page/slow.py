"""A gate with latency: everything that passes it arrives later."""

import asyncio
from contextlib import suppress

from tests.sdk.gate import Gate


class SlowGate(Gate):
    """Forwards connections as :class:`Gate` does, with a delay for each byte.

    Args:
        port: Where to.
        latency: Seconds for one way.
    """

    def __init__(self, port: int, latency: float) -> None:
        super().__init__(port)
        self._latency = latency

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(under_way, writer))
        with suppress(OSError):
            while data := await reader.read(65536):
                under_way.put_nowait((self._loop.time() + self._latency, data))
        under_way.put_nowait((self._loop.time() + self._latency, b""))
        await arriving

    async def _arrive(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        await self._close(writer)
