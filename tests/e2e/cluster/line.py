"""A line to a server that fails in all ways in which a network does."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Self

Way = Literal["up", "down"]
"""``up`` leads to the server, ``down`` to its client."""

STEP = 64 * 1024


class _Link:
    """One connection through a line."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.ends = {"up": far, "down": near}
        self.subscribes = False
        """True if the client has subscribed to something with it."""
        self.is_deaf = False
        """True if replies are held back."""
        self.is_half_closed = False
        """True if the client has read the end."""

    def abort(self) -> None:
        for end in self.ends.values():
            end.transport.abort()


class Line:
    """A port that passes bytes to a server. It is used as an async context manager.

    Args:
        target: Returns the port of the server, for each connection.

    Attributes:
        delay: Seconds by which all bytes are late.
        is_up: False if new connections are refused.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self.port = 0
        self.delay = 0.0
        self.is_up = True
        self._left: int | None = None
        self._silent: set[Way] = set()
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._arrived, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Failures

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.is_up = False
        self.reset()

    def reset(self) -> None:
        """Break all connections; new ones are possible."""
        for link in list(self._links):
            link.abort()

    def silence(self, *ways: Way) -> None:
        """Hold all bytes back, as a network does that drops packets: connections stay open."""
        self._silent = set(ways)

    def deafen(self) -> None:
        """Hold back what the server sends on the connections that have subscribed to something."""
        for link in self._links:
            link.is_deaf = link.subscribes

    def half_close(self) -> None:
        """Let clients read the end, while what they write still reaches the server."""
        for link in self._links:
            link.is_half_closed = True
            with suppress(OSError):
                link.ends["down"].write_eof()

    def cut_after(self, size: int) -> None:
        """Pass this many bytes of replies, and then break all connections: in the middle of a reply."""
        self._left = size

    def heal(self) -> None:
        """End all failures."""
        self.is_up, self.delay, self._left, self._silent = True, 0.0, None, set()
        for link in self._links:
            link.is_deaf = False
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # Bytes

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.get_running_loop().create_task(self._serve(reader, writer)))
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = None
        try:
            if self.is_up:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target())
                self._links.add(link := _Link(writer, far_writer))
                await asyncio.gather(self._copy(reader, link, "up"), self._copy(far_reader, link, "down"))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            if link is not None:
                link.abort()
                self._links.discard(link)

    async def _copy(self, reader: asyncio.StreamReader, link: _Link, way: Way) -> None:
        end = link.ends[way]
        while data := await reader.read(STEP):
            if way == "up" and b"SUBSCRIBE\r\n" in data:
                link.subscribes = True
            if self.delay:
                await asyncio.sleep(self.delay)
            while way in self._silent or (link.is_deaf and way == "down"):
                await self._changed.wait()
            if way == "down" and link.is_half_closed:
                continue
            if way == "down" and self._left is not None:
                left, self._left = self._left, max(self._left - len(data), 0)
                if not self._left:
                    self._left = None
                    end.write(data[:left])
                    await end.drain()
                    self.reset()
                    return
            end.write(data)
            await end.drain()
        link.abort()
