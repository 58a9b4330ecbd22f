"""The official Python SDK, in both of its formats."""

from collections.abc import Iterator

import pytest

from tests.sdk import scenarios
from tests.sdk.kit import Flavour
from tests.sdk.python import PythonKit
from tests.sdk.stage import Site, Stage, site


@pytest.fixture(scope="module", name="site")
def one_site() -> Iterator[Site]:
    """The site of all tests here."""
    with site() as up:
        yield up


@pytest.fixture(scope="module")
def kit() -> Iterator[PythonKit]:
    """The thread of all tests here."""
    with PythonKit() as kit:
        yield kit


@pytest.fixture(params=[Flavour("websocket", "json"), Flavour("websocket", "protobuf")], ids=str)
def stage(site: Site, kit: PythonKit, request: pytest.FixtureRequest) -> Iterator[Stage]:
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
