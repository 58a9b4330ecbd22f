"""The chunks that readers get, caches of those that other watchers will ask for, too, and their bound together."""

from typing import NamedTuple, Protocol

PIECE = 64 * 1024
"""Bytes at which a read ends: one watcher that is far behind must not hold up the others."""

CACHED = 32 * 1024 * 1024
"""Bytes that the caches of several logs may hold together, unless a tally says otherwise."""

BOUND = 16 * PIECE
"""Bytes that the cache of one log may hold."""
OVERHEAD = 512
"""Bytes that a chunk is counted for beside its data: it may keep its wire alive."""


class Format(Protocol):
    """A wire, as far as caches know it."""

    @property
    def is_shared(self) -> bool:
        """True if several watchers may have it."""


class Chunk(NamedTuple):
    """The entries that a reader gets at once.

    Args:
        data: The entries as the wire has them, joined; empty if there are none.
        cursor: The cursor after these entries.
        entries: Number of entries in the data.
        skipped: Number of entries that were skipped, because newer ones stand for them or they could not be encoded.
        lost: Number of entries that fell off the log before they were read.
    """

    data: bytes
    cursor: int
    entries: int
    skipped: int
    lost: int


class Tally:
    """The bytes that several logs hold together: their entries, and the chunks in their caches.

    Attributes:
        size: Bytes of entries.
        cached: Bytes in caches.
    """

    __slots__ = ("_caches", "_most", "cached", "size")

    def __init__(self, cached: int = CACHED) -> None:
        self.size = 0
        self.cached = 0
        self._most = cached
        self._caches: dict[Cache, None] = {}

    def admit(self, cache: "Cache", size: int) -> bool:
        """Count bytes of a cache, clearing the caches filled first for them; return False if they do not fit."""
        if size > self._most:
            return False
        while self.cached + size > self._most:
            next(iter(self._caches)).clear()
        self.cached += size
        self._caches[cache] = None
        return True

    def cleared(self, cache: "Cache", size: int, *, empty: bool) -> None:
        """Stop counting bytes of a cache."""
        self.cached -= size
        if empty:
            self._caches.pop(cache, None)


class Cache:
    """Chunks by wire and cursor; beyond the bound, the oldest ones are dropped.

    Args:
        bound: Bytes that it may hold; one chunk may always stay.

    Attributes:
        size: Bytes that it holds; 0 if it has no chunks.
    """

    __slots__ = ("_bound", "_chunks", "_tally", "size")

    def __init__(self, tally: Tally, bound: int = BOUND) -> None:
        self._chunks: dict[tuple[Format, int], Chunk] = {}
        self.size = 0
        self._bound = bound
        self._tally = tally

    def get(self, wire: Format, cursor: int) -> Chunk | None:
        """Return a chunk, if it is still held."""
        return self._chunks.get((wire, cursor))

    def put(self, wire: Format, cursor: int, chunk: Chunk) -> None:
        """Hold a chunk that other watchers may ask for, if there is room for it beside the caches of other logs."""
        if not wire.is_shared:  # a filter may take 64 kB, and would outlive its client
            return
        size = len(chunk.data) + OVERHEAD
        while self._chunks and self.size + size > self._bound:
            self._drop()
        if self._tally.admit(self, size):
            self._chunks[wire, cursor] = chunk
            self.size += size

    def clear(self) -> None:
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
