"""The panel "Try it" of the console, in Chromium, with a definition of every kind."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.servers import ROOT, Server, serve
from tests.waiting import PATIENCE, wait_until

EVERY_SURFACE = ("WebSocket", "Multiplexed connection", "Server-Sent Events", "GET")

NAME = 'it\'s "b" $HOME \\ %41 é 😀 ?#&=+`id`'
QUERY = '\'; echo "$(id)" #</script>&x=1'
TEXT = "</script>\n\"\\'$(id)\u2028{{}} ${x} %s"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve("tests.e2e.console_try_app:app") as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


class Panel:
    """The panel of one definition."""

    def __init__(self, page: Page, server: Server, path: str) -> None:
        self.page = page
        page.goto(f"{server.url}/live/#/try{quote(path, safe='/{}')}")
        self.log = page.get_by_role("log")
        self.alert = page.get_by_role("alert")
        self.status = page.get_by_role("region", name="Results")
        expect(self.log).to_be_visible()

    def press(self, name: str) -> None:
        """Press a button, and nothing else with this word in its name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, surface: str) -> None:
        """Choose a surface."""
        self.page.get_by_role("radio", name=surface, exact=True).check()

    def field(self, name: str) -> Locator:
        """Return the input of a field."""
        return self.page.get_by_role("textbox", name=re.compile(rf"^{name}( \(required\))?$"))

    def fill(self, **values: str) -> None:
        """Fill in fields."""
        for name, value in values.items():
            self.field(name).fill(value)

    def stop(self) -> None:
        """Stop the run, and expect its end."""
        self.press("Stop")
        expect(self.page.get_by_role("button", name="Stop")).to_be_hidden()

    def expect_frame(self, text: str) -> None:
        """Expect a frame with a text."""
        expect(self.log.get_by_text(text).last).to_be_visible()


@pytest.fixture
def open_panel(page: Page, server: Server) -> Callable[[str], Panel]:
    """Return a function that opens the panel of a path."""
    return lambda path: Panel(page, server, path)


def test_fast_stream(open_panel: Callable[[str], Panel], complaints: list[str]) -> None:
    """3,000 values at full speed are counted; the newest are kept, and few of them are elements of the page."""
    panel = open_panel("/count")
    panel.fill(message="hello", to="3000")
    panel.press("Run")
    expect(panel.status).to_contain_text("Received3,000")
    panel.expect_frame('{"number":3000,"message":"hello - 3000"}')
    expect(panel.status).to_contain_text("Left out2,002")  # with two that are not values: 1,000 are kept
    assert panel.page.locator(".try-frame").count() < 100
    expect(panel.page.get_by_role("img", name="number over time")).to_be_visible()
    panel.page.get_by_placeholder("Filter frames").fill("hello - 2999")
    expect(panel.page.locator(".try-frame")).to_have_count(1)
    panel.log.press("Home")
    expect(panel.page.get_by_role("region", name="Content of the frame")).to_have_text(
        json.dumps({"number": 2999, "message": "hello - 2999"}, indent=2)
    )
    panel.press("Clear")
    expect(panel.status).to_contain_text("Received0")
    assert complaints == []  # the content security policy of the page included


def test_feed_over_each_surface(open_panel: Callable[[str], Panel]) -> None:
    """A feed is watched over every surface, with a parameter of each kind, until it is stopped."""
    panel = open_panel("/price/{symbol}")
    panel.press("Watch")
    expect(panel.field("symbol")).to_be_focused()
    expect(panel.field("symbol")).to_have_accessible_description("string Required")
    panel.fill(symbol="B T/C".replace("/", ""))
    panel.page.get_by_role("combobox", name="unit").select_option("euro")
    for surface in EVERY_SURFACE:
        panel.choose(surface)
        panel.press("Clear")
        panel.press("Watch")
        panel.expect_frame('"symbol":"B TC"')
        panel.expect_frame('"unit":"euro"')
        if surface != "GET":
            panel.stop()


def test_table(open_panel: Callable[[str], Panel], server: Server) -> None:
    """The rows of a table are replaced by their key, and disappear when they are removed."""
    panel = open_panel("/quotes")
    rows = panel.page.get_by_role("region", name="Rows").get_by_role("row")

    def put(symbol: str, price: float) -> None:
        panel.page.request.post(f"{server.url}/quotes", data={"symbol": symbol, "price": price})

    for symbol, price in (("BTC", 1.5), ("ETH", 2.5)):
        put(symbol, price)
    panel.press("Watch")
    expect(rows).to_have_text(["symbolprice", "BTC1.5", "ETH2.5"])
    put("BTC", 99)
    expect(rows).to_have_text(["symbolprice", "BTC99", "ETH2.5"])
    panel.page.get_by_label("of", exact=True).select_option("ETH")
    put("ETH", 3.5)
    expect(panel.page.get_by_role("region", name="Plot").get_by_role("status")).to_have_text("3.5")
    panel.page.request.delete(f"{server.url}/quotes/ETH")
    expect(rows).to_have_text(["symbolprice", "BTC99"])
    panel.stop()
    panel.choose("GET")
    panel.press("Watch")
    expect(rows).to_have_text(["symbolprice", "BTC99"])


