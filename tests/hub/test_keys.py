"""Keys of all processes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.hub.watching import feed
from tests.lanes.turns import counting_turns
from wirespeed.hub import keys, turns
from wirespeed.hub.keys import Keys
from wirespeed.hub.processes import Processes, Replies

pytestmark = pytest.mark.anyio

COUNT = 1000


class Others(Processes):
    """Processes that answer each question with the same bytes."""

    answer = b"[]"

    async def ask_all(self, *_: Any) -> Replies:
        return Replies(1, {"other": self.answer})


async def numbers(n: int) -> AsyncIterator[int]:
    """Yield a number."""
    yield n


@pytest.fixture
def others() -> Others:
    """Return the other processes."""
    return Others()


@pytest.fixture
def listed(others: Others) -> Keys:
    """Return the keys of a process with many of one topic."""
    return Keys({NUMBERS: "/numbers"}, lambda _: [{"n": n} for n in range(COUNT)], others)


NUMBERS = feed(numbers)


async def test_answer_has_what_fits(listed: Keys, others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to another process has as many keys as fit into a message."""
    whole = await others.slow["keys"](b"/numbers")
    assert json.loads(whole) == [{"n": n} for n in range(COUNT)]
    monkeypatch.setattr(keys, "MOST_BYTES", len(whole) - 1)
    assert json.loads(await others.slow["keys"](b"/numbers")) == [{"n": n} for n in range(COUNT - 1)]
    assert await others.slow["keys"](b"/unknown") == b"[]"


async def test_others_have_their_turns(listed: Keys, others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work of the loop runs while many keys are listed, for this process and for others."""
    monkeypatch.setattr(turns, "SLICE", 0.0)
    async with counting_turns() as had:
        others.answer = await others.slow["keys"](b"/numbers")
        seen = had()
        assert seen >= COUNT // 100
        assert len(await listed.everywhere(NUMBERS, 1)) == COUNT
        assert had() >= seen + 2 * COUNT // 100
