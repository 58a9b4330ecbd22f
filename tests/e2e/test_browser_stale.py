"""The browser client in Chromium: a page never shows old values for long, even if the tab or the network is slow.

It knows that its values are old while the server has lost its broker.
"""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import CDPSession, Page

from tests.brokers.valkey import Valkey
from tests.e2e.browser_page import APP, open_page, publish, split, wait_until_left
from tests.e2e.browser_page.slow import SlowGate
from tests.servers import Server, serve

BLOCKED = 5_000
"""Milliseconds."""

WINDOW = 60
"""More values than a page receives ahead of its acknowledgements; 60 per second arrive without them."""

HEAP_GROWTH = 3 * 1024 * 1024

LATENCY = 0.1
"""Seconds for one way; a round trip takes twice that."""

WATCH = """() => {
  const { calls, listener } = recorder();
  globalThis.painted = calls;
  live.feed("clock").onValue(listener);
}"""

# A bare WebSocket is a page without acknowledgements: everything sent arrives, one after the other.
WATCH_PLAIN = """() => {
  globalThis.plain = [];
  const socket = new WebSocket(new URL("/clock-plain", location.href.replace("http", "ws")));
  socket.onmessage = ({ data }) => { plain.push({ at: Date.now(), value: JSON.parse(data) }); };
}"""

WATCH_PRICE = """() => {
  globalThis.states = [];
  globalThis.shown = undefined;
  const feed = live.feed("price/a");
  feed.onValue((value) => { globalThis.shown = value; });
  feed.status.subscribe(({ state, reason }) => states.push(reason ? `${state}: ${reason}` : state));
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture
def page(used_page: Page, server: Server) -> Page:
    """Use one page for all tests here; no earlier one is counted."""
    wait_until_left(server)
    return used_page


def heap(session: CDPSession) -> int:
    """Return the bytes in use in the page's heap."""
    session.send("HeapProfiler.collectGarbage")
    size: int = session.send("Runtime.getHeapUsage")["usedSize"]
    return size


def test_blocked_tab_is_fresh_again(page: Page, server: Server, complaints: list[str]) -> None:
    """A tab that was blocked for 5 s receives little meanwhile, and then paints current values.

    Its memory does not grow.
    """
    open_page(page, server.url)
    session = page.context.new_cdp_session(page)
    page.evaluate(WATCH)
    page.wait_for_function("painted.length > 20")
    size = heap(session)
    sent, end = page.evaluate(
        """(time) => {
          const before = delivered("/clock");
          block(time);
          const sent = delivered("/clock") - before;
          painted.length = 0;
          return [sent, Date.now()];
        }""",
        BLOCKED,
    )
    assert sent < WINDOW
    old, _ = split(page, "painted", end)
    assert old < WINDOW
    page.evaluate("() => { painted.length = 0; }")
    assert heap(session) - size < HEAP_GROWTH
    assert [each for each in complaints if "Synchronous XMLHttpRequest" not in each] == []


def test_blocked_tab_without_acknowledgements_is_stale(page: Page, server: Server) -> None:
    """The control: a bare WebSocket of the same feed processes everything sent meanwhile, oldest first."""
    open_page(page, server.url)
    page.evaluate(WATCH_PLAIN)
    page.wait_for_function("plain.length > 20")
    end = page.evaluate(
        """(count) => {
          const before = delivered("/clock-plain");
          while (delivered("/clock-plain") < before + count) block(100);
          plain.length = 0;
          return Date.now();
        }""",
        3 * WINDOW,
    )
    old, _ = split(page, "plain", end)
    assert old > 2 * WINDOW
    made = page.evaluate("plain.map(({ value }) => value.at)")
    assert made == sorted(made)


def test_slow_network_is_fresh_and_smooth(page: Page, server: Server, complaints: list[str]) -> None:
    """With a round trip of 200 ms, values do not wait for the previous acknowledgement."""
    with SlowGate(server.port, LATENCY) as gate:
        open_page(page, gate.url)
        page.evaluate(WATCH)
        page.wait_for_function("painted.length > 20")
        page.evaluate("() => { painted.length = 0; }")
        page.wait_for_function("painted.length >= 60")
        calls = page.evaluate("painted")
        made = [call["value"]["at"] for call in calls]
        # If each waited for an acknowledgement, no two would be made within a round trip.
        assert sum(after - before < 2000 * LATENCY for before, after in pairwise(made)) > len(made) / 2
        assert min(call["at"] - call["value"]["at"] for call in calls) >= LATENCY * 1000 - 2
        page.goto("about:blank")
    assert complaints == []


def test_slow_network_after_a_blocked_tab(page: Page, server: Server) -> None:
    """With a round trip of 200 ms, a tab that was blocked also processes few old values."""
    with SlowGate(server.port, LATENCY) as gate:
        open_page(page, gate.url)
        page.evaluate(WATCH)
        page.wait_for_function("painted.length > 20")
        end = page.evaluate("() => { block(2000); painted.length = 0; return Date.now(); }")
        old, _ = split(page, "painted", end)
        assert old < WINDOW
        page.goto("about:blank")


def test_page_knows_that_the_broker_is_away(page: Page, valkey: Valkey, complaints: list[str]) -> None:
    """The connection stays, the feed is stale and keeps its value; when the broker is back, new values arrive."""
    with serve(APP, env={"WIRESPEED_BROKER": f"redis://127.0.0.1:{valkey.port}"}) as app:
        open_page(page, app.url)
        page.evaluate(WATCH_PRICE)
        page.wait_for_function("states.at(-1) === 'connected'")
        publish(app, "price/a", 1)
        page.wait_for_function("shown === 1")
        valkey.kill()
        page.wait_for_function("states.at(-1).startsWith('stale')")
        assert page.evaluate("[live.status.current.state, shown]") == ["connected", 1]
        valkey.start()
        page.wait_for_function("states.at(-1) === 'connected'")
        publish(app, "price/a", 2)
        page.wait_for_function("shown === 2")
        states = page.evaluate("states")
        stale = "stale: The server cannot reach its broker; trying again."
        assert states == ["connecting", "connected", stale, "connected"]
    assert complaints == []
