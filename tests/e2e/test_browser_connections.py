"""The browser client in Chromium: connections that are cut, and servers that restart."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import pytest
from playwright.sync_api import ConsoleMessage, Error, Page, expect

from tests.e2e.browser_page import APP, fresh, open_page, publish, tell, wait_for, wait_for_watchers, wait_until_left
from tests.sdk.gate import Gate
from tests.servers import Server, serve


class Site:
    """A server that can restart, and the gate through which pages reach it; a context manager."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.server: Server = self._stack.enter_context(serve(APP))
        self.gate = self._stack.enter_context(Gate(self.server.port))
        return self

    def __exit__(self, *exception: object) -> None:
        assert "Traceback" not in self.server.output()
        self._stack.close()

    def start_again(self) -> None:
        """Start the stopped server again at the same address."""
        self.server = self._stack.enter_context(serve(APP, port=self.server.port))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Return the site of all tests here."""
    with Site() as site:
        yield site


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


@pytest.fixture
def opened(page: Page, site: Site) -> Iterator[Page]:
    """Open the page, connected through the gate; it writes nothing to the console itself."""
    said: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        said.append(message.text)

    def on_error(error: Error) -> None:
        said.append(str(error))

    wait_until_left(site.server)
    page.on("console", on_console)
    page.on("pageerror", on_error)
    open_page(page, site.gate.url)
    yield page
    site.gate.open()
    page.goto("about:blank")
    page.remove_listener("console", on_console)
    page.remove_listener("pageerror", on_error)
    # The browser itself reports a WebSocket that could not connect; no page can prevent that.
    assert [text for text in said if not text.startswith("WebSocket connection to")] == []


def listen(page: Page, channel: str, options: dict[str, Any], name: str = "got") -> None:
    """Record the values of a feed, and its losses."""
    page.evaluate(
        """([channel, options, name]) => {
          const { calls, listener } = recorder();
          const losses = recorder();
          Object.assign(globalThis, { [name]: calls, losses: losses.calls });
          const feed = live.feed(channel, options);
          feed.onValue(listener);
          feed.onLoss(losses.listener);
        }""",
        [channel, options, name],
    )


def values(page: Page, name: str = "got") -> list[Any]:
    """Return the values received, in order."""
    came: list[Any] = page.evaluate(f"{name}.map(({{ value }}) => value)")
    return came


def wait_for_state(page: Page, state: str) -> None:
    """Return when the connection is in a state."""
    page.wait_for_function("(state) => live.status.current.state === state", arg=state)


def test_status_tells_what_happens(opened: Page, site: Site) -> None:
    """The status goes from connecting to connected, is stale with a reason while the connection is lost, and back."""
    wait_for_state(opened, "connected")
    site.gate.shut()
    wait_for_state(opened, "stale")
    assert opened.evaluate("live.status.current.reason") == "The connection was lost; trying again."
    site.gate.open()
    wait_for_state(opened, "connected")
    opened.evaluate("live.close()")
    seen = opened.evaluate("states.map(({ state, since }) => [state, since])")
    assert [state for state, _ in seen] == ["connecting", "connected", "stale", "connected", "closed"]
    assert [since for _, since in seen] == sorted(since for _, since in seen)


def test_status_of_a_feed_outlives_its_listeners(opened: Page, site: Site) -> None:
    """A listener of a feed's status is also notified after other listeners have left and new ones came."""
    channel = fresh("note")
    opened.evaluate(
        """(channel) => {
          globalThis.feed = live.feed(channel);
          globalThis.seen = [];
          feed.status.subscribe(({ state }) => seen.push(state));
          globalThis.stop = feed.onValue(() => {});
        }""",
        channel,
    )
    wait_for_watchers(site.server, "/note/{name}", 1)
    opened.evaluate("() => stop()")
    wait_for_watchers(site.server, "/note/{name}", 0)
    opened.evaluate("() => { feed.onValue(() => {}); }")
    wait_for_watchers(site.server, "/note/{name}", 1)
    opened.wait_for_function("seen.at(-1) === 'connected' && feed.status.current.state === 'connected'")
    site.gate.shut()
    opened.wait_for_function("seen.at(-1) === 'stale'")
    site.gate.open()
    opened.wait_for_function("seen.at(-1) === 'connected'")


def test_client_that_is_sent_away_is_closed(opened: Page, site: Site) -> None:
    """A client that the server disconnects for good has the server's reason in its status."""
    tell(site.server, "disconnect?code=3501&reason=enough")
    wait_for_state(opened, "closed")
    why = opened.evaluate("[live.status.current.code, live.status.current.reason]")
    assert why == [3501, "The server has closed the connection: enough."]


