"""The browser client in Chromium: streams, calls and messages to topics."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.browser_page import APP, fresh, open_page, state, wait_for, wait_for_watchers, wait_until_left
from tests.servers import Server, serve

HEAP_GROWTH = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here; only /fails leaves a traceback."""
    with serve(APP) as server:
        yield server
        assert server.output().count("Traceback") == server.output().count("RuntimeError: a secret")


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


@pytest.fixture
def opened(page: Page, server: Server, complaints: list[str]) -> Iterator[Page]:
    """Open the page, connected; nothing is in the console at the end."""
    wait_until_left(server)
    open_page(page, server.url)
    yield page
    assert complaints == []


def read(page: Page, path: str, message: Any = None, most: int | None = None) -> Any:
    """Return the values of a stream and the error that ended it, read in a loop in the page."""
    return page.evaluate(
        "([path, message, most]) => read(live.stream(path, message ?? undefined), most ?? Infinity)",
        [path, message, most],
    )


# Checked in the page, because transferring 10,000 objects takes longer than everything else.
IN_ORDER = """(ticks) => ticks.length === 10_000
  && ticks.every((tick, index) => tick.number === index + 1 && tick.message === `hello - ${index + 1}`)"""


def test_loop_gets_all_values(opened: Page) -> None:
    """A loop over a stream receives its 10,000 values in order, and ends."""
    opened.evaluate("async () => { globalThis.seen = await read(live.stream('count', { message: 'hello' })); }")
    assert opened.evaluate("seen.error") is None
    assert opened.evaluate(f"({IN_ORDER})(seen.values)")


def test_batches_have_all_values(opened: Page) -> None:
    """Batches have the same values, in far fewer turns."""
    opened.evaluate(
        "async () => { globalThis.seen = await read(live.stream('/count', { message: 'hello' }).batches()); }"
    )
    assert opened.evaluate("seen.error") is None
    assert opened.evaluate(f"({IN_ORDER})(seen.values.flat())")
    assert opened.evaluate("seen.values.length") < 1_000


def test_two_runs_at_the_same_time(opened: Page) -> None:
    """Two loops over one path are two runs, and each receives all of its own values."""
    seen = opened.evaluate(
        """Promise.all(["a", "b"].map((message) =>
          read(live.stream("count", { message }, { params: { to: 2000 } }))))"""
    )
    for name, each in zip("ab", seen, strict=True):
        assert [tick["message"] for tick in each["values"]] == [f"{name} - {number}" for number in range(1, 2_001)]


def test_text_message(opened: Page) -> None:
    """A stream of text takes and yields text."""
    assert read(opened, "talk", "to be or not") == {"values": ["TO", "BE", "OR", "NOT"], "error": None}


def test_leaving_the_loop_cancels_the_run(opened: Page, server: Server) -> None:
    """When the loop is left, the generator is closed on the server, and its finally has run."""
    name = fresh("endless")
    assert read(opened, name, most=3) == {"values": [1, 2, 3], "error": None}
    seen = wait_for(server, lambda seen: name.partition("/")[2] in seen["ended"])
    assert seen["runs"] == 0


def test_signal_cancels_the_run(opened: Page, server: Server) -> None:
    """Aborting the signal cancels the run and ends the loop."""
    name = fresh("endless")
    opened.evaluate(
        """(path) => {
          globalThis.abort = new AbortController();
          const stream = live.stream(path, undefined, { params: { pause: 0.01 }, signal: abort.signal });
          globalThis.reading = read(stream);
        }""",
        name,
    )
    wait_for(server, lambda seen: seen["made"].get(name.partition("/")[2], 0) > 3)
    opened.evaluate("() => { abort.abort(); return reading; }")
    wait_for(server, lambda seen: name.partition("/")[2] in seen["ended"] and seen["runs"] == 0)


def test_run_begins_with_the_loop(opened: Page, server: Server) -> None:
    """A stream that is not read does not run."""
    name = fresh("endless")
    opened.evaluate("(path) => { globalThis.stream = live.stream(path); }", name)
    assert opened.evaluate("live.call('add', { a: 1, b: 2 })") == 3
    seen = state(server)
    assert name.partition("/")[2] not in seen["made"]
    assert seen["runs"] == 0


