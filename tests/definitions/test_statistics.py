"""The figures of a feed or topic as a NamedTuple."""

import pytest

from wirespeed import WatchStatistics


def test_nothing_is_zero() -> None:
    """Before anything happens, all figures are zero, and the shared default cannot be changed."""
    nothing = WatchStatistics()
    assert set(nothing[:-3]) == {0}
    assert set(nothing.latency.counts) == set(nothing.painted.counts) == {0}
    assert nothing.producers == {}
    with pytest.raises(TypeError):
        nothing.producers["running"] = 1  # type: ignore[index]


def test_every_figure_has_a_place() -> None:
    """Figures are read by name; their order is part of the promise."""
    assert WatchStatistics._fields[:4] == ("keys", "watchers", "published", "delivered")
    assert WatchStatistics._fields[-3:] == ("producers", "latency", "painted")
