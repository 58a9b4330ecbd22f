"""A cache of chunks that other watchers will ask for, too."""

from .base import PIECE, Chunk, Tally, Wire

BOUND = 16 * PIECE
OVERHEAD = 512
"""Bytes that a chunk is counted for beside its data: it may keep its wire alive."""


class Cache:
    """Chunks by wire and cursor; beyond the bound, the oldest ones are dropped.

    Args:
        bound: Bytes that it may hold; one chunk may always stay.

    Attributes:
        size: Bytes that it holds; 0 if it has no chunks.
    """

    __slots__ = ("_bound", "_chunks", "_tally", "size")

    def __init__(self, tally: Tally, bound: int = BOUND) -> None:
        self._chunks: dict[tuple[Wire, int], Chunk] = {}
        self.size = 0
        self._bound = bound
        self._tally = tally

    def get(self, wire: Wire, cursor: int) -> Chunk | None:
        """Return a chunk, if it is still held."""
        return self._chunks.get((wire, cursor))

    def put(self, wire: Wire, cursor: int, chunk: Chunk) -> None:
        """Hold a chunk, if there is room for it beside the caches of other logs."""
        size = len(chunk.data) + OVERHEAD
        while self._chunks and self.size + size > self._bound:
            self._drop()
        if self._tally.admit(self, size):
            self._chunks[wire, cursor] = chunk
            self.size += size

    def clear(self) -> None:
        """Forget all chunks."""
        if self._chunks:
            self._chunks.clear()
            size, self.size = self.size, 0
            self._tally.cleared(self, size, empty=True)

    def move(self, tally: Tally) -> None:
        """Forget all chunks, and count in another tally from now on."""
        self.clear()
        self._tally = tally

    def _drop(self) -> None:
        chunk = self._chunks.pop(next(iter(self._chunks)))
        size = len(chunk.data) + OVERHEAD
        self.size -= size
        self._tally.cleared(self, size, empty=not self._chunks)
