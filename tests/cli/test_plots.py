"""A number over time, drawn in the terminal."""

from wirespeed.cli.plots import columns


def test_largest_numbers() -> None:
    """Numbers whose difference is larger than any number are drawn as others are."""
    far = [-1.7e308, 0.0, 1.7e308]
    assert columns(far, far[0], far[-1], 2) == columns([-1.0, 0.0, 1.0], -1.0, 1.0, 2)
