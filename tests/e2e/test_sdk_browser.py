"""The official JavaScript SDK in a real browser, over each transport that a browser has."""

from collections.abc import Iterator

import pytest

from benchmarks.engines import ENGINES
from tests.sdk import scenarios
from tests.sdk.kit import HTTP_STREAM, JSON, PROTOBUF, PROTOBUF_STREAM, SSE, Flavour
from tests.sdk.page import PageKit
from tests.sdk.stage import Site, Stage

ALL = [JSON, PROTOBUF, HTTP_STREAM, PROTOBUF_STREAM, SSE]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Start the site of all tests here."""
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def kit(site: Site) -> Iterator[PageKit]:
    """Open the page of all tests here."""
    with ENGINES["Chromium"]() as chromium, chromium.open(f"{site.gate.url}/page") as page:
        kit = PageKit(page)
        yield kit
        # The SDK ignores the result of its commands beside a stream, which may be cut.
        assert [error for error in kit.uncaught() if "Failed to fetch" not in error] == []


@pytest.fixture
def stage(site: Site, kit: PageKit, flavour: Flavour) -> Iterator[Stage]:
    """Return the stage of one test."""
    stage = Stage(kit, site, flavour)
    yield stage
    stage.end()


@pytest.mark.parametrize("flavour", ALL, ids=str)
class TestConnections(scenarios.Connections):
    """Connections."""


@pytest.mark.parametrize("flavour", [JSON, PROTOBUF], ids=str)
class TestServerSide(scenarios.ServerSide):
    """Subscriptions that the server starts."""


@pytest.mark.parametrize("flavour", [JSON, HTTP_STREAM], ids=str)
class TestSubscriptions(scenarios.Subscriptions):
    """Subscriptions."""


@pytest.mark.parametrize("flavour", [JSON, SSE], ids=str)
class TestChannels(scenarios.Channels):
    """The content of subscriptions."""


@pytest.mark.parametrize("flavour", [JSON, HTTP_STREAM, SSE], ids=str)
class TestRecovery(scenarios.Recovery):
    """Recovery."""


@pytest.mark.parametrize("flavour", [JSON, HTTP_STREAM], ids=str)
class TestStreams(scenarios.Streams):
    """Streams."""


@pytest.mark.parametrize("flavour", [JSON, SSE], ids=str)
class TestBursts(scenarios.Bursts):
    """Bursts."""


@pytest.mark.parametrize("flavour", [HTTP_STREAM], ids=str)
class TestExpiry(scenarios.Expiry):
    """Tokens that expire."""


@pytest.mark.parametrize("flavour", [JSON, SSE], ids=str)
class TestJavascript(scenarios.Javascript):
    """Features that only this SDK has."""


def test_restart_of_the_server(site: Site, kit: PageKit) -> None:
    """When the server restarts, all clients reconnect."""
    scenarios.all_come_back(kit, site, ALL)
