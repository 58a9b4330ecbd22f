"""One way to wait: for a condition, never for a time.

The result of a test must not depend on the speed of the machine. So every wait has the same deadline, which only a
hang reaches, and no test asserts how long something took.
"""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds after which a wait fails. A test may wait several times within pytest's own limit."""

PAUSE = 0.02
"""Seconds between two looks at a condition. A test that asks without a pause meets rate limits and takes the CPU."""

TURNS = 2000
"""Turns of the loop without a pause, in which a chain of callbacks has come to its end."""

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
    """Let the loop turn until something holds in this process.

    What needs more than ``TURNS`` waits for a time limit of the app or for another thread, and needs no CPU meanwhile.
    On a loop whose clock stands, ``asyncio.sleep`` would never end.
    """
    stands = getattr(asyncio.get_running_loop(), "stands", False)
    deadline = time.monotonic() + within
    turns = 0
    async with asyncio.timeout(within):
        while not holds():
            turns += 1
            if turns >= TURNS and stands:
                time.sleep(0.001)  # noqa: ASYNC251 - nothing else on the loop waits for a time
                if time.monotonic() > deadline:  # the timeout of such a loop never comes
                    raise TimeoutError
            await asyncio.sleep(0 if turns < TURNS or stands else 0.001)


async def until_async(look: Callable[[], Awaitable[T]]) -> T:
    """Ask again and again, with a pause between, until the answer is true, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):  # noqa: ASYNC110 - what it asks cannot notify it
            await asyncio.sleep(PAUSE)
    return found


class SteadyLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stops while other processes use the CPU.

    Its time is the CPU time of its thread, and what it has idled as long as it meant to. So limits of the app that are
    short in a test, and ten seconds for a client that stalls, mean the same on a machine that does other things, too.
    """

    def __init__(self) -> None:
        self._selector_of_ours = _Selector()
        super().__init__(self._selector_of_ours)

    def time(self) -> float:
        """Seconds, from any beginning."""
        return time.thread_time() + self._selector_of_ours.idled

    def skip(self, seconds: float) -> None:
        """Let time pass at once: timers within these seconds are due.

        A test skips a limit of the app that has to be reached after something else, say the start of a thread. A limit
        that is made short may be reached before it.
        """
        self._selector_of_ours.idled += seconds


def skip(seconds: float) -> None:
    """Let time pass at once in the running loop of a test; see :meth:`SteadyLoop.skip`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteadyLoop)
    loop.skip(seconds)


class _Selector(selectors.DefaultSelector):
    """Counts the seconds for which it waits, at most those for which it was to wait."""

    idled = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        begun = time.monotonic()
        found = super().select(timeout)
        if timeout is None or timeout > 0:
            waited = time.monotonic() - begun
            self.idled += waited if timeout is None else min(waited, timeout)
        return found
