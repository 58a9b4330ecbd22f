"""The official Python SDK with two workers of gunicorn that Valkey joins: clients and publishers are at either."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import JSON, Flavour
from tests.sdk.python import PythonKit
from tests.sdk.stage import Site, Stage

ONE_PROCESS = {
    "test_own_publication_comes_first": "a publisher's own value comes from the broker, perhaps after the answer",
}
"""Scenarios that hold within one process only, and why."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Start the site of all tests here."""
    with Site("gunicorn", workers=2) as site:
        yield site


@pytest.fixture(scope="module")
def kit() -> Iterator[PythonKit]:
    """Start the thread of all tests here."""
    with PythonKit() as kit:
        yield kit


@pytest.fixture
def flavour() -> Flavour:
    """Use JSON: the format makes no difference between workers."""
    return JSON


@pytest.fixture
def stage(site: Site, kit: PythonKit, flavour: Flavour, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Return the stage of one test."""
    if reason := ONE_PROCESS.get(request.node.name):
        pytest.skip(reason)
    stage = Stage(kit, site, flavour)
    yield stage
    stage.end()


class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server starts."""


class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


class TestChannels(scenarios.Channels):
    """The content of subscriptions."""


class TestRecovery(scenarios.Recovery):
    """Recovery."""


class TestBursts(scenarios.Bursts):
    """Bursts."""