def test_addresses(opened: Page, site: Site) -> None:
    """A page may name the server's full address or its path, and pass options to the SDK."""
    seen = opened.evaluate(
        """async () => {
          const addresses = ["/live/websocket", `${location.origin}/live/websocket`, { sdk: { name: "page" } }];
          const results = [];
          for (const address of addresses) {
            const other = connect(address);
            results.push(await other.call("add", { a: 2, b: 3 }));
            other.close();
          }
          return results;
        }"""
    )
    assert seen == [5, 5, 5]


def test_log_is_resumed_without_loss(opened: Page, site: Site) -> None:
    """Values published while the connection is lost arrive afterwards, none missing and none duplicated."""
    channel = fresh("note")
    listen(opened, channel, {"every": True})
    wait_for_watchers(site.server, "/note/{name}", 1)
    publish(site.server, channel, *range(50))
    opened.wait_for_function("got.length === 50")
    site.gate.shut()
    wait_for_state(opened, "stale")
    publish(site.server, channel, *range(50, 200))
    site.gate.open()
    opened.wait_for_function("got.length >= 200")
    publish(site.server, channel, 200)
    opened.wait_for_function("got.at(-1).value === 200")
    assert values(opened) == list(range(201))
    assert opened.evaluate("losses.length") == 0


def test_connection_cut_under_load(opened: Page, site: Site) -> None:
    """A connection that is cut repeatedly while 2,000 values are published loses and duplicates none."""
    channel = fresh("note")
    listen(opened, channel, {"every": True})
    wait_for_watchers(site.server, "/note/{name}", 1)
    for first in range(0, 2_000, 500):
        publish(site.server, channel, *range(first, first + 500), pause=0.0001)
        site.gate.cut()
    opened.wait_for_function("got.at(-1)?.value === 1999")
    assert values(opened) == list(range(2_000))


def test_newest_comes_at_once_after_a_loss(opened: Page, site: Site) -> None:
    """The newest value of a conflated feed arrives as soon as the connection is restored."""
    channel = fresh("price")
    listen(opened, channel, {})
    wait_for_watchers(site.server, "/price/{name}", 1)
    publish(site.server, channel, 1)
    opened.wait_for_function("got.length === 1")
    site.gate.shut()
    wait_for_state(opened, "stale")
    publish(site.server, channel, 2, 3, 4)
    site.gate.open()
    opened.wait_for_function("got.at(-1).value === 4")
    assert values(opened) == [1, 4]


def test_table_is_whole_after_a_loss(opened: Page, site: Site) -> None:
    """Rows that were removed and changed while the connection was lost are correct afterwards."""
    channel = fresh("table")
    opened.evaluate(
        "(channel) => { globalThis.table = live.table(channel); table.onChange(() => {}); }",
        channel,
    )
    wait_for_watchers(site.server, "/table/{name}", 1)
    publish(site.server, channel, {"symbol": "A", "price": 1}, {"symbol": "B", "price": 2})
    opened.wait_for_function("table.rows.size === 2")
    site.gate.shut()
    wait_for_state(opened, "stale")
    publish(site.server, channel, {"symbol": "A", "price": 5}, {"symbol": "C", "price": 6})
    tell(site.server, f"remove?name={channel.partition('/')[2]}&symbol=B")
    site.gate.open()
    opened.wait_for_function("table.rows.get('C')?.price === 6")
    prices = opened.evaluate("[...table.rows].map(([key, row]) => [key, row.price]).sort()")
    assert prices == [["A", 5], ["C", 6]]


def test_loss_beyond_the_log_is_told(opened: Page, site: Site) -> None:
    """If more was missed than the log keeps, the page learns that values are lost, and continues."""
    channel = fresh("few")
    listen(opened, channel, {"every": True})
    wait_for_watchers(site.server, "/few/{name}", 1)
    publish(site.server, channel, 0)
    opened.wait_for_function("got.length === 1")
    site.gate.shut()
    wait_for_state(opened, "stale")
    for value in range(1, 40):
        publish(site.server, channel, value)
    site.gate.open()
    opened.wait_for_function("losses.length > 0")
    assert opened.evaluate("losses.map(({ value }) => value)") == [None]
    publish(site.server, channel, 40)
    opened.wait_for_function("got.at(-1).value === 40")
    came = values(opened)
    assert came == sorted(set(came))


def test_page_that_falls_behind_a_log_is_told(opened: Page, site: Site) -> None:
    """A page that was blocked for longer than the log lasts learns that values are lost, and continues."""
    channel = fresh("few")
    listen(opened, channel, {"every": True})
    wait_for_watchers(site.server, "/few/{name}", 1)
    publish(site.server, channel, -1)
    opened.wait_for_function("got.length === 1")
    opened.evaluate("(channel) => blockingPublish(channel, [...Array(1_000).keys()], 0.001)", channel)
    opened.wait_for_function("losses.length > 0")
    wait_for_watchers(site.server, "/few/{name}", 1)
    publish(site.server, channel, 1_000)
    opened.wait_for_function("got.at(-1).value === 1_000")
    came = values(opened)
    assert came == sorted(set(came))
    assert len(came) < 1_002
    assert opened.evaluate("losses.map(({ value }) => value)") == [None]


