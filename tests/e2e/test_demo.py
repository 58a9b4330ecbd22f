"""The demo in a real browser against a real uvicorn."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Locator, Page, Route, expect

from benchmarks.chromium import Browser as Chromium
from demo.app import PAGE
from tests.clients import RawClient
from tests.e2e.tabs import RECORD_FRAMES
from tests.e2e.unwatched import Tab, opened
from tests.servers import ROOT, Server, free_port, serve, wait_until_ready
from tests.waiting import PATIENCE

LIVE = ("Market", "Chat", "The server")

UNFOLD = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not (PAGE / "index.html").is_file():
        pytest.fail("The page is not built: cd web && npm ci && npm run build:demo")


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    """The demo, for all tests that change nothing in it."""
    with serve("demo.app:app") as server:
        yield server
        assert "Traceback" not in server.output()


def counter(page: Page, name: Literal["Text", "JSON"]) -> Locator:
    return page.get_by_role("article", name=name)


def live(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def expect_states(page: Page, words: str) -> None:
    """Expect these words in the state of all live parts."""
    for name in LIVE:
        expect(live(page, name).locator(".state")).to_contain_text(words)


def frames_of(page: Page, path: str) -> list[Any]:
    """Return the frames that the page has received on a path."""
    frames = page.evaluate("(path) => window.recorded[path]", path)
    assert isinstance(frames, list)
    return frames


def test_hello_world(demo: Server) -> None:
    """GET /test, on the path of the WebSocket, says hello world."""
    with urllib.request.urlopen(f"{demo.url}/test") as response:
        assert json.load(response) == {"message": "hello world"}


STICKING_OUT = """() => [...document.querySelectorAll("main *")].filter((each) => {
  const { width, right } = each.getBoundingClientRect();
  if (!width || each.closest(".scroll, .scroll-x, pre, svg, .hidden, .ticks, .uplot")) return false;
  const around = each.parentElement.closest(".card") ?? document.body;
  const isCut = each.matches("button, p, dt, dd") && each.scrollWidth > each.clientWidth + 1;
  return isCut || right > around.getBoundingClientRect().right + 1;
}).map(({ outerHTML }) => outerHTML.slice(0, 100))"""
"""Returns the elements that are wider than their card, and those whose text is cut off."""


CUT_NAMES = """() => [...document.querySelectorAll("#market tbody:first-of-type th")].filter(
  (each) => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 4
).map(({ textContent }) => textContent)"""
"""Returns the names in the first rows of the table that have no room. Its box scrolls, so they do not stick out."""


LOOKS: list[tuple[int, Literal["light", "dark"], int]] = [
    (320, "light", 16),
    (320, "dark", 32),
    (390, "dark", 16),
    (390, "light", 32),
    (768, "light", 16),
    (1280, "dark", 16),
]
"""Widths, colours and sizes of letters."""

HAS_LOOK = """([width, letters]) =>
  innerWidth === width && getComputedStyle(document.documentElement).fontSize === letters"""


@pytest.fixture
def calm(browser: Browser) -> Iterator[Page]:
    """Open a page for a visitor who wants less motion: colours change at once, and the page costs less."""
    page = browser.new_page(reduced_motion="reduce")
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    page.close()


def test_fits(demo: Server, calm: Page) -> None:
    """Nothing sticks out at any width, with enlarged text, or unfolded; the page follows the system's light or dark."""
    session = calm.context.new_cdp_session(calm)
    calm.set_viewport_size({"width": 320, "height": 800})
    calm.goto(demo.url)
    expect(live(calm, "Market").locator("tbody tr")).to_have_count(1000)
    calm.evaluate(UNFOLD)
    for width, scheme, letters in LOOKS:
        session.send("Page.setFontSizes", {"fontSizes": {"standard": letters, "fixed": letters}})
        calm.set_viewport_size({"width": width, "height": 800})
        calm.emulate_media(color_scheme=scheme)
        calm.wait_for_function(HAS_LOOK, arg=[width, f"{letters}px"])
        assert calm.evaluate("document.documentElement.scrollWidth") <= width
        assert (width, letters, calm.evaluate(STICKING_OUT)) == (width, letters, [])
        assert (width, letters, calm.evaluate(CUT_NAMES)) == (width, letters, [])
        background = calm.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
        assert (brightness > 384) == (scheme == "light")


