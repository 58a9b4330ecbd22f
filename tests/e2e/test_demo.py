"""The demo in a real browser against a real uvicorn."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from demo.app import PAGE
from tests.clients import RawClient
from tests.servers import ROOT, Server, free_port, serve, wait_until_ready
from tests.waiting import PATIENCE

LANES = {"poll": 500, "plain": 10_000, "wirespeed": 10_000, "client": 10_000}


LIVE = ("Prices", "Market", "Chat", "The server")

PARTLY_GROWN = """() => {
  const bar = document.querySelector("tr[data-lane=poll][data-state=running] .bar");
  return bar && new DOMMatrix(getComputedStyle(bar).transform).a > 0;
}"""


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not (PAGE / "index.html").is_file():
        pytest.fail("The page is not built: cd web && npm ci && npm run build:demo")


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The demo, on asyncio or on the loop that a test names."""
    with serve("demo.app:app", options=["--loop", getattr(request, "param", "asyncio")]) as server:
        yield server
        assert "Traceback" not in server.output()


def counter(page: Page, name: Literal["Text", "JSON"]) -> Locator:
    return page.get_by_role("article", name=name)


def live(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def expect_states(page: Page, words: str) -> None:
    """Expect these words in the state of all live parts."""
    for name in LIVE:
        expect(live(page, name).get_by_role("status")).to_contain_text(words)


RECORD_FRAMES = """
window.recorded = {};
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    const frames = (window.recorded[new URL(this.url).pathname] ??= []);
    this.addEventListener("message", ({ data }) => frames.push(data));
  }
};"""
"""Records the frames that the page receives, by the path of their WebSocket. It runs in the page: to report each of
30,000 frames to this process takes half a minute."""


def frames_of(page: Page, path: str) -> list[Any]:
    """Return the frames that the page has received on a path."""
    frames = page.evaluate("(path) => window.recorded[path]", path)
    assert isinstance(frames, list)
    return frames


def test_hello_world(demo: Server) -> None:
    """GET /test, on the path of the WebSocket, says hello world."""
    with urllib.request.urlopen(f"{demo.url}/test") as response:
        assert json.load(response) == {"message": "hello world"}


@pytest.mark.parametrize(
    ("demo", "name", "message"),
    [("uvloop", "Text", "10000"), ("asyncio", "JSON", "hello - 10000")],
    indirect=["demo"],
)
def test_click_counts_to_the_end_and_again(
    demo: Server, page: Page, complaints: list[str], name: Literal["Text", "JSON"], message: str
) -> None:
    """A click counts to 10000 with the right message, a second click does it again, and the console stays empty."""
    page.goto(demo.url)
    card = counter(page, name)
    for _ in range(2):
        # The texts of the first run are removed, so that only a new run can restore them.
        page.evaluate("document.querySelectorAll('.number, .message').forEach((part) => part.textContent = '')")
        card.get_by_role("button", name="Click me").click()
        expect(card.locator(".number")).to_have_text("10000")
        expect(card.locator(".message")).to_have_text(message)
        expect(card.get_by_role("status")).to_contain_text("10,000 values in")
    assert complaints == []


def test_frames(demo: Server, page: Page) -> None:
    """Three quick clicks bring the 10,000 text frames in order, three times, one run after the other."""
    page.add_init_script(RECORD_FRAMES)
    page.goto(demo.url)
    card = counter(page, "Text")
    expect(card.get_by_role("status")).to_have_text("Connected")
    card.get_by_role("button").evaluate("(button) => { button.click(); button.click(); button.click(); }")
    page.wait_for_function("window.recorded['/test'].length === 30_000")
    assert frames_of(page, "/test") == 3 * [str(number) for number in range(1, 10_001)]
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
    expect(counter(page, "Text").locator(".number")).to_have_text("10000")


def test_race(demo: Server, page: Page, complaints: list[str]) -> None:
    """The race grows bars, ends with figures of all lanes, has compared the same payloads, and shows a gain."""
    page.add_init_script(RECORD_FRAMES)
    page.goto(demo.url)
    section = page.get_by_role("region", name="The race")
    section.get_by_role("radio", name="JSON").check(force=True)
    section.get_by_role("button", name="Start the race").click()
    for name in ("Prices", "Market", "The server"):
        expect(live(page, name).get_by_role("status")).to_have_text("Paused while the race runs")
    page.wait_for_function(PARTLY_GROWN, polling="raf")
    expect(section.get_by_role("status")).to_contain_text("Done", timeout=2000 * PATIENCE)
    for lane, values in LANES.items():
        check_figures(section, lane, values)
    plain = frames_of(page, "/plain/json")
    assert len(plain) == 10_000
    assert plain == frames_of(page, "/test/json")
    ratios = section.locator("#race-summary strong")
    expect(ratios).to_have_text([re.compile(r"^[\d,.]+\u00d7$")] * 4)
    assert float(ratios.first.inner_text().rstrip("\u00d7").replace(",", "")) > 1
    expect_states(page, "Live")
    assert complaints == []


def check_figures(section: Locator, lane: str, values: int) -> None:
    """Check that the lane shows its number of values, its figures, and a line in the chart."""
    row = section.locator(f"tr[data-lane={lane}]")
    expect(row.locator(".count")).to_contain_text(f"{values:,} of 10,000")
    expect(row.locator(".time")).to_have_text(re.compile(r"^\d+ ms$|^[\d.]+ s$"))
    expect(row.locator(".rate")).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    expect(row.locator(".cpu")).to_have_text(re.compile(r"^\d[\d.]* [µm]s$"))
    points = section.locator(f"polyline[data-lane={lane}]").get_attribute("points")
    assert points is not None
    assert len(points.split()) > 1


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (768, "light"), (1280, "dark")])
def test_fits(demo: Server, browser: Browser, width: int, scheme: Literal["light", "dark"]) -> None:
    """Nothing sticks out of the page at any width, and the page follows the system's light or dark."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(demo.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (brightness > 384) == (scheme == "light")
    page.close()


def test_lost_and_refused_connections(page: Page) -> None:
    """The page says that the server is gone, says it again on a click, and works again when the server is back."""
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
        expect(card.locator(".number")).to_have_text("10000")


SAME_ROWS = "() => watched.every(([row]) => row.isConnected)"
OTHER_FIGURES = "() => watched.some(([row, text]) => row.isConnected && row.textContent !== text)"
WATCH_ROWS = """() => {
  window.watched = [...document.querySelectorAll("#market tbody tr")].map((row) => [row, row.textContent]);
}"""
OTHER_PICTURES = """(before) => [...document.querySelectorAll("#prices canvas")].every(
  (canvas, at) => canvas.toDataURL() !== before[at]
)"""


def values(frames: list[str | bytes], channel: str) -> list[Any]:
    """Return the values of one channel in the frames of the multiplexed connection."""
    lines = [json.loads(line) for frame in frames for line in str(frame).splitlines()]
    pushes = [line["push"] for line in lines if "push" in line]
    return [value for push in pushes if push["channel"] == channel and "pub" in push for value in push["pub"]["data"]]


def test_charts_move_and_show_every_change(demo: Server, page: Page, complaints: list[str]) -> None:
    """Four prices and their charts move; the page receives every change in order, many per frame."""
    page.add_init_script(RECORD_FRAMES)
    page.goto(demo.url)
    card = live(page, "Prices")
    card.scroll_into_view_if_needed()
    shown = card.locator(".value")
    expect(shown).to_have_text([re.compile(r"^[\d,]+\.\d\d$")] * 4)
    before = page.evaluate("[...document.querySelectorAll('#prices canvas')].map((canvas) => canvas.toDataURL())")
    page.wait_for_function(OTHER_PICTURES, arg=before)
    for name in (".changes", ".values", ".paints"):
        expect(card.locator(name)).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    frames = frames_of(page, "/live/websocket")
    for symbol in ("BTC", "ETH", "SOL", "LTC"):
        numbers = [quote["number"] for quote in values(frames, f"ticks/{symbol}")]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 3 * len(frames)
    assert complaints == []


def test_table_updates_in_place(demo: Server, page: Page, complaints: list[str]) -> None:
    """The table has all rows, and figures change in the existing rows."""
    page.goto(demo.url)
    card = live(page, "Market")
    expect(card.locator("tbody tr")).to_have_count(1000)
    page.evaluate(WATCH_ROWS)
    page.wait_for_function(OTHER_FIGURES, polling="raf")
    assert page.evaluate(SAME_ROWS)
    assert complaints == []


def test_two_pages_chat(demo: Server, page: Page, complaints: list[str]) -> None:
    """A message from one page appears in the other as text, not as markup, and in a page that is opened later."""
    page.goto(demo.url)
    other = page.context.new_page()
    other.goto(demo.url)
    for each in (page, other):
        expect(live(each, "Chat").get_by_role("status")).to_have_text("Live")
    say(page, "Ada", "Is <b>anybody</b> there?")
    expect(live(other, "Chat").get_by_role("log")).to_contain_text("Is <b>anybody</b> there?")
    say(other, "Bob", "I am.")
    expect(live(page, "Chat").get_by_role("listitem").last).to_contain_text("Bob")
    expect(live(page, "Chat").get_by_role("listitem").last).to_contain_text("I am.")
    other.reload()
    expect(live(other, "Chat").get_by_role("listitem")).to_contain_text(["Ada", "Bob"])
    assert complaints == []


def say(page: Page, name: str, text: str) -> None:
    form = live(page, "Chat").locator("form")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Message").fill(text)
    form.get_by_role("button", name="Send").click()


def test_chat_shows_refusals(demo: Server, page: Page) -> None:
    """The page shows the error for a message that is too long, and the next message is accepted."""
    page.goto(demo.url)
    card = live(page, "Chat")
    expect(card.get_by_role("status")).to_have_text("Live")
    card.get_by_label("Message").evaluate("(input) => input.removeAttribute('maxlength')")
    say(page, "Ada", "x" * 301)
    expect(card.get_by_role("status")).to_contain_text("at most 300 characters")
    say(page, "Ada", "Shorter")
    expect(card.get_by_role("listitem").last).to_contain_text("Shorter")
    expect(card.get_by_role("status")).to_have_text("Live")


def test_server_feed_shows_watchers(page: Page, complaints: list[str]) -> None:
    """The page shows the server's CPU and memory and the watchers of each feed, with a second page and without."""
    with serve("demo.app:app") as server:
        page.goto(server.url)
        card = live(page, "The server")
        expect(card.locator(".cpu-now")).to_have_text(re.compile(r"^\d+\.\d %$"))
        expect(card.locator(".memory-now")).to_have_text(re.compile(r"^[1-9][\d.]* MiB$"))
        other = page.context.new_page()
        other.goto(server.url)
        expect_watchers(card, "2")
        other.close()
        expect_watchers(card, "1")
        assert complaints == []


