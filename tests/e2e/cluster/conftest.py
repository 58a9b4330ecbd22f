"""A cluster for the tests of each module: starting workers takes longer than most tests."""

from collections.abc import AsyncIterator

import pytest

from .cluster import Cluster


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Keep one loop for all tests of a module: it carries the bytes between workers and broker."""
    return "asyncio"


@pytest.fixture(scope="module")
async def started(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Start two workers and a broker."""
    async with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def cluster(started: Cluster) -> AsyncIterator[Cluster]:
    """Return the module's cluster, healthy."""
    yield started
    await started.heal()