def test_refused_inputs_are_marked(open_panel: Callable[[str], Panel]) -> None:
    """A 422 is shown with its status, and beside the field that it names, on every surface."""
    panel = open_panel("/book")
    panel.press("Add item to seats")
    panel.fill(row="7", note="taken")
    for surface in ("WebSocket", "Multiplexed connection", "POST"):
        panel.choose(surface)
        panel.press("Call")
        expect(panel.alert).to_contain_text("422")
        row = panel.field("row")
        expect(row).to_have_attribute("aria-invalid", "true")
        expect(row).to_have_accessible_description("integer, ≥ 1 This seat is taken.")
        if surface == "WebSocket":  # the other surfaces make one request
            panel.stop()
    panel.fill(note="late")
    panel.press("Call")
    expect(panel.alert).to_have_text("409 It is too late.")
    panel.fill(note="")
    panel.press("Edit as JSON")
    panel.press("Call")
    panel.expect_frame('{"seats":1}')
    expect(panel.alert).to_be_hidden()


def test_further_messages(open_panel: Callable[[str], Panel]) -> None:
    """A duplex stream and the handler of a topic get messages while the connection is open."""
    panel = open_panel("/echo")
    for surface in ("WebSocket", "Multiplexed connection"):
        panel.choose(surface)
        panel.press("Run")
        for word in ("one", "two"):
            panel.fill(text=f"{word} {surface[0]}")
            panel.field("text").press("Enter")
            panel.expect_frame(f"{word} {surface[0]}".upper())
        panel.stop()
    panel = open_panel("/chat/{room}")
    panel.fill(room="hall", text="hello")
    panel.press("Publish")  # which connects first
    panel.expect_frame('{"text":"guest: hello"}')
    panel.fill(text="")
    panel.press("Publish")
    expect(panel.alert).to_have_text("400 Say something.")


def test_stop_ends_the_run(open_panel: Callable[[str], Panel], server: Server) -> None:
    """Stopping a stream ends its run on the server, over every surface; so does leaving the panel."""
    panel = open_panel("/ticks")

    def ended() -> list[str]:
        return panel.page.request.get(f"{server.url}/ended").json()  # type: ignore[no-any-return]

    for number, surface in enumerate(("WebSocket", "Multiplexed connection", "Server-Sent Events", "POST"), 1):
        panel.choose(surface)
        panel.press("Run")
        expect(panel.status).to_contain_text("Connected")
        panel.press("Stop")
        wait_until(lambda: len(ended()) == number, ended)  # noqa: B023
    panel.press("Run")
    expect(panel.status).to_contain_text("Connected")
    panel.page.evaluate("location.hash = '#/'")
    wait_until(lambda: len(ended()) == 5, ended)


def test_refused_connections(open_panel: Callable[[str], Panel]) -> None:
    """A refused WebSocket shows the reason that a GET returns; with a token, the same feed is watched."""
    panel = open_panel("/secret")
    panel.press("Watch")
    expect(panel.alert).to_have_text("401 Not authenticated.")
    panel.expect_frame("close code 1006")
    panel.page.get_by_text("Options").click()
    panel.field("Token").fill("secret")
    for surface in ("Multiplexed connection", "Server-Sent Events", "GET"):
        panel.choose(surface)
        panel.press("Clear")
        panel.press("Watch")
        expect(panel.status).not_to_contain_text("Received0")
        expect(panel.alert).to_be_hidden()
        if surface != "GET":
            panel.stop()


def test_bytes(open_panel: Callable[[str], Panel]) -> None:
    """Bytes are entered and shown in hexadecimal."""
    panel = open_panel("/blob")
    panel.fill(message="0x00 01 ff")
    panel.press("Run")
    panel.expect_frame("ff 01 00")


def copied(panel: Panel, language: str) -> str:
    """Copy the request in a language, and return what the clipboard has."""
    panel.page.get_by_role("tab", name=language, exact=True).click()
    panel.press("Copy")
    expect(panel.page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    return str(panel.page.evaluate("navigator.clipboard.readText()"))


class _Enough(Exception):
    """A program has printed all that is expected."""


def run_python(code: str, count: int | None = None) -> list[Any]:
    """Run a program, and return the values that it prints. It gets a thread, because this one has Playwright's loop.

    Args:
        count: The number of values after which the program is ended; None if it ends by itself.
    """
    printed: list[Any] = []
    failed: list[BaseException] = []

    def take(value: object) -> None:
        printed.append(value)
        if len(printed) == count:
            raise _Enough

    def run() -> None:
        try:
            exec(compile(code, "snippet", "exec"), {"__name__": "__main__", "print": take})
        except _Enough:
            pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), code
    assert not failed, f"{failed[0]!r}\n{code}"
    return printed


