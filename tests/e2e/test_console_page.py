"""The page of the console in Chromium: its views of a real app, with axe, by keyboard and on a phone."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.clients import RawClient
from tests.servers import ROOT, Server, serve
from tests.waiting import PATIENCE
from wirespeed.live.console.page import STATIC

APP = "tests.e2e.console_page_app:app"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

RUN = """async (options) => {
  const { violations } = await axe.run({ ...options, resultTypes: ["violations"] });
  return { violations };
}"""

VIEWS = (
    "#/",
    "#/definition/price/{symbol}",
    "#/types/price/{symbol}",
    "#/try/price/{symbol}",
    "#/key/price/BTC",
    "#/clients",
    "#/processes",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app, with two watchers of a price."""
    if not STATIC.is_dir():
        pytest.fail("The console is not built: cd web && npm ci && npm run build:console")
    with serve(APP) as server, RawClient(server, "/price/BTC"), RawClient(server, "/price/BTC"):
        yield server


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


@pytest.fixture
def console(page: Page, server: Server) -> Page:
    """The console's first view, with its first figures."""
    page.goto(f"{server.url}/live/")
    expect(page.get_by_text("Exchange", exact=False).first).to_be_visible()
    return page


def row(page: Page, name: str) -> Any:
    """Return the row of a table by the text of its heading."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


def test_from_the_list_to_a_watcher(console: Page, complaints: list[str]) -> None:
    """A definition, its key, a watcher of the key and its connection are each one click apart, with live figures."""
    expect(row(console, "/price/{symbol}")).to_contain_text("2")
    console.get_by_role("link", name="/price/{symbol}").click()
    expect(console.get_by_role("heading", level=1)).to_be_focused()
    expect(console.get_by_text("Changes ten times per second")).to_be_visible()
    console.get_by_role("link", name="/price/BTC").click()
    log = console.get_by_role("region", name="Newest entries of the log")
    expect(log).to_contain_text('"symbol":"BTC"')
    watchers = console.get_by_role("region", name="Watchers of this key")
    expect(watchers.get_by_role("row")).to_have_count(3)
    watchers.get_by_role("link").first.click()
    expect(console.get_by_role("heading", level=1)).to_contain_text("Client")
    expect(console.get_by_role("region", name="Connection")).to_contain_text("/price/BTC")
    assert complaints == []


def test_types_are_readable(console: Page) -> None:
    """Parameters, fields, limits and descriptions come from the schema, and a type leads to its fields."""
    console.goto(f"{console.url.partition('#')[0]}#/types/price/{{symbol}}")
    parameters = console.get_by_role("region", name="Parameters", exact=True)
    expect(parameters).to_contain_text('"BTC" | "ETH"')
    expect(parameters).to_contain_text("at most 3 characters")
    console.get_by_role("button", name="Level").click()
    expect(console.get_by_role("heading", name="Level")).to_be_focused()
    expect(row(console, "size")).to_contain_text("Number of contracts.")


def test_errors_of_a_producer(console: Page, server: Server) -> None:
    """A feed that fails is marked in the list, and its key shows the error as text."""
    with RawClient(server, "/broken"):
        console.goto(f"{server.url}/live/#/key/broken")
        expect(console.get_by_role("region", name="Last errors")).to_contain_text("the exchange <b>refused</b>")


def test_disconnect(console: Page, server: Server) -> None:
    """A client is disconnected after a question that can be cancelled, and the page says that it has left."""
    with RawClient(server, "/chat/lobby") as client:
        console.goto(f"{server.url}/live/#/clients")
        console.get_by_role("searchbox").fill("/chat/lobby")
        console.get_by_role("row").filter(has_text="/chat/lobby").get_by_role("link").click()
        button = console.get_by_role("button", name="Disconnect")
        button.click()
        console.get_by_role("button", name="Cancel").click()
        expect(button).to_be_focused()
        button.click()
        console.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        expect(console.get_by_text("This client is no longer connected.")).to_be_visible()
        assert client.close_code() is not None


def test_keyboard(console: Page) -> None:
    """The first key press offers to skip the header; the list, its order and its rows need no pointer."""
    console.keyboard.press("Tab")
    expect(console.get_by_role("button", name="Skip to content")).to_be_focused()
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", level=1)).to_be_focused()
    console.keyboard.press("Tab")
    expect(console.get_by_role("searchbox")).to_be_focused()
    console.keyboard.type("price")
    expect(console.get_by_role("status")).to_have_text("1 of 5 definitions")
    for _ in range(20):
        console.keyboard.press("Tab")
        if console.evaluate("document.activeElement.textContent") == "/price/{symbol}":
            break
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", level=1)).to_be_focused()
    assert console.title() == "/price/{symbol} · Wirespeed console"


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("light", {"rules": {"color-contrast-enhanced": {"enabled": False}}}),
        ("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}),  # no other rule is about colours
    ],
    ids=["light", "dark"],
)
def test_accessible(browser: Browser, server: Server, scheme: Any, options: Any) -> None:
    """In both colour schemes axe finds nothing in any view, and no view breaks the content security policy."""
    context = browser.new_context(color_scheme=scheme, bypass_csp=False)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text))
    page.goto(f"{server.url}/live/")
    page.evaluate(AXE.read_text())
    found = {}
    for view in VIEWS:
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading.")).to_have_count(0)
        result = page.evaluate(RUN, options)
        found[view] = [f"{each['id']}: {each['nodes'][0]['html']}" for each in result["violations"]]
    context.close()
    assert found == {view: [] for view in VIEWS}
    assert broken == []


def test_phone(browser: Browser, server: Server) -> None:
    """At 320 pixels no view is wider than the screen; tables scroll in their own boxes."""
    context = browser.new_context(viewport={"width": 320, "height": 640}, has_touch=True)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    page.goto(f"{server.url}/live/")
    widths = {}
    for view in VIEWS:
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading.")).to_have_count(0)
        widths[view] = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert widths == dict.fromkeys(VIEWS, 320)
