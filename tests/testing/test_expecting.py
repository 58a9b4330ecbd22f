"""``assert_next``: passes for the expected values, and says what came instead of others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import ANY

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.lanes.turns import turns, until
from wirespeed import Live, Topic
from wirespeed.testing import assert_next, connect, lifespan, multiplexed

pytestmark = pytest.mark.anyio

SOON = 0.01
"""Seconds until the kit's timeouts, in tests of these."""


class Price(BaseModel):
    symbol: str
    value: float = 1


def text_of(error: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    """Return the lines of a failure."""
    return str(error.value).splitlines()


@pytest.fixture
async def news(app: FastAPI) -> AsyncIterator[Topic[[], Any]]:
    """Return a topic of an app that runs."""
    topic: Topic[[], Any] = Live(app).topic("/news", Any)
    async with lifespan(app):
        yield topic


async def test_expected_values_pass(app: FastAPI, news: Topic[[], Any]) -> None:
    """Values are compared by what they are in JSON, or by anything that knows equality; the last one is returned."""
    async with connect(app, "/news") as raw, multiplexed(app) as client:
        subscription = await client.subscribe("news")
        for value in (1, {"a": [1]}, Price(symbol="BTC"), 0.1 + 0.2, "text", None, "last"):
            news.publish(value)
        for source in (raw, subscription):
            await assert_next(source, 1, {"a": [1]})
            await assert_next(source, Price(symbol="BTC"))
            assert await assert_next(source, pytest.approx(0.3), "text", None, ANY) in ("last", '"last"')


async def test_text_messages(app: FastAPI) -> None:
    """Text that is not JSON is compared as it is."""
    topic = Live(app).topic("/text", str)
    async with lifespan(app), connect(app, "/text") as client:
        for text in ("hello", "1"):
            topic.publish(text)
        await assert_next(client, "hello", "1")


@pytest.mark.parametrize("later", range(10))
async def test_cancelled_assertion_loses_nothing(app: FastAPI, news: Topic[[], Any], later: int) -> None:
    """A message is there for the next assertion, in whatever turn of the loop the one before it was cancelled."""
    async with connect(app, "/news") as client:
        first = asyncio.ensure_future(assert_next(client, 1))
        await turns(5)
        news.publish(1)
        await turns(later)
        first.cancel()
        await asyncio.wait([first])
        if first.cancelled():
            await assert_next(client, 1)


async def test_text_of_a_subscription_is_no_number(app: FastAPI) -> None:
    """A subscription knows the types of its values: the text "1" is not the number 1."""
    topic = Live(app).topic("/text", str)
    async with lifespan(app), multiplexed(app) as client:
        subscription = await client.subscribe("text")
        topic.publish("1")
        with pytest.raises(AssertionError, match="came:     '1'"):
            await assert_next(subscription, 1)


async def test_loops_of_the_app(app: FastAPI, news: Topic[[], Any]) -> None:
    """The values of a loop over a feed or topic are those of Python."""

    async def counting() -> AsyncIterator[int]:
        yield 1
        yield 2

    values = counting()
    await assert_next(values, 1, 2)
    with pytest.raises(AssertionError, match="the source has ended"):
        await assert_next(values, 3)
    watched = news.watch()
    task = asyncio.create_task(assert_next(watched, "a"))
    await until(lambda: news.statistics().watchers == 1)
    news.publish("a")
    assert await task == "a"


async def test_failure_shows_what_came(app: FastAPI, news: Topic[[], Any]) -> None:
    """The failure shows the values before, instead and after."""
    async with multiplexed(app) as client, connect(app, "/news") as raw:
        subscription = await client.subscribe("news")
        for value in (1, 2, 3, 5, 6):
            news.publish(value)
        await until(lambda: subscription.waiting == raw.waiting == 5)
        for source, name in ((subscription, "values of news"), (raw, "messages of /news")):
            show: Callable[[int], str] = str if source is subscription else lambda number: repr(str(number))
            await assert_next(source, 1, 2)
            with pytest.raises(AssertionError) as failure:
                await assert_next(source, 3, 4)
            assert text_of(failure) == [
                f"unexpected {name}",
                f"  before:   {show(1)}, {show(2)}",
                "  expected: 3, 4",
                f"  came:     {show(3)}, {show(5)}",
                f"  after:    {show(6)}",
            ]


async def test_failure_without_a_value(app: FastAPI, news: Topic[[], Any]) -> None:
    """Without a value in time, or after the end, the failure says so."""
    async with multiplexed(app) as client, connect(app, "/news") as raw:
        subscription = await client.subscribe("news")
        with pytest.raises(AssertionError, match=r"nothing came within 0\.01 s"):
            await assert_next(raw, 1, timeout=SOON)
        with pytest.raises(AssertionError) as failure:
            await assert_next(subscription, 1, timeout=SOON)
        assert text_of(failure) == [
            "unexpected values of news",
            "  expected: 1",
            "  came:     nothing",
            "  then:     nothing came within 0.01 s",
        ]
        news.complete()
        with pytest.raises(AssertionError, match=r"then:     the subscription to news has ended: complete \(2000\)"):
            await assert_next(subscription, 1)


async def test_long_values_are_cut(app: FastAPI, news: Topic[[], Any]) -> None:
    """A failure stays readable, whatever comes."""
    async with multiplexed(app) as client:
        subscription = await client.subscribe("news")
        for _ in range(20):
            news.publish("x" * 10_000)
        await until(lambda: subscription.waiting == 20)
        with pytest.raises(AssertionError) as failure:
            await assert_next(subscription, 1)
        assert len(str(failure.value)) < 4000
        assert text_of(failure)[-1].endswith("...")
