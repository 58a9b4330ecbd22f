"""Chunks that others will ask for, too."""

from .base import PIECE, Chunk, Wire

_BOUND = 16 * PIECE
_OVERHEAD = 256


class Cache:
    """The chunks that were made since the cache was last cleared, by wire and cursor.

    Watchers that are each somewhere else must not make it large: at 1 MiB it begins anew.
    """

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: dict[tuple[Wire, int], Chunk] = {}
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def get(self, wire: Wire, cursor: int) -> Chunk | None:
        """The chunk that was put there, if it is still held."""
        return self._chunks.get((wire, cursor))

    def put(self, wire: Wire, cursor: int, chunk: Chunk) -> None:
        """Holds a chunk."""
        if self._size > _BOUND:
            self.clear()
        self._chunks[wire, cursor] = chunk
        self._size += len(chunk.data) + _OVERHEAD

    def clear(self) -> None:
        """Forgets all chunks."""
        self._chunks.clear()
        self._size = 0
