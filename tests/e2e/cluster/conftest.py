"""A cluster for the tests of each module: starting workers takes longer than most tests."""

from collections.abc import AsyncIterator

import pytest

from .cluster import Deployment


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Keep one loop for all tests of a module: it carries the bytes between workers and broker."""
    return "asyncio"


@pytest.fixture(scope="module")
async def started(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    """Start two workers, with what the module adds to their environment, and a broker."""
    environment = getattr(request.module, "ENVIRONMENT", {})
    async with Deployment(tmp_path_factory.mktemp("cluster"), **environment) as cluster:
        yield cluster


@pytest.fixture
async def cluster(started: Deployment) -> AsyncIterator[Deployment]:
    """Return the module's cluster, healthy."""
    yield started
    await started.heal()
