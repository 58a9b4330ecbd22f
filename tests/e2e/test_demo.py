"""The demo in a real browser against a real uvicorn."""

import json
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from tests.servers import Server, serve

LANES = {"poll": 500, "plain": 10_000, "wirespeed": 10_000}

# One run is 10,000 messages at some 50 µs; a loaded machine may take many times that.
COUNTED = 30_000
RACED = 60_000

PARTLY_GROWN = """() => {
  const bar = document.querySelector("tr[data-lane=poll][data-state=running] .bar");
  return bar && new DOMMatrix(getComputedStyle(bar).transform).a > 0;
}"""


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The demo, on asyncio or on the loop that a test names."""
    with serve("demo.app:app", options=["--loop", getattr(request, "param", "asyncio")]) as server:
        yield server
        assert "Traceback" not in server.output()


def counter(page: Page, name: Literal["Text", "JSON"]) -> Locator:
    return page.get_by_role("article", name=name)


def record_frames(page: Page) -> dict[str, list[str | bytes]]:
    """The frames that the page receives from now on, by the path of their WebSocket."""
    received: dict[str, list[str | bytes]] = defaultdict(list)

    def watch(socket: WebSocket) -> None:
        frames = received[urlsplit(socket.url).path]
        socket.on("framereceived", lambda frame: frames.append(frame))

    page.on("websocket", watch)
    return received


def test_hello_world(demo: Server) -> None:
    """GET /test, on the path of the WebSocket, says hello world."""
    with urllib.request.urlopen(f"{demo.url}/test") as response:
        assert json.load(response) == {"message": "hello world"}


@pytest.mark.parametrize("demo", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize(("name", "message"), [("Text", "10000"), ("JSON", "hello - 10000")])
def test_click_counts_to_the_end_and_again(
    demo: Server, page: Page, complaints: list[str], name: Literal["Text", "JSON"], message: str
) -> None:
    """A click counts to 10000 with the right message, a second click does it again, and the console stays empty."""
    page.goto(demo.url)
    card = counter(page, name)
    for _ in range(2):
        # What the first run left is taken away, so that only a new run can bring it back.
        page.evaluate("document.querySelectorAll('.number, .message').forEach((part) => part.textContent = '')")
        card.get_by_role("button", name="Click me").click()
        expect(card.locator(".number")).to_have_text("10000", timeout=COUNTED)
        expect(card.locator(".message")).to_have_text(message)
        expect(card.get_by_role("status")).to_contain_text("10,000 values in")
    assert complaints == []


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("Text", "/test", [str(number) for number in range(1, 10_001)]),
        ("JSON", "/test/json", [f'{{"message":"hello - {number}","number":{number}}}' for number in range(1, 10_001)]),
    ],
)
def test_frames(demo: Server, page: Page, name: Literal["Text", "JSON"], path: str, expected: list[str]) -> None:
    """Three quick clicks bring the 10,000 text frames that are promised, in order, three times one after the other."""
    received = record_frames(page)
    with page.expect_websocket(lambda socket: urlsplit(socket.url).path == path) as opened:
        page.goto(demo.url)
    card = counter(page, name)
    expect(card.get_by_role("status")).to_have_text("Connected")
    with opened.value.expect_event("framereceived", lambda _: len(received[path]) == 30_000, timeout=COUNTED):
        card.get_by_role("button").evaluate("(button) => { button.click(); button.click(); button.click(); }")
    assert received[path] == expected * 3
    expect(card.locator(".number")).to_have_text("10000")


def test_keyboard(demo: Server, page: Page) -> None:
    """The first counter is reached with Tab and started with Enter, and the focus can be seen."""
    page.goto(demo.url)
    button = counter(page, "Text").get_by_role("button")
    for _ in range(10):
        page.keyboard.press("Tab")
        if button.evaluate("(button) => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    assert button.evaluate("(button) => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(counter(page, "Text").locator(".number")).to_have_text("10000", timeout=COUNTED)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("form", "plain", "ours"), [("Text", "/plain/text", "/test"), ("JSON", "/plain/json", "/test/json")]
)
def test_race(demo: Server, page: Page, complaints: list[str], form: str, plain: str, ours: str) -> None:
    """The race grows bars, ends with figures of all lanes, has compared the same payloads, and shows a gain."""
    received = record_frames(page)
    page.goto(demo.url)
    section = page.get_by_role("region", name="The race")
    section.get_by_role("radio", name=form).check(force=True)
    section.get_by_role("button", name="Start the race").click()
    page.wait_for_function(PARTLY_GROWN, polling="raf")
    expect(section.get_by_role("status")).to_contain_text("Done", timeout=RACED)
    for lane, values in LANES.items():
        check_figures(section, lane, values)
    assert len(received[plain]) == 10_000
    assert received[plain] == received[ours]
    ratios = section.locator("#race-summary strong")
    expect(ratios).to_have_text([re.compile(r"^[\d,.]+\u00d7$")] * 3)
    assert float(ratios.first.inner_text().rstrip("\u00d7")) > 2
    assert complaints == []


def check_figures(section: Locator, lane: str, values: int) -> None:
    """The lane shows how many values it got, its figures, and a line in the chart."""
    row = section.locator(f"tr[data-lane={lane}]")
    expect(row.locator(".count")).to_contain_text(f"{values:,} of 10,000")
    expect(row.locator(".time")).to_have_text(re.compile(r"^\d+ ms$|^[\d.]+ s$"))
    expect(row.locator(".rate")).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    expect(row.locator(".cpu")).to_have_text(re.compile(r"^\d[\d.]* [µm]s$"))
    points = section.locator(f"polyline[data-lane={lane}]").get_attribute("points")
    assert points is not None
    assert len(points.split()) > 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_fits(demo: Server, browser: Browser, width: int, scheme: Literal["light", "dark"]) -> None:
    """Nothing sticks out of the page at any width, and the page follows the system's light or dark."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(demo.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (brightness > 384) == (scheme == "light")
    page.close()


def test_lost_and_refused_connections_are_told(page: Page) -> None:
    """The page says when the server is gone, says it again on a click, and goes on when the server is back."""
    with serve("demo.app:app") as server:
        page.goto(server.url)
        card = counter(page, "Text")
        expect(card.get_by_role("status")).to_have_text("Connected")
        server.stop()
        expect(card.get_by_role("status")).to_contain_text("Click to connect again")
        card.get_by_role("button").click()
        expect(card.get_by_role("status")).to_contain_text("did not accept the connection")
        page.get_by_role("button", name="Start the race").click()
        expect(page.locator("#race-state")).to_contain_text("The race stopped. The server did not answer")
    with serve("demo.app:app", port=server.port):
        card.get_by_role("button").click()
        expect(card.locator(".number")).to_have_text("10000", timeout=COUNTED)
