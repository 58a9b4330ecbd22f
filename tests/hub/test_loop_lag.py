"""The lag of an event loop."""

import asyncio
import time

import pytest
from fastapi import FastAPI

from tests.waiting import until
from wirespeed import Live, LoopLag
from wirespeed.hub.loop_lag import LagMeter
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


async def test_blocked_loop_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for which code blocks the loop is the worst lag, and a part of the mean."""
    monkeypatch.setattr("wirespeed.hub.loop_lag.INTERVAL", 0.01)
    meter = LagMeter()
    meter.start(asyncio.get_running_loop())
    assert meter.lag() == LoopLag(0, 0)
    time.sleep(0.1)  # noqa: ASYNC251 - blocks the loop
    await until(lambda: meter.lag() != LoopLag(0, 0))
    assert meter.lag().worst >= 0.09
    await until(lambda: meter.lag().mean < meter.lag().worst)
    meter.stop()


async def test_old_measurements_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lag is that of the last measurements: a block in the past is forgotten."""
    monkeypatch.setattr("wirespeed.hub.loop_lag.INTERVAL", 0.001)
    meter = LagMeter()
    meter.start(asyncio.get_running_loop())
    time.sleep(0.2)  # noqa: ASYNC251 - blocks the loop
    await until(lambda: meter.lag().worst >= 0.19)
    await until(lambda: meter.lag().worst < 0.19)
    meter.stop()


async def test_app_measures_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter runs from the app's start to its end, each time that it starts; otherwise the lag is 0."""
    monkeypatch.setattr("wirespeed.hub.loop_lag.INTERVAL", 0.001)
    app = FastAPI()
    live = Live(app)
    for _ in range(2):
        assert live.statistics().loop_lag == LoopLag(0, 0)
        async with lifespan(app):
            await until(lambda: live.statistics().loop_lag.worst > 0)
        meter = live._hub._lag
        assert meter._handle is None
        assert live.statistics().loop_lag == LoopLag(0, 0)


def test_lag_of_a_loop_that_was_closed() -> None:
    """An app without a lifespan leaves its meter behind when its loop is closed; it lags no more."""
    meter = LagMeter()

    async def start() -> None:
        meter.start(asyncio.get_running_loop())
        meter._lags.append(1.0)
        assert meter.lag() == LoopLag(1, 1)

    asyncio.run(start())
    assert meter.lag() == LoopLag(0, 0)
