"""A pipe to a server that can be cut: `python -m benchmarks.pipe`. Orders come on standard input.

Each order is the name of a method of `Pipe` with its arguments.
"""

import asyncio
import contextlib
import os
import socket
import sys
from typing import Any

from benchmarks.processes import obey
from benchmarks.websocket import HOST

_PIECE = 1 << 16


class Pipe:
    """Passes bytes to a port and back."""

    def __init__(self) -> None:
        self._target = 0
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    # Orders

    def open(self, target: int) -> dict[str, Any]:
        """Take connections for a port; answer with the pipe's own port."""
        self._target = target
        listening = socket.create_server((HOST, 0))
        self._start(asyncio.start_server(self._serve, sock=listening))
        return {"port": listening.getsockname()[1]}

    def cut(self) -> dict[str, Any]:
        """Break all connections, and each new one."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()
        return {}

    def mend(self) -> dict[str, Any]:
        """Take connections again, and deliver what was held."""
        self._is_cut = False
        self._flows.set()
        return {}

    def hold(self) -> dict[str, Any]:
        """Deliver nothing any more, as a network that is partitioned; connections stay open."""
        self._flows.clear()
        return {}

    # The loop

    async def run(self) -> None:
        """Serve the connections and the orders until standard input ends."""
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._order, ended)
        await ended.wait()

    def _order(self, ended: asyncio.Event) -> None:
        if not (lines := os.read(sys.stdin.fileno(), _PIECE)):
            ended.set()
        for line in lines.splitlines():
            obey(self, line)

    def _start(self, work: Any) -> None:
        self._tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        other, out = await asyncio.open_connection(HOST, self._target)
        self._writers |= {writer, out}
        await asyncio.gather(self._copy(reader, out), self._copy(other, writer))
        self._writers -= {writer, out}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


async def main() -> None:
    await Pipe().run()


if __name__ == "__main__":
    asyncio.run(main())