def expect_watchers(card: Locator, count: str) -> None:
    for path in ("/market", "/chat", "/server"):
        expect(card.get_by_role("row", name=path).get_by_role("cell").first).to_have_text(count)
    ticks = card.get_by_role("row", name="/ticks/{symbol}").get_by_role("cell").first
    expect(ticks).to_have_text(str(4 * int(count)))


def test_live_parts_come_back(page: Page) -> None:
    """All live parts say that the server is gone and recover with it; the chat reports what it has lost."""
    with serve("demo.app:app") as server:
        page.goto(server.url)
        expect_states(page, "Live")
        say(page, "Ada", "Before")
        expect(live(page, "Chat").get_by_role("log")).to_contain_text("Before")
        server.stop()
        expect_states(page, "trying again")
    with serve("demo.app:app", port=server.port):
        expect_states(page, "Live")
        expect(live(page, "Chat").get_by_role("log")).to_contain_text("no longer has the messages")
        say(page, "Ada", "After")
        expect(live(page, "Chat").get_by_role("listitem").last).to_contain_text("After")
        page.evaluate(WATCH_ROWS)
        page.wait_for_function(OTHER_FIGURES, polling="raf")


def test_hidden_page_watches_nothing(demo: Server, page: Page, complaints: list[str]) -> None:
    """A page in the background stops watching after five seconds, and watches again in the foreground."""
    page.clock.install()
    page.goto(demo.url)
    expect_states(page, "Live")
    show = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(show, True)
    page.clock.fast_forward(6_000)
    for name in ("Prices", "Market", "The server"):
        expect(live(page, name).get_by_role("status")).to_have_text("Paused in the background")
    expect(live(page, "Chat").get_by_role("status")).to_have_text("Live")
    page.evaluate(show, False)
    expect_states(page, "Live")
    assert complaints == []


