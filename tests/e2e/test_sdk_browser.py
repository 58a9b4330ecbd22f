"""The official JavaScript SDK in a real browser, over each transport that one has."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.sdk import scenarios
from tests.sdk.kit import Flavour
from tests.sdk.page import PageKit
from tests.sdk.stage import Site, Stage, site


@pytest.fixture(scope="module", name="site")
def one_site() -> Iterator[Site]:
    """The site of all tests here."""
    with site() as up:
        yield up


@pytest.fixture(scope="module")
def kit(site: Site, browser: Browser) -> Iterator[PageKit]:
    """The page of all tests here."""
    page = browser.new_page()
    yield PageKit(page, f"{site.gate.url}/page")
    page.close()


FLAVOURS = [
    Flavour("websocket", "json"),
    Flavour("websocket", "protobuf"),
    Flavour("http_stream", "json"),
    Flavour("http_stream", "protobuf"),
    Flavour("sse", "json"),
]


@pytest.fixture(params=FLAVOURS, ids=str)
def stage(site: Site, kit: PageKit, request: pytest.FixtureRequest) -> Iterator[Stage]:
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