def test_run_that_is_cut_ends_with_an_error(opened: Page, site: Site) -> None:
    """A stream whose connection is lost in the middle throws, has values of one run only, and can run again."""
    name = fresh("endless")
    opened.evaluate(
        """(path) => {
          globalThis.values = [];
          globalThis.reading = (async () => {
            for await (const value of live.stream(path, undefined, { params: { pause: 0.001 } })) values.push(value);
          })();
          globalThis.ended = failure(reading);
        }""",
        name,
    )
    opened.wait_for_function("values.length > 20")
    site.gate.cut()
    error = opened.evaluate("ended")
    assert error["ours"]
    assert "lost" in error["message"]
    assert name in error["message"]
    came = opened.evaluate("values")
    assert came == list(range(1, len(came) + 1))
    wait_for(site.server, lambda seen: name.partition("/")[2] in seen["ended"] and seen["runs"] == 0)
    wait_for_state(opened, "connected")
    assert opened.evaluate("read(live.stream('talk', 'once more'))") == {"values": ["ONCE", "MORE"], "error": None}
    assert opened.evaluate("values.length") == len(came)


def test_call_waits_for_the_connection(opened: Page, site: Site) -> None:
    """A call made while the connection is lost is answered afterwards or rejected; it never hangs."""
    site.gate.shut()
    wait_for_state(opened, "stale")
    opened.evaluate(
        """() => {
          globalThis.called = live.call("add", { a: 1, b: 2 }).then((sum) => ({ sum }), (error) => ({
            ours: error.name === "WirespeedError" }));
        }"""
    )
    site.gate.open()
    assert opened.evaluate("called") in ({"sum": 3}, {"ours": True})


def test_feeds_come_back_with_the_server(opened: Page, site: Site) -> None:
    """When the server restarts, feeds and tables recover by themselves, and calls work."""
    listen(opened, "clock", {})
    opened.evaluate("() => { globalThis.table = live.table('table/restart'); table.onChange(() => {}); }")
    publish(site.server, "table/restart", {"symbol": "A", "price": 1}, {"symbol": "B", "price": 1})
    opened.wait_for_function("got.length > 5 && table.rows.size === 2")
    site.server.stop()
    wait_for_state(opened, "stale")
    site.start_again()
    wait_for_state(opened, "connected")
    wait_for_watchers(site.server, "/clock", 1)
    wait_for_watchers(site.server, "/table/{name}", 1)
    publish(site.server, "table/restart", {"symbol": "B", "price": 2})
    opened.wait_for_function("table.rows.size === 1 && table.rows.get('B').price === 2")
    count = opened.evaluate("got.length")
    opened.wait_for_function("(count) => got.length > count + 5", arg=count)
    assert opened.evaluate("live.call('add', { a: 1, b: 2 })") == 3


def test_growing_text_survives_a_cut(opened: Page, site: Site) -> None:
    """A page shows the whole text and the whole rows, whatever was appended before, during and after a lost
    connection, and gets each piece once."""
    text, rows = fresh("answer"), fresh("chat")
    append = partial(tell, site.server, "append")
    publish(site.server, text, "Once ")
    publish(site.server, rows, {"id": 1, "text": "a"})
    opened.evaluate(
        """([text, rows]) => {
          live.feed(text).bind(document.querySelector("#bound"));
          globalThis.table = live.table(rows);
          table.onChange(() => {});
        }""",
        [text, rows],
    )
    expect(opened.locator("#bound")).to_have_text("Once ")
    append({"channel": text, "values": [f"{number} " for number in range(100)], "pause": 0.001})
    append({"channel": rows, "values": [[1, "b"], [1, "c"]]})
    whole = "Once " + "".join(f"{number} " for number in range(100))
    expect(opened.locator("#bound")).to_have_text(whole.strip())
    opened.wait_for_function("table.rows.get('1')?.text === 'abc'")
    site.gate.shut()
    wait_for_state(opened, "stale")
    append({"channel": text, "values": ["in the ", "dark "]})
    append({"channel": rows, "values": [[1, "d"]]})
    site.gate.open()
    expect(opened.locator("#bound")).to_have_text(f"{whole}in the dark")
    append({"channel": text, "values": ["<b>night</b>"]})
    append({"channel": rows, "values": [[1, "e"]]})
    expect(opened.locator("#bound")).to_have_text(f"{whole}in the dark <b>night</b>")
    opened.wait_for_function("table.rows.get('1')?.text === 'abcde'")
