"""A real browser, and its console."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from benchmarks import chromium as unwatched
from benchmarks.chromium import SWITCHES, program
from tests.e2e.console import GIVEN_UP
from tests.servers import free_port
from tests.waiting import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


# Per module, so that the event loop that Playwright keeps in this thread is closed before other tests need one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=SWITCHES, timeout=1000 * PATIENCE)
        yield browser
        browser.close()


# Playwright's own pages are never hidden, and never kept in the cache when they are left.
@pytest.fixture(scope="module")
def natural() -> Iterator[Browser]:
    """Start a browser without Playwright's overrides."""
    port = free_port()
    arguments = [*SWITCHES, f"--remote-debugging-port={port}"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program(),
            args=arguments,
            timeout=1000 * PATIENCE,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        browser = playwright.chromium.connect_over_cdp(
            f"http://127.0.0.1:{port}", no_defaults=True, timeout=1000 * PATIENCE
        )
        yield browser
        browser.close()
        started.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[unwatched.Browser]:
    """Start a browser without Playwright, for pages that receive thousands of frames: see `unwatched.py`."""
    with unwatched.browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Return what the pages of a module share: the cache above all."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * PATIENCE)
    yield context
    context.close()


@pytest.fixture
def used_page(context: BrowserContext) -> Iterator[Page]:
    """Return the one page of a module, without what an earlier test has left.

    The start of a page of its own needs three times as much CPU. A test has to have one if it leaves a script for later
    pages, another clock or size, or anything in the storage of its origin behind.
    """
    page = context.pages[0] if context.pages else context.new_page()
    yield page
    context.clear_cookies()
    context.clear_permissions()
    if not page.is_closed():
        page.unroute_all()
        page.emulate_media(media="null", color_scheme="null", reduced_motion="null")
        page.goto("about:blank")


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """Return everything that the page wrote to the console, threw, or could not fetch; see ``GIVEN_UP``."""
    found: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if GIVEN_UP not in message.text:
            found.append(f"console {message.type}: {message.text}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            found.append(f"status {response.status}: {response.url}")

    def on_failure(request: Request) -> None:
        found.append(f"failed: {request.url} {request.failure}")

    def on_error(error: Error) -> None:
        found.append(f"uncaught: {error}")

    page.on("console", on_console)
    page.on("pageerror", on_error)
    page.on("response", on_response)
    page.on("requestfailed", on_failure)
    yield found
    page.remove_listener("console", on_console)
    page.remove_listener("pageerror", on_error)
    page.remove_listener("response", on_response)
    page.remove_listener("requestfailed", on_failure)
