"""States of values: what waits to be appended, and how many bytes it takes."""

from wirespeed.log.base import Encoded, Marks, Removed, size_of


def test_all_that_waits_counts() -> None:
    """The size of a waiting state includes its payload, its tags, and the row that it removes."""
    least = size_of(Encoded(b""))
    assert size_of(Encoded(b"x" * 1000)) == least + 1000
    assert size_of(Encoded(b"x", None, Marks({"side": "y" * 1000}))) == least + 1005
    assert size_of(Removed("x" * 1000)) >= least + 1000
