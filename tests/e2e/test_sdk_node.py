"""The official JavaScript SDK in Node, over each of its transports and in both formats."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import Flavour
from tests.sdk.node import NodeKit
from tests.sdk.stage import Site, Stage, site

WEBSOCKET = [Flavour("websocket", "json"), Flavour("websocket", "protobuf")]
HTTP = [Flavour("http_stream", "json"), Flavour("http_stream", "protobuf"), Flavour("sse", "json")]


@pytest.fixture(scope="module", name="site")
def one_site() -> Iterator[Site]:
    """The site of all tests here."""
    with site() as up:
        yield up


@pytest.fixture(scope="module")
def kit() -> Iterator[NodeKit]:
    """The Node process of all tests here."""
    with NodeKit() as kit:
        yield kit


@pytest.fixture(params=[*WEBSOCKET, *HTTP], ids=str)
def stage(site: Site, kit: NodeKit, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The stage of one test."""
    stage = Stage(kit, site, request.param)
    yield stage
    stage.end()


class TestConnections(scenarios.Connections):
    """Connections."""


class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server begins."""


class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


class TestChannels(scenarios.Channels):
    """What subscriptions carry."""


class TestRecovery(scenarios.Recovery):
    """Coming back."""


class TestStreams(scenarios.Streams):
    """Streams."""
