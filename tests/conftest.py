"""What the tests share."""

import pytest
from fastapi import FastAPI
from hypothesis import settings

from wirespeed import Live

# The same examples in each run, on machines of any speed.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def app() -> FastAPI:
    """An app without routes."""
    return FastAPI()


@pytest.fixture
def live(app: FastAPI) -> Live:
    """The app's ``Live``."""
    return Live(app)
