"""The page "What survives what" and the tests of failures agree: each cell names its tests, and each test is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/topics/what-survives-what.md").read_text()
TESTS = {
    f"{file.stem.removeprefix('test_')}::{name}"
    for file in (ROOT / "tests/e2e/cluster").glob("test_*.py")
    for name in re.findall(r"^async def test_(\w+)", file.read_text(), re.MULTILINE)
}
NAMED = re.compile(r"<!-- (.*?) -->")


def names(text: str) -> list[str]:
    """Return the tests that a text names."""
    return [name for comment in NAMED.findall(text) for name in comment.split(", ")]


def cells() -> Iterator[tuple[str, str]]:
    """Give the cells of the table, each with the name of its row and column."""
    header, _, *rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
    for failure, *effects in rows:
        for column, cell in zip(header[1:], effects, strict=True):
            yield f"{failure.strip()}: {column.strip()}", cell.strip()


@pytest.mark.parametrize(("place", "cell"), [*cells()])
def test_each_cell_is_tested(place: str, cell: str) -> None:
    """A cell that promises something names tests, and they exist."""
    assert cell == "-" or names(cell), place
    assert set(names(cell)) <= TESTS, place


def test_each_test_is_on_the_page() -> None:
    """No test of a failure is missing on the page."""
    assert TESTS - set(names(PAGE)) == set()
