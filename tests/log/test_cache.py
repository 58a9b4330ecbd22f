"""Caches of logs: bounded each and all together, and counted."""

import weakref

import pytest

from tests.log.telling import Telling, payloads
from wirespeed.log.base import Log
from wirespeed.log.cache import BOUND, OVERHEAD, Cache, Chunk, Tally
from wirespeed.log.growing import TextLog
from wirespeed.log.latest import LatestLog
from wirespeed.log.ring import RingLog
from wirespeed.log.table import TableLog

VALUE = "x" * 20_000


class Alone(Telling):
    """A wire that one watcher has for itself."""

    is_shared = False


def logs(tally: Tally) -> list[Log]:
    """One log of each kind, with a value."""
    kinds: list[Log] = [
        LatestLog("e", str.encode, print, tally),
        RingLog("e", str.encode, tally, entries=10, size=10**9, seconds=None),
        TableLog("e", tally, encode=str.encode, failed=print, row_of=lambda value: value[0], rows=9, size=10**9),
    ]
    for log in kinds:
        log.append(VALUE, 1, 0.0)
    return kinds


@pytest.mark.parametrize("kind", range(3))
def test_many_spellings_of_one_channel_cost_bounded_memory(kind: int) -> None:
    """2,000 wires of one value of 20 kB hold a megabyte, and it is counted."""
    tally = Tally()
    log = logs(tally)[kind]
    wires = [Telling() for _ in range(2000)]
    for wire in wires:
        assert payloads(log.read(0, wire)) == [VALUE.encode()]
        assert tally.cached <= BOUND
    assert tally.cached > BOUND // 2
    assert log.read(0, wires[-1]).data is log.read(0, wires[-1]).data
    log.passed(log.head)
    assert tally.cached == 0


@pytest.mark.parametrize("kind", range(4))
def test_wire_of_one_watcher_is_not_kept(kind: int) -> None:
    """No log keeps the bytes of a filter, nor the filter, which would outlive its client uncounted."""
    tally = Tally()
    growing = TextLog("e", str.encode, print, tally, size=10**6)
    growing.append("a", 1, 0.0)
    log = [*logs(tally), growing][kind]
    wire = Alone()
    gone = weakref.ref(wire)
    for _ in range(2):
        assert payloads(log.read(0, wire)) != []
    assert tally.cached == 0
    del wire
    assert gone() is None


def test_caches_are_bounded_together() -> None:
    """Whatever is read from however many logs, the caches that were filled first make room."""
    tally = Tally(cached=100_000)
    crowd = [log for _ in range(20) for log in logs(tally)]
    for log in crowd:
        for wire in (Telling(), Telling()):
            log.read(0, wire)
            assert 0 < tally.cached <= 100_000
    for log in crowd:
        log.leave()
        log.read(0, Telling())
    assert (tally.cached, tally.size) == (0, 0)


def test_chunk_that_does_not_fit_is_not_held() -> None:
    """It is made for each who asks, and what others have stays."""
    tally = Tally(cached=3 * OVERHEAD)
    small, large = Cache(tally), Cache(tally)
    wire = Telling()
    small.put(wire, 0, Chunk(b"a", 1, 1, 0, 0))
    large.put(wire, 0, Chunk(b"a" * 3 * OVERHEAD, 1, 1, 0, 0))
    assert (small.get(wire, 0) is not None, large.get(wire, 0)) == (True, None)


def test_clearing_counts_no_longer() -> None:
    """An append makes what was ready useless: it is gone from the count, too."""
    tally = Tally()
    for log in logs(tally):
        log.read(0, Telling())
        assert tally.cached > 0
        log.append("y", 2, 0.0)
        assert tally.cached == 0
