"""Statistics: what a feed or topic tells of itself."""

from wirespeed import WatchStatistics


def test_nothing_is_zero() -> None:
    """What has not begun has no figures; what is told of it is nobody else's."""
    nothing = WatchStatistics.nothing()
    assert set(nothing[:-1]) == {0}
    assert nothing.producers == {}
    assert WatchStatistics.nothing().producers is not nothing.producers


def test_every_figure_has_a_place() -> None:
    """Figures are read by name; their order is part of the promise."""
    assert WatchStatistics._fields[:4] == ("keys", "watchers", "published", "delivered")
    assert WatchStatistics._fields[-1] == "producers"
