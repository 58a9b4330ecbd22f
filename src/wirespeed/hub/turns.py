"""Turns: long readings let the other work of the event loop run in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from time import perf_counter
from typing import TypeVar

from .clock import SLICE

T = TypeVar("T")

_SOME = 100
"""Items between two looks at the clock."""


async def in_turns(items: Iterable[T], some: int = _SOME) -> AsyncIterator[list[T]]:
    """Yield items, some at a time, in slices of time: other work of the loop is not held up, however many there are."""
    until, left = perf_counter() + SLICE, iter(items)
    while part := list(islice(left, some)):
        yield part
        if perf_counter() > until:
            await asyncio.sleep(0)
            until = perf_counter() + SLICE
