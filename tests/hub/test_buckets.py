"""Histograms that are filled as things happen."""

from wirespeed.definitions import DURATIONS, LATENCIES, Histogram
from wirespeed.hub.buckets import Buckets


def test_bounds_are_included() -> None:
    """An observation as large as a bound belongs to the bucket below it, as in Prometheus."""
    buckets = Buckets((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.5):
        buckets.add(value)
    buckets.add(8.0, 3)
    assert buckets.histogram() == Histogram((1.0, 2.0), (2, 2, 4), 31.0)


def test_nothing_was_observed() -> None:
    """Bounds ascend; a new histogram is the empty one."""
    for bounds in (LATENCIES, DURATIONS):
        assert sorted(set(bounds)) == list(bounds)
        assert Buckets(bounds).histogram() == Histogram.empty(bounds)
