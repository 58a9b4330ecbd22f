"""Chunks that other watchers will ask for, too."""

from .base import PIECE, Chunk, Tally, Wire

BOUND = 16 * PIECE
OVERHEAD = 512
"""Bytes that a chunk counts beside its data: its wire may be kept alive by it."""


class Cache:
    """Chunks by wire and cursor; beyond its bound, those that were put there first are dropped.

    Args:
        tally: Counts the bytes together with those of other caches.
        bound: Bytes that it may hold; one chunk always may.

    Attributes:
        size: Bytes that it holds; 0 if there are no chunks.
    """

    __slots__ = ("_bound", "_chunks", "_tally", "size")

    def __init__(self, tally: Tally, bound: int = BOUND) -> None:
        self._chunks: dict[tuple[Wire, int], Chunk] = {}
        self.size = 0
        self._bound = bound
        self._tally = tally

    def get(self, wire: Wire, cursor: int) -> Chunk | None:
        """Return the chunk that was put there, if it is still held."""
        return self._chunks.get((wire, cursor))

    def put(self, wire: Wire, cursor: int, chunk: Chunk) -> None:
        """Hold a chunk, if there is room for it beside other logs' caches."""
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
        """Forget all chunks, and count with another tally from now on."""
        self.clear()
        self._tally = tally

    def _drop(self) -> None:
        chunk = self._chunks.pop(next(iter(self._chunks)))
        size = len(chunk.data) + OVERHEAD
        self.size -= size
        self._tally.cleared(self, size, empty=not self._chunks)
