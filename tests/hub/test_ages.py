"""The times at which the entries arrived that watchers have not read."""

from hypothesis import given
from hypothesis import strategies as st

from wirespeed.hub.ages import Ages


def test_first_news_of_a_turn() -> None:
    """Entries have the time of the first news of their turn; a cursor is the entry before."""
    ages = Ages()
    assert ages.since(0) is None
    ages.news(1, 10.0)
    ages.begin(4)
    ages.news(5, 20.0)
    assert [ages.since(cursor) for cursor in range(7)] == [10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0]
    ages.finish()
    assert [ages.since(cursor) for cursor in (3, 4)] == [20.0, 20.0]
    ages.begin(5)
    ages.finish()
    assert ages.since(5) is None


def test_watchers_that_lag_behind() -> None:
    """After a turn in which a watcher had no room, or one for some watchers only, the times stay known."""
    ages = Ages()
    ages.news(1, 10.0)
    ages.begin(1)
    ages.is_behind = True
    ages.finish()
    ages.news(2, 20.0)
    ages.begin(None)
    ages.finish()
    assert [ages.since(cursor) for cursor in (0, 1)] == [10.0, 20.0]


def test_several_entries_at_once() -> None:
    """Entries that came together, such as after a gap, have the time of the notice that follows them."""
    ages = Ages()
    ages.news(7, 10.0)
    assert ages.since(3) == 10.0


@given(st.integers(1, 2000), st.data())
def test_watcher_that_stalls_for_long(turns: int, data: st.DataObject) -> None:
    """The memory is bounded; an entry never seems younger than it is, and at most twice as old."""
    ages = Ages()
    for turn in range(1, turns + 1):
        ages.news(turn, float(turn))
        ages.begin(turn)
        ages.is_behind = True
        ages.finish()
    assert len(ages._heads) <= 64
    cursor = data.draw(st.integers(0, turns - 1))
    since = ages.since(cursor)
    assert since is not None
    assert since <= cursor + 1
    assert turns - since <= 2 * (turns - cursor - 1)


def test_memory_is_bounded() -> None:
    """A watcher that stalls for very long while turns become rare takes no more memory; its entries seem younger."""
    ages = Ages()
    ages.reach, ages.is_behind = None, True
    for turn in range(1, 400):
        ages.news(turn, 1.5**turn)
    assert len(ages._heads) <= 64
    assert ages.since(398) == 1.5**399