@pytest.fixture
def supervised() -> Iterator[Server]:
    """The demo as `make run` starts it: a process that starts the server again when it ends itself."""
    port = free_port()
    command = [sys.executable, "-m", "demo", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        server = Server(process, port, log)
        try:
            wait_until_ready(server, "Application startup complete", timeout=PATIENCE)
            yield server
            assert "Traceback" not in server.output()
        finally:
            server.stop()


def way(page: Page, name: Literal["bare", "newest", "every"]) -> Locator:
    return page.locator(f"#trial tr[data-way={name}]")


@contextmanager
def trial(page: Page, name: str) -> Iterator[Locator]:
    """Click one of the two buttons, once everything is being watched; wait for the end of the trial."""
    card = live(page, "Side by side")
    card.scroll_into_view_if_needed()
    expect(card.locator(".age")).to_have_text([re.compile(r"\d")] * 3)
    button = card.get_by_role("button", name=name)
    button.click()
    yield card
    expect(button).to_have_attribute("aria-disabled", "false")


def test_blocked_tab(demo: Server, page: Page, complaints: list[str]) -> None:
    """After a block of three seconds, the newest-value feed is fresh again, and has nothing old to handle."""
    page.goto(demo.url)
    with trial(page, "Block this tab"):
        pass
    cells = [way(page, each).locator(".after-block") for each in ("bare", "newest", "every")]
    fresh = r"[\d.]+ m?s"
    # A slow machine may never handle every old value faster than new ones come.
    for cell, after in zip(cells, (f"({fresh}|not fresh)", fresh, f"({fresh}|not fresh)"), strict=True):
        expect(cell).to_have_text(re.compile(rf"^{after},\s[\d,]+ old values?$"))
    bare, newest, every = (int(cell.inner_text().split()[2].replace(",", "")) for cell in cells)
    # Of the 30,000 changes in three seconds, as many as the server has time for.
    assert bare > newest < every
    assert newest < 100
    assert complaints == []


RECORD_STATES = """(status) => {
  window.states = [];
  const note = () => window.states.push(status.textContent);
  new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
}"""
"""Records the texts of a status. A server may be back before a test looks at the page again."""

WAS_STALE = "states.includes('Stale') && states.lastIndexOf('Connected') > states.indexOf('Stale')"


def test_restarted_server(supervised: Server, page: Page, complaints: list[str]) -> None:
    """After a restart the feeds reconnect by themselves; a bare WebSocket does not, and a button opens it again."""
    page.goto(supervised.url)
    page.get_by_role("banner").get_by_role("status").evaluate(RECORD_STATES)
    with trial(page, "Restart the server"):
        page.wait_for_function(WAS_STALE)
    for name in ("newest", "every"):
        expect(way(page, name).locator(".after-restart")).to_have_text(re.compile(r"^back after [\d.]+ m?s$"))
    expect(way(page, "bare").locator(".after-restart")).to_contain_text("stays closed")
    expect_states(page, "Live")
    page.get_by_role("button", name="Reconnect").click()
    expect(way(page, "bare").locator(".age")).to_have_text(re.compile(r"^\d+ ms$"))
    assert complaints == []


def test_a_single_process_cannot_be_killed(demo: Server) -> None:
    """Only the workers of `make cluster` let pages kill them."""
    with RawClient(demo, "/kill") as client:
        assert re.match(r"HTTP/1.1 40[34] ", client.head)


def test_only_a_supervised_server_restarts(demo: Server, page: Page) -> None:
    """A demo that no process would start again says so and keeps running; a request without the header is refused."""
    page.goto(demo.url)
    with trial(page, "Restart the server") as card:
        expect(card.get_by_role("status")).to_contain_text("Only a server that was started by")
    with pytest.raises(urllib.error.HTTPError, match="422"):
        urllib.request.urlopen(urllib.request.Request(f"{demo.url}/restart", method="POST"))
    expect_states(page, "Live")
