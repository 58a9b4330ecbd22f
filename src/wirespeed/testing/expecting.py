"""Assertions about the next values, with failures that show what came instead."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic_core import to_jsonable_python

from .app import TIMEOUT
from .fake_clock import fake_clock_of
from .subscription import ClientSubscription
from .waiting import wait
from .websocket import WebSocketClient

Source = WebSocketClient | ClientSubscription | AsyncIterator[Any]
"""Anything that values come from: a client, a subscription, or a loop such as ``feed.watch()``."""


async def assert_next(source: Source, *expected: Any, timeout: float = TIMEOUT) -> Any:
    """Assert that the next values of a source are the expected ones, in this order. Return the last one.

    Values are compared by ``==``. A Pydantic model or dataclass is compared by its JSON form with the values of clients
    and subscriptions. A message of a raw client is compared as it is, and decoded from JSON.

    Args:
        source: A client, a subscription, or an asynchronous iterator such as ``feed.watch()``.
        expected: The values.
        timeout: Real seconds to wait for each value.

    Raises:
        AssertionError: Another value came, none came in time, or the source ended. The text shows what came instead.
    """
    values: list[Any] = []
    for each in expected:
        try:
            value = await _next(source, timeout)
        except Exception as error:
            raise AssertionError(_failure(source, expected, values, _why(error, timeout))) from error
        values.append(value)
        if not _fits(source, value, each):
            raise AssertionError(_failure(source, expected, values, ""))
    return values[-1] if values else None


async def _next(source: Source, timeout: float) -> Any:
    if isinstance(source, ClientSubscription):
        return (await source.receive_arrival(timeout)).value
    if isinstance(source, WebSocketClient):
        return await source._receive(timeout)
    task = asyncio.ensure_future(anext(source))
    try:
        await wait([task], timeout)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if task.cancelled():
        raise TimeoutError
    return task.result()


def _fits(source: Source, value: Any, expected: Any) -> bool:
    if value == expected:
        return True
    if not isinstance(source, ClientSubscription | WebSocketClient):
        return False  # values of Python
    plain = _plain(expected)
    if isinstance(source, WebSocketClient) and isinstance(value, str):
        return bool(value == plain or _read(value) == plain)
    return bool(value == plain)


def _plain(expected: Any) -> Any:
    """Return the JSON form of an expected value; the value itself if it has none, as `pytest.approx` has."""
    try:
        return to_jsonable_python(expected)
    except ValueError:
        return expected


def _read(message: str) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return message


def _why(error: Exception, timeout: float) -> str:
    """Return the reason for which a value is missing."""
    if isinstance(error, StopAsyncIteration):
        return "the source has ended"
    if not isinstance(error, TimeoutError):
        return str(error) or repr(error)
    if fake_clock_of(asyncio.get_running_loop()) is not None:
        return f"nothing came within {timeout:g} s, and time stands still: is an `await time.advance(...)` missing?"
    return f"nothing came within {timeout:g} s"


def _failure(source: Source, expected: tuple[Any, ...], values: list[Any], why: str) -> str:
    """Return the text of a failure: what was expected, and what came instead, before and after."""
    lines = [_name(source), f"  expected: {_shown(expected)}", f"  came:     {_shown(values)}"]
    if why:
        lines.append(f"  then:     {why}")
    if isinstance(source, ClientSubscription | WebSocketClient):
        before = list(source.received)[: -len(values) or None]
        if before:
            lines.insert(1, f"  before:   {_shown(before)}")
        if after := source.take_waiting():
            lines.append(f"  after:    {_shown(after)}")
    return "\n".join(lines)


def _name(source: Source) -> str:
    if isinstance(source, ClientSubscription):
        return f"unexpected values of {source.channel}"
    return f"unexpected messages of {source.path}" if isinstance(source, WebSocketClient) else "unexpected values"


def _shown(values: Any) -> str:
    shown = [f"{each!r:.200}" for each in values][:10]
    return ", ".join([*shown, *(["..."] if len(values) > 10 else [])]) or "nothing"
