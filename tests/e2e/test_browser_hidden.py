"""The browser client in Chromium: hidden tabs, and pages that are left and shown again."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser_page import APP, fresh, open_page, publish, split, state, wait_for, wait_for_watchers
from tests.e2e.tabs import hide, window
from tests.servers import Server, serve
from tests.waiting import PATIENCE

WINDOW = 60
"""More values than a page receives ahead of its acknowledgements."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture
def tab(natural: Browser) -> Iterator[Page]:
    """Open a tab in the browser's one window; nothing is in its console at the end."""
    page = window(natural).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


def wait_until_held_back(server: Server, path: str) -> None:
    """Return when the server has stopped sending a feed that changes all the time."""
    delivered = [-1]

    def stands_still(seen: dict[str, dict[str, int]]) -> bool:
        delivered.append(seen["delivered"][path])
        return len(delivered) > 10 and delivered[-1] == delivered[-10]

    wait_for(server, stands_still)


def test_hidden_tab_gets_nothing_until_it_is_shown(tab: Page, server: Server) -> None:
    """A hidden tab is sent nothing more; when shown, it has the newest value at once, and all of a log.

    A feed that asks for it gets its values in the hidden tab, too.
    """
    open_page(tab, server.url)
    channel, urgent = fresh("note"), fresh("note")
    tab.evaluate(
        """([channel, urgent]) => {
          const [clock, notes, unread] = [recorder(), recorder(), recorder()];
          Object.assign(globalThis, { clock: clock.calls, notes: notes.calls, unread: unread.calls });
          live.feed(urgent, { every: true, hidden: "deliver" }).onValue(unread.listener);
          live.feed("clock").onValue(clock.listener);
          live.feed(channel, { every: true }).onValue(notes.listener);
        }""",
        [channel, urgent],
    )
    wait_for_watchers(server, "/note/{name}", 2)
    publish(server, channel, 0)
    tab.wait_for_function("clock.length > 10 && notes.length === 1")
    other = hide(tab)
    before = tab.evaluate("[clock.length, notes.length]")
    wait_until_held_back(server, "/clock")
    publish(server, channel, *range(1, 1_000))
    publish(server, urgent, *range(100))
    wait_for(server, lambda seen: tab.evaluate("unread.length") == 100)
    wait_until_held_back(server, "/clock")
    assert tab.evaluate("[clock.length, notes.length]") == before
    shown = tab.evaluate("() => { clock.length = 0; return Date.now(); }")
    tab.bring_to_front()
    old, _ = split(tab, "clock", shown)
    assert old < WINDOW
    tab.wait_for_function("notes.length === 1000")
    assert tab.evaluate("notes.every(({ value }, index) => value === index)")
    other.close()


def test_page_comes_back_from_the_cache(tab: Page, server: Server) -> None:
    """A page that is left closes its connection; shown again, it is the same page, and reconnects by itself.

    A run that was going on has ended with an error.
    """
    open_page(tab, server.url)
    tab.evaluate(
        """() => {
          const { calls, listener } = recorder();
          globalThis.got = calls;
          addEventListener("pageshow", (event) => { globalThis.persisted = event.persisted; });
          live.feed("clock").onValue(listener);
          globalThis.reading = read(live.stream("endless/cached", undefined, { params: { pause: 0.01 } }));
        }"""
    )
    tab.wait_for_function("got.length > 5")
    wait_for(server, lambda seen: seen["made"].get("cached", 0) > 5)
    tab.goto(f"{server.url}/elsewhere")
    wait_for_watchers(server, "/clock", 0)
    wait_for(server, lambda seen: seen["lanes"].get("uvicorn", 0) == 0 and seen["runs"] == 0)
    tab.go_back(wait_until="commit")  # a page from the cache does not load
    tab.wait_for_function("globalThis.persisted")
    split(tab, "got", tab.evaluate("Date.now()"))
    assert tab.evaluate("live.status.current.state") == "connected"
    assert state(server)["watchers"] == {"/clock": 1}
    assert tab.evaluate("reading")["error"]["ours"]
