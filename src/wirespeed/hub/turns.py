"""Turns: long readings let the other work of the event loop run in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
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


async def run_in_turns(steps: Iterator[object]) -> None:
    """Run an iterator to its end, in slices of time.

    A cancellation is raised when it has ended: no step is left out, and none is put off.
    """
    until, cancellation = perf_counter() + SLICE, None
    for _ in steps:
        if perf_counter() > until:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                cancellation = error
            until = perf_counter() + SLICE
    if cancellation is not None:
        raise cancellation