def test_slow_reader_holds_the_run_back(opened: Page, server: Server) -> None:
    """An endless run waits for a reader that reads nothing, costs no memory, and continues without a gap."""
    name = fresh("endless")
    key = name.partition("/")[2]
    session = opened.context.new_cdp_session(opened)
    opened.evaluate(
        "async (path) => { globalThis.reader = live.stream(path)[Symbol.asyncIterator](); await reader.next(); }", name
    )
    made = [-1, 0]

    def stands_still(seen: dict[str, Any]) -> bool:
        made.append(seen["made"][key])
        return len(made) > 20 and made[-1] == made[-20]

    wait_for(server, stands_still)
    session.send("HeapProfiler.collectGarbage")
    before = session.send("Runtime.getHeapUsage")["usedSize"]
    gap = opened.evaluate(
        """async (count) => {
          for (let number = 2; number < count; number += 1) {
            const { value } = await reader.next();
            if (value !== number) return [number, value];
          }
          return null;
        }""",
        made[-1] + 1_000,
    )
    assert gap is None
    opened.evaluate("reader.return()")
    wait_for(server, lambda seen: key in seen["ended"])
    session.send("HeapProfiler.collectGarbage")
    assert session.send("Runtime.getHeapUsage")["usedSize"] - before < HEAP_GROWTH


@pytest.mark.parametrize(
    ("path", "message", "values", "code", "words"),
    [
        ("fails", None, [1], 2001, "fails"),
        ("refuses", None, [1], 2409, "No more."),
        ("members", None, [], 101, "Members only."),
        ("nowhere", None, [], 102, "nowhere"),
        ("count", {"wrong": 1}, [], 107, "message"),
    ],
)
def test_failed_stream_throws(opened: Page, path: str, message: Any, values: list[int], code: int, words: str) -> None:
    """A stream's failure follows its values, as a WirespeedError with the path and the reason."""
    seen = read(opened, path, message)
    assert seen["values"] == values
    assert seen["error"]["ours"]
    assert seen["error"]["code"] == code
    assert words in seen["error"]["message"]
    assert path in seen["error"]["message"]
    assert "secret" not in seen["error"]["message"]


def test_call_gives_its_result(opened: Page) -> None:
    """A call returns the function's result."""
    assert opened.evaluate("live.call('/add', { a: 1, b: 2 })") == 3


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ("add", {"a": 418, "b": 0}, "teapot"),
        ("add", {"a": "x"}, "a"),
        ("nowhere", None, "nowhere"),
    ],
)
def test_failed_call_rejects(opened: Page, path: str, data: Any, words: str) -> None:
    """A failing call rejects with a WirespeedError that has a code, the path and the reason."""
    seen = opened.evaluate("([path, data]) => failure(live.call(path, data))", [path, data])
    assert seen["ours"]
    assert seen["code"] > 0
    assert words in seen["message"]
    assert path in seen["message"]


def test_publish_reaches_the_topic(opened: Page, server: Server) -> None:
    """A page's publication reaches the topic's handler, and from there all watchers."""
    channel = fresh("room")
    opened.evaluate(
        """(channel) => {
          const { calls, listener } = recorder();
          globalThis.got = calls;
          live.feed(channel, { every: true }).onValue(listener);
        }""",
        channel,
    )
    wait_for_watchers(server, "/room/{name}", 1)
    opened.evaluate("(channel) => live.publish(channel, { text: 'Hello' })", channel)
    opened.wait_for_function("got.length === 1")
    assert opened.evaluate("got[0].value") == {"text": "Hello"}


@pytest.mark.parametrize(("kind", "data"), [("room", {"refuse": True}), ("note", {"text": "Hello"})])
def test_refused_publication_rejects(opened: Page, kind: str, data: Any) -> None:
    """A publication that the handler refuses, or without a handler, rejects with 103 and the channel."""
    channel = fresh(kind)
    seen = opened.evaluate("([channel, data]) => failure(live.publish(channel, data))", [channel, data])
    assert seen["ours"]
    assert seen["code"] == 103
    assert channel in seen["message"]


def test_page_that_closes_its_client(opened: Page, server: Server) -> None:
    """After ``close`` the status is closed, loops end with an error, and calls are rejected at once."""
    name = fresh("endless")
    opened.evaluate(
        "(path) => { globalThis.reading = read(live.stream(path, undefined, { params: { pause: 0.01 } })); }", name
    )
    wait_for(server, lambda seen: seen["runs"] == 1)
    opened.evaluate("() => live.close()")
    assert opened.evaluate("live.status.current.state") == "closed"
    assert opened.evaluate("reading")["error"]["ours"]
    assert opened.evaluate("Promise.race([failure(live.call('add', { a: 1, b: 2 })), painted()])")["ours"]
    wait_for(server, lambda seen: seen["runs"] == 0)


def test_stream_that_waits_when_its_client_closes(opened: Page, server: Server) -> None:
    """A loop without a value yet also ends with an error when the client is closed."""
    opened.evaluate(
        "() => { globalThis.reading = read(live.stream('endless/slow', undefined, { params: { wait: 60 } })); }"
    )
    wait_for(server, lambda seen: seen["runs"] == 1)
    opened.evaluate("() => live.close()")
    assert opened.evaluate("Promise.race([reading, painted()])")["error"]["ours"]
    wait_for(server, lambda seen: seen["runs"] == 0)