SAME_ROWS = "() => watched.every(([row]) => row.isConnected)"
OTHER_FIGURES = "() => watched.some(([row, text]) => row.isConnected && row.textContent !== text)"
WATCH_ROWS = """() => {
  window.watched = [...document.querySelectorAll("#market tbody tr")].map((row) => [row, row.textContent]);
}"""
OTHER_PICTURE = "(before) => document.querySelector('#chart canvas').toDataURL() !== before"


def values(frames: list[str | bytes], channel: str) -> list[Any]:
    """Return the values of one channel in the frames of the multiplexed connection."""
    lines = [json.loads(line) for frame in frames for line in str(frame).splitlines()]
    pushes = [line["push"] for line in lines if "push" in line]
    return [value for push in pushes if push["channel"] == channel and "pub" in push for value in push["pub"]["data"]]


def slide(card: Locator, name: str, step: int) -> None:
    """Move a slider to one of its steps."""
    card.locator(f"input[name={name}]").fill(str(step))


def test_chart_moves_and_shows_every_change(demo: Server, page: Page, complaints: list[str]) -> None:
    """The price and its chart move; the page receives every change in order, many per frame."""
    page.add_init_script(RECORD_FRAMES)
    page.goto(f"{demo.url}/?only=chart")
    card = live(page, "BTC")
    expect(card.locator(".value")).to_have_text(re.compile(r"^[\d,]+\.\d\d$"))
    page.wait_for_function(OTHER_PICTURE, arg=page.evaluate("document.querySelector('#chart canvas').toDataURL()"))
    for name in (".changes", ".batch", ".paints"):
        expect(card.locator(name)).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    expect(card.locator(".cpu-now")).to_have_text(re.compile(r"^\d+ %$"))
    # A log of 40,000 changes lasts 40 s at this rate: a page that is late has not lost any.
    card.get_by_text("Change the numbers").click()
    slide(card, "rate", 2)
    expect(card.locator(".per-frame")).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    channel = "ticks/BTC?rate=1000&max_rate=60"
    frames = [frame for frame in frames_of(page, "/live/websocket") if channel in str(frame)]
    numbers = [quote["number"] for quote in values(frames, channel)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 3 * len(frames)
    assert complaints == []


def test_numbers_of_the_chart_can_be_changed(demo: Server, page: Page, complaints: list[str]) -> None:
    """A page chooses the rate, what it gets, and the watchers that the server adds; these end with the page."""
    page.goto(demo.url)
    card, server = live(page, "BTC"), live(page, "The server")
    card.get_by_text("Change the numbers").click()
    slide(card, "rate", 2)
    expect(card.locator("output").first).to_have_text("1,000")
    expect(card.locator(".per-frame")).to_have_text(re.compile(r"^([2-9]|[1-9][\d,]+)$"))
    slide(card, "watchers", 1)
    watchers = server.get_by_role("row", name="/ticks/{symbol}").get_by_role("cell").first
    expect(watchers).to_have_text("11")
    expect(card.locator(".crowd")).to_have_text(re.compile(r"^[1-9][\d,]*$"))
    card.get_by_role("radio", name="the newest").check(force=True)
    expect(card.locator(".path")).to_have_text("/price/BTC")
    expect(card.locator(".per-frame")).to_have_text("1")
    expect(watchers).to_have_text("10")
    slide(card, "watchers", 0)
    expect(watchers).to_have_text("0")
    assert complaints == []


CHART_SLIDERS = (
    "Changes per second",
    "Most updates per second, maxRate",
    "Work per value",
    "More watchers, in the server",
)
SLIDERS = {"chart": CHART_SLIDERS, "freeze": ("Work per value",)}


def test_names_of_sliders(demo: Server, page: Page) -> None:
    """The name of a slider is its label alone; the value is its text, and stands beside it."""
    for part, names in SLIDERS.items():
        page.goto(f"{demo.url}/?only={part}")
        page.evaluate(UNFOLD)
        expect(page.get_by_role("slider")).to_have_count(len(names))
        for name in names:
            slider = page.get_by_role("slider", name=name, exact=True)
            output = page.locator(f"output[for='{slider.get_attribute('id')}']")
            before = output.inner_text()
            slider.press("ArrowLeft" if name.startswith(("Changes", "Most")) else "ArrowRight")
            expect(output).not_to_have_text(before)
            expect(slider).to_have_attribute("aria-valuetext", output.inner_text())


def test_counters_are_aligned(demo: Server, page: Page) -> None:
    """On a phone, where one path has no room beside its title, both numbers are at the same height."""
    page.set_viewport_size({"width": 320, "height": 800})
    page.goto(f"{demo.url}/?only=counters")
    assert (
        len(set(page.locator(".number").evaluate_all("(all) => all.map((each) => each.getBoundingClientRect().top)")))
        == 1
    )


def test_pause(demo: Server, page: Page) -> None:
    """One button pauses everything that moves by itself, and lets it continue."""
    page.goto(demo.url)
    expect_states(page, "Live")
    pause = page.get_by_role("button", name="Pause all motion")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    for name in ("Market", "The server"):
        expect(live(page, name).locator(".state")).to_have_text("Paused")
    picture = "document.querySelector('#chart canvas').toDataURL()"
    page.evaluate(f"new Promise((resolve) => requestAnimationFrame(() => resolve({picture})))")
    before = page.evaluate(picture)
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")
    assert page.evaluate(picture) == before
    pause.click()
    expect_states(page, "Live")
    page.wait_for_function(OTHER_PICTURE, arg=before)


def test_code_of_the_page_runs(demo: Server, page: Page) -> None:
    """The button copies a program that runs as it is."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.url)
    page.goto(f"{demo.url}/?only=install")
    listing = live(page, "main.py")
    listing.get_by_role("button", name="Copy").click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    program: dict[str, Any] = {}
    exec(code, program)
    with TestClient(program["app"]) as client:
        assert 50 < float(client.get("/price").text) < 150


def test_error_of_the_module_is_shown(demo: Server, page: Page) -> None:
    """A page whose script cannot be loaded, or fails, says so."""
    page.route("**/assets/index-*.js", lambda route: route.abort())
    page.goto(demo.url)
    expect(page.get_by_role("alert")).to_contain_text("its script could not be loaded")
    page.unroute("**/assets/index-*.js")
    page.goto(demo.url)
    expect_states(page, "Live")
    page.evaluate("setTimeout(() => { throw new Error('It broke'); })")
    expect(page.get_by_role("alert")).to_contain_text("It broke")


def test_scripts_are_compressed(demo: Server) -> None:
    """The page's scripts and styles are sent compressed."""
    with urllib.request.urlopen(demo.url) as page:
        files = re.findall(r"/assets/index-[^\"]+\.(?:js|css)", page.read().decode())
    assert len(files) == 2
    for file in files:
        asked = urllib.request.Request(demo.url + file, headers={"accept-encoding": "gzip, deflate, br"})
        with urllib.request.urlopen(asked) as response:
            assert response.headers["content-encoding"] == "gzip"


SAY = """(words) => {
  const form = document.querySelector("#chat form");
  form.elements.namedItem("text").value = words;
  form.requestSubmit();
}"""

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async (part) => {
  await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
  document.querySelectorAll("#market tbody:nth-of-type(n + 2)").forEach((each) => each.remove());
  return (await axe.run(part ?? document, { resultTypes: ["violations"] })).violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ").slice(0, 300)}`);
}"""
"""Returns what axe finds in the page or a part, after the transitions of colours have ended.

Of the thousand rows of the table, it gets 25, which takes a sixth of the time."""


def violations(tab: Tab) -> list[str]:
    """Return what axe finds on a narrow light page and on a wide dark one."""
    found: list[str] = []
    for scheme, width in (("light", 390), ("dark", 1280)):
        tab.look(width, scheme)
        found += tab.evaluate(f"({VIOLATIONS})()")
    return found


# The race brings 20,000 frames.
def test_accessible(chromium: Chromium) -> None:
    """axe finds no problem in any state: opened, unfolded, in a race and after it, refused, paused, disconnected."""
    live_states = ":is(#market, #chat, #server) .state"
    with opened(chromium) as tab:
        with serve("demo.app:app") as server:
            tab.look(390, "light")
            tab.open(f"{server.url}/?rounds=1")
            tab.wait_for_text(live_states, "Live", "Live", "Live")
            tab.evaluate(AXE.read_text())
            assert violations(tab) == []
            tab.evaluate(UNFOLD)
            tab.click("#race form button")
            tab.wait_for("['running', 'done'].includes(document.querySelector('[data-lane=poll]').dataset.state)")
            assert violations(tab) == []
            tab.wait_for("document.querySelector('#race-state').textContent.startsWith('Done')")
            tab.evaluate(f"({SAY})('x'.repeat(301))")
            tab.wait_for("document.querySelector('#chat .state').textContent.includes('at most 300 characters')")
            tab.click("#pause")
            tab.click("#freeze button[data-seconds='3']")
            tab.wait_for(
                "document.querySelector('#freeze .state').textContent.includes('the clocks have to run first')"
            )
            assert violations(tab) == []
            tab.click("#pause")
        tab.wait_for("document.querySelector('#market .state').textContent.includes('trying again')")
        assert violations(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_after_a_freeze(demo: Server, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """axe finds no problem in the clocks, while they run and with the results of a freeze."""
    page = browser.new_page(viewport={"width": 390, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{demo.url}/?only=freeze")
    section = page.get_by_role("region", name="Freeze this tab")
    expect(section.locator(".state")).to_have_text("Both clocks run.")
    page.evaluate(UNFOLD)
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS, "#freeze") == []
    slide(section, "work", 1)
    button = section.locator("button").first
    button.evaluate("(button) => { button.dataset.seconds = 0.3; button.click(); }")
    expect(section.locator("[data-side=client] .result")).to_contain_text("right after")
    expect(button).to_have_attribute("aria-disabled", "false")
    assert page.evaluate(VIOLATIONS, "#freeze") == []
    page.close()


def test_names_of_buttons(demo: Server, page: Page) -> None:
    """No two buttons have the same name, those that unfold something included."""
    page.goto(demo.url)
    expect_states(page, "Live")
    names = page.locator("button, summary").evaluate_all("(all) => all.map(({ textContent }) => textContent.trim())")
    assert len(names) > 10
    assert len(set(names)) == len(names)


def test_prints(demo: Server, page: Page) -> None:
    """Paper has the first rows of the table, the whole conversation, and what is folded on the screen."""
    page.goto(demo.url)
    expect_states(page, "Live")
    expect(live(page, "Market").locator("tbody tr")).to_have_count(1000)
    page.evaluate(f"for (let number = 0; number < 12; number += 1) ({SAY})(`Line ${{number}}`)")
    expect(live(page, "Chat").get_by_role("log")).to_contain_text("Line 11")
    page.emulate_media(media="print")
    height = "(box) => box.getBoundingClientRect().height"
    assert page.locator("#market .scroll").evaluate(height) > 200
    log = live(page, "Chat").get_by_role("log")
    assert log.evaluate(height) >= log.locator("ol").evaluate(height) > 200
    assert page.locator(".measured").evaluate_all("(all) => all.every((each) => each.offsetHeight > 50)")


PARTS = ("chart", "counters", "freeze", "race", "market", "chat", "server")


def test_one_part_alone(demo: Server, page: Page) -> None:
    """A page can embed one part; nothing else of the demo is visible or watched then."""
    for part in PARTS:
        page.goto(f"{demo.url}/?only={part}")
        expect(page.locator(f"#{part}")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_be_hidden()
        for each in PARTS:
            expect(page.locator(f"#{each}")).to_be_visible(visible=each == part)


def test_table_updates_in_place(demo: Server, page: Page, complaints: list[str]) -> None:
    """The table has all rows, and figures change in the existing rows."""
    page.goto(f"{demo.url}/?only=market")
    card = live(page, "Market")
    expect(card.locator("tbody tr")).to_have_count(1000)
    page.evaluate(WATCH_ROWS)
    page.wait_for_function(OTHER_FIGURES, polling="raf")
    assert page.evaluate(SAME_ROWS)
    assert complaints == []


def test_two_pages_chat(demo: Server, page: Page, complaints: list[str]) -> None:
    """A message from one page appears in the other as text, not as markup, and in a page that is opened later."""
    page.goto(f"{demo.url}/?only=chat")
    other = page.context.new_page()
    other.goto(f"{demo.url}/?only=chat")
    for each in (page, other):
        expect(live(each, "Chat").locator(".state")).to_have_text("Live")
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
    page.goto(f"{demo.url}/?only=chat")
    card = live(page, "Chat")
    expect(card.locator(".state")).to_have_text("Live")
    card.get_by_label("Message").evaluate("(input) => input.removeAttribute('maxlength')")
    say(page, "Ada", "x" * 301)
    expect(card.locator(".state")).to_contain_text("at most 300 characters")
    say(page, "Ada", "Shorter")
    expect(card.get_by_role("listitem").last).to_contain_text("Shorter")
    expect(card.locator(".state")).to_have_text("Live")


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
    expect(ticks).to_have_text(count)


def test_lost_and_refused_connections(page: Page) -> None:
    """All parts say that the server is gone and recover with it; the chat reports what it has lost."""
    card = counter(page, "Text")
    with serve("demo.app:app") as server:
        page.goto(server.url)
        expect_states(page, "Live")
        expect(card.locator(".state")).to_have_text("Connected")
        say(page, "Ada", "Before")
        expect(live(page, "Chat").get_by_role("log")).to_contain_text("Before")
        server.stop()
        expect_states(page, "trying again")
        expect(card.locator(".state")).to_contain_text("Trying again")
        say(page, "Ada", "Meanwhile")
        expect(live(page, "Chat").locator(".state")).to_contain_text("There is no connection")
        page.get_by_role("button", name="Start the race").click()
        expect(page.locator("#race-state")).to_contain_text("The race stopped. The server did not answer")
    with serve("demo.app:app", port=server.port):
        expect_states(page, "Live")
        expect(live(page, "Chat").get_by_role("log")).to_contain_text("no longer has the messages")
        say(page, "Ada", "After")
        expect(live(page, "Chat").get_by_role("listitem").last).to_contain_text("After")
        page.evaluate(WATCH_ROWS)
        page.wait_for_function(OTHER_FIGURES, polling="raf")
        expect(card.locator(".state")).to_have_text("Connected")
        card.get_by_role("button").click()
        expect(card.locator(".number")).to_have_text(re.compile("^[1-9]"))


def test_hidden_page_watches_nothing(demo: Server, page: Page, complaints: list[str]) -> None:
    """A page in the background stops watching after five seconds, and watches again in the foreground."""
    page.goto(demo.url)
    expect_states(page, "Live")
    show = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    # Not by a false clock: it stands while the page works, and the page's work for each value of a clock would not end.
    page.evaluate(show, True)
    for name in ("Market", "The server"):
        expect(live(page, name).locator(".state")).to_have_text("Paused in the background")
    expect(live(page, "Chat").locator(".state")).to_have_text("Live")
    page.evaluate(show, False)
    expect_states(page, "Live")
    assert complaints == []


@pytest.fixture(scope="module")
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


def test_frozen_tab(demo: Server, page: Page, complaints: list[str]) -> None:
    """The tab freezes once for each clock; afterwards both are right again, and the plain one had to catch up."""
    page.goto(f"{demo.url}/?only=freeze")
    section = page.get_by_role("region", name="Freeze this tab")
    section.scroll_into_view_if_needed()
    slide(section, "work", 1)
    button = section.get_by_role("button", name="Freeze twice for 3 seconds")
    button.click()
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_attribute("aria-disabled", "false")
    clocks = [section.locator(f"[data-side={each}]") for each in ("plain", "client")]
    late = []
    for clock in clocks:
        words = clock.locator(".result").inner_text()
        found = re.match(r"^right after [\d.,]+ m?s, after ([\d,]+) late values?$", words)
        assert found, words
        late.append(int(found[1].replace(",", "")))
    # In three seconds, the server makes 90 values; the client gets those of a round trip or two.
    assert late[0] > 2 * late[1]
    expect(page.locator("#announcer")).to_contain_text(re.compile("clock|difference"))
    assert complaints == []


def test_freeze_that_is_interrupted(demo: Server, page: Page, complaints: list[str]) -> None:
    """A pause ends a freeze that has begun, and none begins in a pause; afterwards the clocks run."""
    page.goto(demo.url)
    section = page.get_by_role("region", name="Freeze this tab")
    section.scroll_into_view_if_needed()
    expect(section.locator(".state")).to_have_text("Both clocks run.")
    button, pause = section.locator("button").first, page.get_by_role("button", name="Pause all motion")
    page.evaluate("['.freeze', '#pause'].forEach((each) => document.querySelector(each).click())")
    expect(button).to_have_attribute("aria-disabled", "false")
    expect(section.locator(".state")).to_have_text("Paused")
    button.click()
    expect(section.locator(".state")).to_have_text("Paused: the clocks have to run first.")
    pause.click()
    for each in ("plain", "client"):
        expect(section.locator(f"[data-side={each}] .time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d$"))
    assert complaints == []


PAUSE_AT_ONCE = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    if (this.url.endsWith("/plain/clock")) {
      window.sockets.push(this);
      queueMicrotask(() => document.querySelector("#pause").click());
    }
  }
};"""


def test_pause_while_a_clock_connects(demo: Server, page: Page, complaints: list[str]) -> None:
    """A clock that is stopped before its WebSocket is open closes it, and the browser has no error to report."""
    page.add_init_script(PAUSE_AT_ONCE)
    page.goto(f"{demo.url}/?only=freeze")
    page.wait_for_function("sockets.length > 0 && sockets.every((each) => each.readyState === WebSocket.CLOSED)")
    expect(page.locator("#freeze .state")).to_have_text("Paused")
    assert complaints == []


def test_clocks_with_less_motion(demo: Server, calm: Page) -> None:
    """A visitor who wants less motion gets as many values of one clock as of the other: neither seems late by that."""
    calm.add_init_script(RECORD_FRAMES)
    calm.goto(f"{demo.url}/?only=freeze")
    calm.wait_for_function("window.recorded['/plain/clock']?.length > 10")
    calm.wait_for_function("window.recorded['/live/websocket'].some((each) => each.includes('\"now'))")
    pushed = "".join(map(str, frames_of(calm, "/live/websocket")))
    assert "max_rate=2" not in pushed


def test_rounds_of_the_race(demo: Server, page: Page) -> None:
    """A number of rounds in the address that makes no sense is ignored."""
    page.goto(f"{demo.url}/?rounds=abc&only=race")
    page.get_by_role("button", name="Start the race").click()
    expect(page.locator("#race-state")).to_contain_text("Round 1 of 5")


def test_restart_between_two_lanes(demo: Server, page: Page) -> None:
    """A race whose lanes have figures of different servers stops."""
    answers = iter(range(1000))

    def answer(route: Route) -> None:
        used = route.fetch().json()
        lane = next(answers) // 3  # each asks three times
        route.fulfill(json={**used, "process": used["process"] + lane})

    page.route("**/race/cpu", answer)
    page.goto(f"{demo.url}/?only=race")
    page.get_by_role("button", name="Start the race").click()
    expect(page.locator("#race-state")).to_have_text("The race stopped. The server has restarted meanwhile.")


LOSE_AT_ONCE = """
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    if (this.url.endsWith("/plain/text")) {
      this.addEventListener("open", () => this.close());
      window.lost = new Promise((resolve) => this.addEventListener("close", resolve));
    }
  }
};
const before = window.fetch;
window.fetch = async (...args) => {
  const response = await before(...args);
  if (args[0] === "/race/cpu") await window.lost;
  return response;
};"""


def test_connection_that_is_lost_before_a_lane_begins(demo: Server, page: Page) -> None:
    """A race whose connection is lost while it asks for the server's CPU time stops, and does not wait for values."""
    page.add_init_script(LOSE_AT_ONCE)
    page.goto(f"{demo.url}/?only=race")
    page.get_by_role("button", name="Start the race").click()
    stopped = "The race stopped. The connection was lost before the message was sent."
    expect(page.locator("#race-state")).to_have_text(stopped)


RECORD_STATES = """(status) => {
  window.states = [];
  const note = () => window.states.push(status.textContent);
  new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
}"""
"""Records the texts of a status. A server may be back before a test looks at the page again."""

WAS_STALE = "states.includes('Stale') && states.lastIndexOf('Connected') > states.indexOf('Stale')"


def test_restarted_server(supervised: Server, page: Page, complaints: list[str]) -> None:
    """After a restart everything is connected again, without a click; a race has no figures of two servers."""
    page.goto(f"{supervised.url}/?rounds=100")  # the usual five may be over before the server stops
    expect_states(page, "Live")
    page.get_by_role("banner").locator(".connection").evaluate(RECORD_STATES)
    page.get_by_role("button", name="Start the race").click()
    page.wait_for_function("['running', 'done'].includes(document.querySelector('[data-lane=poll]').dataset.state)")
    page.get_by_role("button", name="Restart the server").click()
    page.wait_for_function(WAS_STALE)
    expect(page.locator("#race-state")).to_contain_text("The race stopped.")
    expect(live(page, "The server").locator(".result")).to_contain_text("was lost and back after")
    expect_states(page, "Live")
    for name in ("Text", "JSON"):
        card = page.get_by_role("article", name=name)
        expect(card.locator(".state")).to_have_text("Connected")
        assert card.locator(".state").get_attribute("data-mood") == ""
    # The browser itself reports a WebSocket that could not connect.
    assert [each for each in complaints if "WebSocket connection to" not in each] == []


def test_console(supervised: Server, page: Page) -> None:
    """`make run` serves the console as well, to which the page links: only this machine can reach it."""
    page.goto(supervised.url)
    page.get_by_role("link", name="Console").click()
    expect(page.get_by_role("link", name="/test/json")).to_be_visible()


def test_a_single_process_cannot_be_killed(demo: Server) -> None:
    """Only the workers of `make cluster` let pages kill them."""
    with RawClient(demo, "/kill") as client:
        assert re.match(r"HTTP/1.1 40[34] ", client.head)


def test_only_a_supervised_server_restarts(demo: Server, page: Page) -> None:
    """A demo that no process would start again says so and keeps running; a request without the header is refused."""
    page.goto(f"{demo.url}/?only=server")
    page.get_by_role("button", name="Restart the server").click()
    expect(live(page, "The server").locator(".result")).to_contain_text("Only a server that was started by")
    with pytest.raises(urllib.error.HTTPError, match="422"):
        urllib.request.urlopen(urllib.request.Request(f"{demo.url}/restart", method="POST"))
    expect(live(page, "The server").locator(".state")).to_have_text("Live")
