"""A lane that keeps what is written onto it."""

import asyncio
from typing import Any, ClassVar

from wirespeed.frames import messages
from wirespeed.lanes.lane import Lane, Traffic


async def nowhere(message: Any) -> None:
    """An ASGI ``send`` to nobody."""


class RecordingLane(Lane):
    """A lane whose client is the test.

    Args:
        room: The client takes what was written in the loop's next turn; until then there is room for so many bytes.
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
        """The values of each write."""
        return [[payload.decode() for _, payload in messages(piece)] for piece in self.written]

    @property
    def values(self) -> list[str]:
        """All values written so far."""
        return [value for piece in self.pieces for value in piece]

    def block(self) -> None:
        """The client takes nothing any more."""
        self._open.clear()

    def unblock(self) -> None:
        """The client takes what there is."""
        self._size = 0
        self._open.set()

    def shut(self) -> None:
        """The client is gone."""
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
