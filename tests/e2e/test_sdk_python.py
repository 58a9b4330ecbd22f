"""The official Python SDK, in both of its formats."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import JSON, PROTOBUF, Flavour
from tests.sdk.python import PythonKit
from tests.sdk.stage import Site, Stage


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site of all tests here."""
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def kit() -> Iterator[PythonKit]:
    """The thread of all tests here."""
    with PythonKit() as kit:
        yield kit


@pytest.fixture
def stage(site: Site, kit: PythonKit, flavour: Flavour) -> Iterator[Stage]:
    """The stage of one test."""
    stage = Stage(kit, site, flavour)
    yield stage
    stage.end()


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestConnections(scenarios.Connections):
    """Connections."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server begins."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestChannels(scenarios.Channels):
    """What subscriptions carry."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestRecovery(scenarios.Recovery):
    """Coming back."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestStreams(scenarios.Streams):
    """Streams."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestBursts(scenarios.Bursts):
    """Much at once."""


@pytest.mark.parametrize("flavour", [PROTOBUF], ids=str)
class TestExpiry(scenarios.Expiry):
    """Tokens that expire."""


def test_restart_of_the_server(site: Site, kit: PythonKit) -> None:
    """When the server starts anew all clients come back."""
    scenarios.all_come_back(kit, site, [JSON, PROTOBUF])
