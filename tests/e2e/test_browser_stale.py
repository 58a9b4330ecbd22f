"""The browser client in Chromium: what a page shows is never long past, though the tab or the network is slow."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page

from tests.e2e.browser_page import APP, open_page, state
from tests.e2e.browser_page.slow import SlowGate
from tests.servers import Server, serve

BLOCKED = 5_000
"""Milliseconds."""

MARGIN = 400
"""Milliseconds for a machine whose two cores do other things, too; without acknowledgements it would be seconds."""

HEAP_GROWTH = 3 * 1024 * 1024

LATENCY = 0.1
"""Seconds for one way, so that a round trip takes twice that."""

WATCH = """() => {
  const { calls, listener } = recorder();
  globalThis.painted = calls;
  live.feed("clock").onValue(listener);
}"""

# A bare WebSocket is what a page has without acknowledgements: all that was sent comes, one after the other.
WATCH_PLAIN = """() => {
  globalThis.plain = [];
  const socket = new WebSocket(new URL("/clock-plain", location.href.replace("http", "ws")));
  socket.onmessage = ({ data }) => { plain.push({ at: Date.now(), value: JSON.parse(data) }); };
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


def heap(session: CDPSession) -> int:
    """The bytes of the page's heap that are in use."""
    session.send("HeapProfiler.collectGarbage")
    size: int = session.send("Runtime.getHeapUsage")["usedSize"]
    return size


def ages(calls: list[dict[str, Any]], after: float = 0) -> list[float]:
    """How old values were when they came, of those that came so long after the first; all in milliseconds."""
    since = calls[0]["at"] + after
    return [call["at"] - call["value"]["at"] for call in calls if call["at"] >= since]


def delivered(server: Server, path: str) -> int:
    """How many values of a feed the server has sent so far."""
    count: int = state(server)["delivered"][path]
    return count


def test_blocked_tab_is_fresh_again(page: Page, server: Server, complaints: list[str]) -> None:
    """What a tab paints 100 ms and a round trip after it was blocked for 5 s under 10,000 changes per second is fresh.

    Meanwhile the server has held back, and the tab's memory did not grow.
    """
    open_page(page, server.url)
    session = page.context.new_cdp_session(page)
    page.evaluate(WATCH)
    page.wait_for_function("painted.length > 20")
    round_trip = page.evaluate("roundTrip()")
    size, before = heap(session), delivered(server, "/clock")
    page.evaluate(f"() => {{ block({BLOCKED}); painted.length = 0; }}")
    held_back = delivered(server, "/clock") - before
    page.wait_for_function("painted.at(-1)?.at > painted[0]?.at + 1000")
    fresh = ages(page.evaluate("painted"), 100 + round_trip)
    assert max(fresh) < 100 + round_trip + MARGIN
    assert len(fresh) > 10
    page.evaluate("() => { painted.length = 0; }")
    assert heap(session) - size < HEAP_GROWTH
    assert held_back < BLOCKED / 1000 * 60
    assert complaints == []


def test_blocked_tab_without_acknowledgements_is_stale(page: Page, server: Server) -> None:
    """The control: a bare WebSocket of the same feed goes through all that was sent in the meantime, oldest first."""
    open_page(page, server.url)
    page.evaluate(WATCH_PLAIN)
    page.wait_for_function("plain.length > 20")
    before = delivered(server, "/clock-plain")
    page.evaluate("() => { block(2000); plain.length = 0; }")
    assert delivered(server, "/clock-plain") - before > 2 * 60
    page.wait_for_function("plain.length > 100")
    assert ages(page.evaluate("plain"))[0] > 1_500


def test_slow_network_is_fresh_and_smooth(page: Page, server: Server, complaints: list[str]) -> None:
    """At a round trip of 200 ms paints go on at a good rate, and what they show is as old as the way is long."""
    with SlowGate(server.port, LATENCY) as gate:
        open_page(page, gate.url)
        page.evaluate(WATCH)
        page.wait_for_function("painted.length > 20")
        began = page.evaluate("() => { painted.length = 0; return Date.now(); }")
        page.wait_for_function("painted.length >= 60")
        calls = page.evaluate("painted")
        # One batch on its way at a time would be five per second.
        assert (calls[-1]["at"] - began) / len(calls) < 1000 / 8
        assert sorted(ages(calls))[len(calls) // 2] < LATENCY * 1000 + MARGIN
        assert min(ages(calls)) >= LATENCY * 1000 - 2
        page.goto("about:blank")
    assert complaints == []


def test_slow_network_after_a_blocked_tab(page: Page, server: Server) -> None:
    """At a round trip of 200 ms a tab that was blocked for a second is fresh 100 ms and a round trip later, too."""
    with SlowGate(server.port, LATENCY) as gate:
        open_page(page, gate.url)
        page.evaluate(WATCH)
        page.wait_for_function("painted.length > 20")
        page.evaluate("() => { block(1000); painted.length = 0; }")
        page.wait_for_function("painted.at(-1)?.at > painted[0]?.at + 600")
        fresh = ages(page.evaluate("painted"), 100 + 2000 * LATENCY)
        assert max(fresh) < 100 + 1000 * LATENCY + MARGIN
        page.goto("about:blank")
