"""Totals: figures travel between processes, also of other versions, and are added up."""

import json

import pytest

from wirespeed.definitions import DURATIONS, LATENCIES, Histogram, LoopLag, RunStatistics, WatchStatistics
from wirespeed.hub import Statistics
from wirespeed.hub.processes import MOST_BYTES
from wirespeed.hub.totals import figures_json, figures_together

CONNECTIONS = Statistics(1, {"asgi": 1}, 2, {"origin": 3}, 4, 5, 6, 7, LoopLag(0.1, 0.4))


def latency(*counts: int, total: float) -> Histogram:
    """Return a histogram whose first buckets are filled."""
    empty = Histogram.empty(LATENCIES)
    return empty._replace(counts=(*counts, *empty.counts[len(counts) :]), total=total)


def test_everything_is_added_up() -> None:
    """Numbers, mappings and histograms are sums; the lag is the mean and the worst. A path that only one process has
    counts as it is."""
    one = figures_json(
        CONNECTIONS,
        {"/a": WatchStatistics(watchers=1, producers={"running": 1}, latency=latency(1, 2, total=3.5))},
        {"/s": RunStatistics(active=1, durations=Histogram.empty(DURATIONS)._replace(total=1.5))},
    )
    two = figures_json(
        CONNECTIONS._replace(loop_lag=LoopLag(0.3, 0.3)),
        {"/a": WatchStatistics(watchers=2, producers={"waiting": 1}, latency=latency(4, total=0.5))},
        {"/s": RunStatistics(active=2), "/t": RunStatistics(failed=1)},
    )
    found = figures_together(3, [one, two])
    assert (found.processes, found.answered) == (3, 2)
    assert found.connections == Statistics(2, {"asgi": 2}, 4, {"origin": 6}, 8, 10, 12, 14, LoopLag(0.2, 0.4))
    assert found.watching["/a"] == WatchStatistics(
        watchers=3, producers={"running": 1, "waiting": 1}, latency=latency(5, 2, total=4.0)
    )
    assert found.running["/s"].active == 3
    assert found.running["/s"].durations.total == 1.5
    assert found.running["/t"] == RunStatistics(failed=1)


def test_process_of_an_earlier_version() -> None:
    """Its figures count, without those that it does not know; histograms with other bounds are left out."""
    watching = (*WatchStatistics(watchers=1)[:12], {"running": 1})
    earlier = json.dumps([CONNECTIONS[:8], {"/a": watching}]).encode()
    other = Histogram((1.0,), (2, 3), 9.0)
    own = figures_json(CONNECTIONS, {"/a": WatchStatistics(latency=latency(1, total=1.0))}, {})
    odd = figures_json(CONNECTIONS, {"/a": WatchStatistics(latency=other)}, {})
    found = figures_together(3, [own, earlier, odd])
    assert found.answered == 3
    assert found.connections.connections == 3
    assert found.watching["/a"].watchers == 1
    assert found.watching["/a"].latency == latency(1, total=1.0)


def test_figures_of_thousands_of_definitions() -> None:
    """They travel without their histograms, as far as a message between processes has room."""
    watching = {f"/topic-{number}": WatchStatistics(watchers=1) for number in range(6000)}
    running = {f"/stream-{number}": RunStatistics(active=1) for number in range(500)}
    travelling = figures_json(CONNECTIONS, watching, running)
    assert len(travelling) <= MOST_BYTES
    found = figures_together(2, [travelling, travelling])
    assert found.answered == 2
    assert found.watching["/topic-7"].watchers == found.running["/stream-7"].active == 2
    assert found.watching["/topic-7"].latency.counts == ()


def test_malformed_figures(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged and left out."""
    assert figures_together(2, [figures_json(CONNECTIONS, {}, {}), b"[]"]).answered == 1
    assert "malformed" in caplog.text
