"""The official Python SDK, in both of its formats."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import JSON, PROTOBUF, Flavour
from tests.sdk.python import PythonKit
from tests.sdk.stage import Site, Stage


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Start the site of all tests here."""
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def kit() -> Iterator[PythonKit]:
    """Start the thread of all tests here."""
    with PythonKit() as kit:
        yield kit


@pytest.fixture
def stage(site: Site, kit: PythonKit, flavour: Flavour) -> Iterator[Stage]:
    """Return the stage of one test."""
    stage = Stage(kit, site, flavour)
    yield stage
    stage.end()


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestConnections(scenarios.Connections):
    """Connections."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server starts."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestChannels(scenarios.Channels):
    """The content of subscriptions."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestRecovery(scenarios.Recovery):
    """Recovery."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestStreams(scenarios.Streams):
    """Streams."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestBursts(scenarios.Bursts):
    """Bursts."""


@pytest.mark.parametrize("flavour", [PROTOBUF], ids=str)
class TestExpiry(scenarios.Expiry):
    """Tokens that expire."""


def test_restart_of_the_server(site: Site, kit: PythonKit) -> None:
    """When the server restarts, all clients reconnect."""
    scenarios.all_come_back(kit, site, [JSON, PROTOBUF])
