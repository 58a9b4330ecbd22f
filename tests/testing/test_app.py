"""Startup and shutdown of the app under test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette

from tests.testing.test_websocket import SOON, failing
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


class Living:
    """An app whose lifespan fails at a step, and that records how far it came."""

    def __init__(self, wrong_at: str = "") -> None:
        self.events: list[str] = []
        self.wrong_at = wrong_at
        self.app = Starlette(lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self.reach("startup")
        yield
        await self.reach("shutdown")

    async def reach(self, step: str) -> None:
        if self.wrong_at == step:
            raise ZeroDivisionError(f"in {step}")
        if self.wrong_at == f"stuck at {step}":
            await asyncio.Event().wait()
        self.events.append(step)


async def test_lifespan_goes_around_the_block() -> None:
    """The app has started when the block begins, and has stopped when it ends. No task remains."""
    before = asyncio.all_tasks()
    living = Living()
    async with lifespan(living.app):
        assert living.events == ["startup"]
    assert living.events == ["startup", "shutdown"]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("step", ["startup", "shutdown"])
async def test_failing_lifespan_is_told(step: str) -> None:
    """The error names the step that failed, and has the app's traceback."""
    with pytest.raises(RuntimeError, match=rf"the app's {step} failed:(.|\n)*ZeroDivisionError: in {step}"):
        async with lifespan(Living(step).app):
            pass


@pytest.mark.parametrize("step", ["startup", "shutdown"])
async def test_lifespan_does_not_wait_for_ever(step: str) -> None:
    """An app that takes too long is cancelled."""
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with lifespan(Living(f"stuck at {step}").app, timeout=SOON):
            pass
    assert asyncio.all_tasks() == before


async def test_app_stops_when_the_block_fails() -> None:
    """A failing test stops its app as any other does, and fails with its own error."""
    living = Living()
    with pytest.raises(KeyError):
        async with lifespan(living.app):
            raise KeyError
    assert living.events == ["startup", "shutdown"]


async def test_app_without_a_lifespan_says_so_at_once() -> None:
    """An app that raises instead of answering has failed to start, without a wait."""
    with pytest.raises(RuntimeError, match="startup failed"):
        async with lifespan(failing, timeout=0.1):
            pass
