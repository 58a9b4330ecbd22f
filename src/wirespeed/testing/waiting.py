"""Waiting in tests: with a timeout in real seconds, also while time stands still for the app."""

import asyncio
from collections.abc import Collection
from threading import Timer
from typing import Any

from .fake_clock import fake_clock_of


async def wait(futures: Collection["asyncio.Future[Any]"], timeout: float, *, lets_time_pass: bool = False) -> None:
    """Wait for the first of some futures. None of them is cancelled.

    Args:
        futures: The futures.
        timeout: Real seconds after which this returns at the latest.
        lets_time_pass: True to let a fake clock go on meanwhile, for as many seconds at most.
    """
    fake = fake_clock_of(asyncio.get_running_loop())
    if fake is None:
        await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return
    if not lets_time_pass or not await fake.advance_until(lambda: any(each.done() for each in futures), timeout):
        await _wait_really(futures, timeout)


async def _wait_really(futures: Collection["asyncio.Future[Any]"], timeout: float) -> None:
    """Wait with a timer of its own: those of the loop stand still."""
    loop = asyncio.get_running_loop()
    late = loop.create_future()
    timer = Timer(timeout, loop.call_soon_threadsafe, [late.cancel])
    timer.daemon = True
    timer.start()
    try:
        await asyncio.wait([*futures, late], return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
