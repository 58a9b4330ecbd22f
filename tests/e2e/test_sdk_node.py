"""The official JavaScript SDK in Node, over each of its transports."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import HTTP_STREAM, JSON, PROTOBUF, PROTOBUF_STREAM, SSE, Flavour
from tests.sdk.node import NodeKit
from tests.sdk.stage import Site, Stage

ALL = [JSON, PROTOBUF, HTTP_STREAM, PROTOBUF_STREAM, SSE]
MOST = [JSON, PROTOBUF, HTTP_STREAM, SSE]
"""Transports and formats; the combinations are tested where connections begin and break."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Start the site of all tests here."""
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def kit() -> Iterator[NodeKit]:
    """Start the Node process of all tests here."""
    with NodeKit() as kit:
        yield kit


@pytest.fixture
def stage(site: Site, kit: NodeKit, flavour: Flavour) -> Iterator[Stage]:
    """Return the stage of one test."""
    stage = Stage(kit, site, flavour)
    yield stage
    stage.end()


@pytest.mark.parametrize("flavour", ALL, ids=str)
class TestConnections(scenarios.Connections):
    """Connections."""


@pytest.mark.parametrize("flavour", MOST, ids=str)
class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server starts."""


@pytest.mark.parametrize("flavour", MOST, ids=str)
class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


@pytest.mark.parametrize("flavour", MOST, ids=str)
class TestChannels(scenarios.Channels):
    """The content of subscriptions."""


@pytest.mark.parametrize("flavour", ALL, ids=str)
class TestRecovery(scenarios.Recovery):
    """Recovery."""


@pytest.mark.parametrize("flavour", MOST, ids=str)
class TestStreams(scenarios.Streams):
    """Streams."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF, HTTP_STREAM, SSE], ids=str)
class TestBursts(scenarios.Bursts):
    """Bursts."""


@pytest.mark.parametrize("flavour", [JSON], ids=str)
class TestExpiry(scenarios.Expiry):
    """Tokens that expire."""


@pytest.mark.parametrize("flavour", ALL, ids=str)
class TestJavascript(scenarios.Javascript):
    """Features that only this SDK has."""


def test_restart_of_the_server(site: Site, kit: NodeKit) -> None:
    """When the server restarts, all clients reconnect."""
    scenarios.all_come_back(kit, site, ALL)
