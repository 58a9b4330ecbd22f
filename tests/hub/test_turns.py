"""Turns of long readings."""

import pytest

from tests.lanes.turns import counting_turns
from wirespeed.hub.turns import in_turns

pytestmark = pytest.mark.anyio


async def test_others_have_their_turns() -> None:
    """Other work of the loop runs while many items are read, and all items are read in order."""
    async with counting_turns() as had:
        read = [item async for some in in_turns(range(300_000)) for item in some]
        assert read == list(range(300_000))
        assert had() > 1