def run_shell(code: str, folder: Path) -> str:
    """Run a command in an empty folder, and return what it prints."""
    done = subprocess.run(["sh", "-c", code], cwd=folder, capture_output=True, timeout=PATIENCE, check=True)
    assert not any(folder.iterdir()), code
    return done.stdout.decode()


IN_PAGE = """async (code) => {
  const printed = [];
  console.log = (value) => printed.push(value);
  await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  while (!printed.some((value) => value !== undefined)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return printed.filter((value) => value !== undefined);
}"""


def test_copied_code_runs(page: Page, server: Server, tmp_path: Path) -> None:
    """The code for every client makes the same request as the panel, whatever the inputs contain."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    codes: dict[str, dict[str, str]] = {}
    languages = ("curl", "websockets", "JavaScript", "Python")
    for path in ("/mirror/{name}", "/mirrored/{name}", "/reflection/{name}"):
        panel = Panel(page, server, path)
        panel.fill(name=NAME, q=QUERY)
        if path == "/mirror/{name}":
            panel.press("Edit as JSON")
            panel.fill(message=json.dumps({"text": TEXT}))
        elif path == "/mirrored/{name}":
            panel.fill(message=TEXT)
        codes[path] = {language: copied(panel, language) for language in languages}
    page.goto(f"{server.url}/ended")  # a page of the app without a policy against scripts
    call, stream, feed = codes.values()
    mirrored = {"name": NAME, "q": QUERY, "text": TEXT}
    reflected = mirrored | {"text": ""}
    assert [json.loads(each) for each in run_python(call["websockets"])] == [mirrored]
    assert run_python(call["Python"]) == [mirrored]
    assert page.evaluate(IN_PAGE, call["JavaScript"]) == [mirrored]
    assert run_python(stream["websockets"], 3) == [NAME, QUERY, TEXT]
    assert run_python(stream["Python"]) == [NAME, QUERY, TEXT]
    assert page.evaluate(IN_PAGE, stream["JavaScript"]) == [NAME, QUERY, TEXT]
    assert [json.loads(each) for each in run_python(feed["websockets"])] == [reflected]
    assert run_python(feed["Python"]) == [reflected]
    assert page.evaluate(IN_PAGE, feed["JavaScript"])[-1] == reflected
    if shutil.which("curl"):
        assert json.loads(run_shell(call["curl"], tmp_path)) == mirrored
        assert [json.loads(line) for line in run_shell(stream["curl"], tmp_path).strip().split("\n")] == [
            NAME,
            QUERY,
            TEXT,
        ]
        assert f"data: {json.dumps(reflected, separators=(',', ':'), ensure_ascii=False)}" in run_shell(
            feed["curl"], tmp_path
        )


def test_copied_code_resumes(page: Page, server: Server) -> None:
    """The code resumes from the position that was entered, where its client can."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = Panel(page, server, "/steps")
    panel.page.get_by_text("Options").click()
    panel.page.get_by_label("Positions").check()
    panel.press("Watch")
    panel.expect_frame('"value":3')
    first = panel.log.get_by_text('"value":1').inner_text()
    panel.fill(Since=json.loads(first)["position"])
    for surface in ("Multiplexed connection", "WebSocket"):
        expect(panel.status).to_contain_text("Ended")  # as the feed is complete
        panel.press("Clear")
        panel.choose(surface)
        panel.press("Watch")
        expect(panel.status).to_contain_text("Received2")
    assert [json.loads(each)["value"] for each in run_python(copied(panel, "websockets"), 2)] == [2, 3]
    assert run_python(copied(panel, "Python")) == [2, 3]


AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
CHECK = """async (options) => {
  await Promise.all(document.getAnimations().map(({ finished }) => finished)); // colours change slowly
  const { violations } = await axe.run(".try", { ...options, resultTypes: ["violations"] });
  return violations;
}"""


def test_accessible(open_panel: Callable[[str], Panel]) -> None:
    """The panel with problems, a plot, a chosen frame and a table has no violation that axe finds, dark or light."""
    found = []
    for path, button in (("/book", "Call"), ("/price/{symbol}", "Watch"), ("/quotes", "Watch")):
        panel = open_panel(path)
        if path == "/price/{symbol}":
            panel.fill(symbol="BTC")
            panel.page.get_by_text("Options").click()
        panel.press(button)
        expect(panel.status).not_to_contain_text("Not connected")
        panel.log.press("End")
        panel.page.evaluate(AXE.read_text())
        for scheme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            panel.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            result = panel.page.evaluate(CHECK, options)
            found += [(path, each["id"], [node["html"] for node in each["nodes"]]) for each in result]
    assert found == []
