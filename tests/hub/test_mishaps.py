"""Mishaps: bounds on the errors that are remembered."""

from wirespeed.hub.mishaps import MOST, MOST_PLACES, Mishaps


def test_last_errors() -> None:
    """The last errors of each place are kept, the newest first."""
    mishaps = Mishaps()
    for number in range(2 * MOST):
        mishaps.note("/a", ValueError(f"{number}\nand more"))
    mishaps.note("/b", KeyError("b"))
    assert [each.text for each in mishaps.of("/a")] == [
        f"ValueError: {number} and more" for number in range(2 * MOST - 1, MOST - 1, -1)
    ]
    assert mishaps.of("/a", "/b")[0].text == "KeyError: 'b'"
    assert mishaps.of("/c") == []


def test_places() -> None:
    """The number of places is bounded; those with the newest errors stay."""
    mishaps = Mishaps()
    mishaps.note("/first", ValueError())
    for number in range(MOST_PLACES):
        if number == 5:
            mishaps.note("/first", ValueError())
        mishaps.note(f"/{number}", ValueError())
    assert mishaps.of("/first")
    assert mishaps.of("/0") == []
    assert mishaps.of(f"/{MOST_PLACES - 1}")
