"""A lane that records what is written to it."""

import asyncio
from typing import Any, ClassVar

from wirespeed.frames import messages
from wirespeed.lanes.lane import Lane, Traffic


async def nowhere(message: Any) -> None:
    """An ASGI ``send`` that drops every message."""


class RecordingLane(Lane):
    """A lane whose client is the test.

    Args:
        room: Bytes that fit until the client reads them, in the loop's next turn; None for any number.
    """

    name: ClassVar[str] = "recording"

    def __init__(self, room: int | None = None) -> None:
        self.traffic = Traffic()
        super().__init__(nowhere, self.traffic)
        self.written: list[bytes] = []
        self._room = room
        self._size = 0
        self._open = asyncio.Event()
        self._open.set()
        self._over = False

    @property
    def pieces(self) -> list[list[str]]:
        """Values of each write."""
        return [[payload.decode() for _, payload in messages(piece)] for piece in self.written]

    @property
    def values(self) -> list[str]:
        """All values written so far, in order."""
        return [value for piece in self.pieces for value in piece]

    def block(self) -> None:
        """Have the client stop reading."""
        self._open.clear()

    def unblock(self) -> None:
        """Have the client read everything that was written."""
        self._size = 0
        self._open.set()

    def shut(self) -> None:
        """Have the client leave."""
        self._over = True
        self._open.set()

    def _write(self, frames: bytes) -> None:
        self.written.append(frames)
        self._size += len(frames)
        if self._room is not None and self._size >= self._room:
            self.block()
            asyncio.get_running_loop().call_soon(self.unblock)

    def writable(self) -> bool:
        return self._open.is_set()

    def closing(self) -> bool:
        return self._over

    async def drained(self) -> None:
        await self._open.wait()

    def waiting(self) -> int:
        return 0

    @property
    def stalled(self) -> bool:
        return False

    async def finish(self) -> None:
        """Hold nothing."""
