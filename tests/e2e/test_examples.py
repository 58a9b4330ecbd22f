"""The single-file examples in a real browser, started as their docstrings say."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.servers import ROOT, Server, ServerName, serve

EXAMPLES = ROOT / "examples"
SDK = ROOT / "tests/sdk/node_modules/centrifuge/dist/centrifuge.js"

# Other servers and loops are seen to in test_servers.py, without a browser.
WAYS: list[ServerName] = ["uvicorn", "fastapi-dev"]
# `fastapi dev` starts all of them in the same way; these are enough to see it.
ONE_WAY: list[ServerName] = ["uvicorn"]


@contextmanager
def opened(page: Page, file: str, server: ServerName, query: str = "", sdk: Path = SDK) -> Iterator[Server]:
    """Run an example and open its page; at the end, check that nothing has failed and that the server stops."""
    with serve(EXAMPLES / file, server=server, env={"CENTRIFUGE_JS": str(sdk)}) as started:
        page.goto(started.url + query)
        yield started
        page.goto("about:blank")
        started.stop()
        assert "Traceback" not in started.output()


def expect_another(place: Locator) -> None:
    """Expect the text to change."""
    expect(place).not_to_have_text("none yet")
    expect(place).not_to_have_text(place.inner_text())


@pytest.mark.parametrize("server", WAYS)
def test_price_feed(page: Page, complaints: list[str], server: ServerName) -> None:
    """The price changes, another symbol can be chosen, and its price changes, too."""
    with opened(page, "price_feed.py", server):
        expect_another(page.locator("#price"))
        page.get_by_label("Symbol").select_option("ETH")
        expect(page.get_by_role("status")).to_have_text("Watching ETH")
        expect_another(page.locator("#price"))
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_table(page: Page, complaints: list[str], server: ServerName) -> None:
    """The table has each row once, and figures change."""
    with opened(page, "table.py", server):
        rows = page.locator("#rows tr")
        expect(rows).to_have_text([re.compile(name) for name in ("Attic", "Cellar", "Hall", "Kitchen", "Library")])
        expect_another(page.locator("#rows"))
        expect(rows).to_have_count(5)
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_chat(page: Page, complaints: list[str], server: ServerName) -> None:
    """A message from one page appears in another, and in a page that is opened later; an empty message is refused."""
    with opened(page, "chat.py", server) as started:
        other = page.context.new_page()
        other.goto(started.url)
        for each in (page, other):
            expect(each.get_by_role("status")).to_have_text("Connected")
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Message").fill("<i>Hello</i>")
        page.get_by_role("button", name="Send").click()
        expect(other.get_by_role("listitem")).to_have_text(["Ada: <i>Hello</i>"])
        other.reload()
        expect(other.get_by_role("listitem")).to_have_text(["Ada: <i>Hello</i>"])
        page.get_by_label("Message").fill(" ")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("status")).to_contain_text("at least 1 character")
        other.close()
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_server_stats(page: Page, complaints: list[str], server: ServerName) -> None:
    """The page shows the figures of the server and the number of watchers, with a second page, too."""
    with opened(page, "server_stats.py", server) as started:
        expect(page.locator("#cpu")).to_have_text(re.compile(r"^\d+(\.\d)?$"))
        expect(page.locator("#peak_memory")).to_have_text(re.compile(r"^[1-9]\d+$"))
        expect(page.locator("#watchers")).to_have_text("1")
        other = page.context.new_page()
        other.goto(started.url)
        expect(page.locator("#watchers")).to_have_text("2")
        other.close()
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_publish_from_thread(page: Page, complaints: list[str], server: ServerName) -> None:
    """A page shows the progress of the job that it watches up to its end, and not that of another job."""
    with opened(page, "publish_from_thread.py", server) as started:
        other = page.context.new_page()
        other.goto(started.url)
        other.get_by_label("Job").fill("2")
        other.get_by_label("Job").blur()
        expect(other.get_by_role("status")).to_have_text("Watching job 2")
        expect(page.get_by_role("status")).to_have_text("Watching job 1")
        page.get_by_role("button", name="Start it").click()
        expect(page.locator("#percent")).to_have_text("100")
        expect(other.locator("#percent")).to_have_text("0")
        other.close()
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_sdk_page(page: Page, complaints: list[str], server: ServerName) -> None:
    """Prices, a table, a run and a chat are on one connection; each page shows who is in the other."""
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    with opened(page, "sdk_page.py", server, "/?name=Ada") as started:
        expect(page.get_by_role("status")).to_have_text("Connected")
        for symbol in ("BTC", "ETH"):
            expect_another(page.locator(f"#{symbol}"))
        expect(page.locator("#machines tr")).to_have_text([re.compile(name) for name in ("Drill", "Lathe", "Mill")])
        page.get_by_role("button", name="Work").click()
        expect(page.locator("#step")).to_have_text("Step 100, done")
        other = page.context.new_page()
        other.goto(f"{started.url}/?name=Bob")
        for each in (page, other):
            expect(each.locator("#here")).to_have_text("Ada, Bob")
        other.get_by_label("Message").fill("<i>Hello</i>")
        other.get_by_role("button", name="Send").click()
        expect(page.get_by_role("listitem")).to_have_text(["Bob: <i>Hello</i>"])
        other.close()
        expect(page.locator("#here")).to_have_text("Ada")
        assert sockets == [f"{started.ws}/live/websocket"]
        assert complaints == []


@pytest.mark.parametrize("server", ONE_WAY)
def test_sdk_page_without_the_sdk(page: Page, complaints: list[str], server: ServerName, tmp_path: Path) -> None:
    """Without the SDK, the page says how to get it."""
    with opened(page, "sdk_page.py", server, sdk=tmp_path / "centrifuge.js"):
        expect(page.get_by_text("npm install centrifuge")).to_be_visible()
        assert complaints == []
