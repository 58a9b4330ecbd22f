"""From what sampled connections have received to how late it was, and whether any of it is missing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmarks.feeds.values import PATTERN

Chunk = tuple[int, bytes]


@dataclass(frozen=True)
class Latencies:
    """Milliseconds from publishing to receiving a value; `gaps` are values that a connection never saw."""

    values: int = 0
    median: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    gaps: int = 0

    @classmethod
    def of(cls, sampled: Sequence[Sequence[Chunk]]) -> Self:
        late: list[int] = []
        gaps = 0
        for chunks in sampled:
            before = None
            for arrived, made, number in _values(chunks):
                late.append(arrived - made)
                gaps += before is not None and number != before + 1
                before = number
        late.sort()
        if not late:
            return cls()
        median, p99 = (late[int(share * (len(late) - 1))] for share in (0.5, 0.99))
        return cls(len(late), median / 1e6, p99 / 1e6, late[-1] / 1e6, gaps)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _values(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int, int]]:
    """When each value was complete, when it was made, and its number."""
    whole = b"".join(data for _, data in chunks)
    ends = _ends(chunks)
    end, arrived = next(ends, (0, 0))
    for found in PATTERN.finditer(whole):
        while found.end() > end:
            end, arrived = next(ends)
        yield arrived, int(found[1]), int(found[2])


def _ends(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
    end = 0
    for arrived, data in chunks:
        end += len(data)
        yield end, arrived
