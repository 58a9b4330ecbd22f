"""One way to wait: for a condition, never for a time.

The result of a test must not depend on the speed of the machine. So every wait has the same deadline, which only a
hang reaches, and no test asserts how long something took.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a wait fails. A test may wait several times within pytest's own limit."""

PAUSE = 0.02
"""Seconds between two looks at a condition. A test that asks without a pause meets rate limits and takes the CPU."""

NEVER = 3600.0
"""Seconds for a limit of the app that has to stay out of a test: only something else can end the wait."""


def wait_until(look: Callable[[], T], otherwise: Callable[[], object] = str) -> T:
    """Look again and again until the result is true, and return it.

    Args:
        look: The condition.
        otherwise: The text of the error if the condition never holds.

    Raises:
        AssertionError: The condition did not hold within ``PATIENCE``.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {otherwise()}")
        time.sleep(PAUSE)
    return found


async def until(holds: Callable[[], object], within: float = PATIENCE) -> None:
    """Let the loop turn until something holds in this process."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - the turns are what it needs
            await asyncio.sleep(0)


async def until_async(look: Callable[[], Awaitable[T]]) -> T:
    """Ask again and again, with a pause between, until the answer is true, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):  # noqa: ASYNC110 - what it asks cannot notify it
            await asyncio.sleep(PAUSE)
    return found
