"""What the tests share."""

from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import settings

from tests.waiting import SteadyLoop
from wirespeed import Live
from wirespeed.isolation import Errors

# The same examples in each run, on machines of any speed.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Async tests run on asyncio, by a clock that does not depend on what else the machine does."""
    return "asyncio", {"loop_factory": SteadyLoop}


@pytest.fixture(autouse=True)
def no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error has been logged before a test."""
    monkeypatch.setattr("wirespeed.isolation._errors", Errors())


@pytest.fixture
def app() -> FastAPI:
    """An app without routes."""
    return FastAPI()


@pytest.fixture
def live(app: FastAPI) -> Live:
    """The app's ``Live``."""
    return Live(app)
