"""The values of a fan-out: 100 bytes that hold the time of their publication, at the same pace from every server."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

SIZE = 100
FRAME_SIZE = SIZE + 2
_PADDING = "x" * 70
PATTERN = re.compile(rb"\|(\d{20})\|(\d{7})\|")
"""Finds the time and the number in whatever a server wraps a value in; its end is the end of the value."""
MARK = b"xxx|"
"""Is in each value once, and in nothing that a server wraps it in."""

WORKER = "BENCHMARK_WORKER"
"""The environment variable with the number of a worker, from 0, if there are several."""

_TICK = 0.001
_LATE = 0.01


def stamped(number: int) -> str:
    """Return a value with its number and the time, by the clock that all processes of a machine share."""
    return f"{_PADDING}|{time.monotonic_ns():020d}|{number:07d}|"


async def pace(rate: float, seconds: float, publish: Callable[[str], Awaitable[None] | None]) -> dict[str, float]:
    """Publish at a rate per second: each millisecond what is due by then, and nothing after the end.

    Return how many were `published` in how many `seconds`; fewer than asked for if `publish` takes too long.
    """
    begun = time.perf_counter()
    number, total = 0, round(rate * seconds)
    while number < total and (passed := time.perf_counter() - begun) < seconds:
        due = min(total, int(passed * rate) + 1)
        while number < due and time.perf_counter() - begun < seconds:
            number += 1
            waiting = publish(stamped(number))
            if waiting is not None:
                await waiting
        ahead = number / rate - (time.perf_counter() - begun)
        await asyncio.sleep(max(_TICK, ahead) if ahead > -_LATE else 0)
    return {"published": number, "seconds": time.perf_counter() - begun}
