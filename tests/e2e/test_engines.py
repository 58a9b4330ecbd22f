"""The promises of the browser client in Chromium, Firefox and WebKit, without a driver that listens to the network."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.engines import ENGINES, Engine, Page
from tests.e2e.browser_page import APP, fresh, publish, state, tell, wait_for, wait_for_watchers, wait_until_left
from tests.sdk.gate import Gate
from tests.servers import Server, serve

VALUES = 15_000
"""More than the log keeps."""
WINDOW = 60
"""More values than a page receives ahead of its acknowledgements."""
UNTIL = """(condition, argument) => {
  const holds = new Function("argument", `return ${condition}`);
  return new Promise((resolve) => {
    const look = () => (holds(argument) ? resolve(true) : setTimeout(look, 10));
    look();
  });
}"""
RECORD = """(channel, options) => {
  const [values, losses, batches] = [recorder(), recorder(), recorder()];
  Object.assign(globalThis, { got: values.calls, losses: losses.calls, batches: batches.calls });
  const feed = live.feed(channel, options);
  feed.onLoss(losses.listener);
  if (options.every) feed.onBatch((each) => (batches.listener(each.length), each.forEach(values.listener)));
  else feed.onValue(values.listener);
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def gate(server: Server) -> Iterator[Gate]:
    """Let a test cut the connections of its page."""
    with Gate(server.port) as gate:
        yield gate


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Run a browser."""
    with ENGINES[request.param]() as engine:
        yield engine


@pytest.fixture(scope="module")
def tab(engine: Engine) -> Iterator[Page]:
    """Open the one tab of a browser's tests: a tab of its own needs a process."""
    with engine.open("about:blank") as tab:
        yield tab


@pytest.fixture
def page(tab: Page, server: Server, gate: Gate) -> Iterator[Page]:
    """Open the page, connected; nothing is uncaught in it at the end."""
    wait_until_left(server)
    tab.go(f"{gate.url}/page")
    until(tab, "globalThis.isReady && live.status.current.state === 'connected'")
    tab.call("() => { globalThis.uncaught = []; addEventListener('error', ({ message }) => uncaught.push(message)); }")
    yield tab
    uncaught = tab.call("() => uncaught")
    tab.go("about:blank")
    assert uncaught == []


def until(page: Page, condition: str, argument: object = None) -> None:
    """Return when a condition holds in the page."""
    page.call(UNTIL, condition, argument)


def get(page: Page, expression: str) -> Any:
    """Return the value of an expression in the page."""
    return page.call(f"() => ({expression})")


def values(page: Page) -> list[Any]:
    """Return all values that the page has received."""
    came: list[Any] = get(page, "got.map(({ value }) => value)")
    return came


def listen(page: Page, server: Server, channel: str, **options: object) -> None:
    """Record the values of a feed; return when the server knows."""
    page.call(RECORD, channel, options)
    wait_for_watchers(server, f"/{channel.partition('/')[0]}/{{name}}", 1)


def test_newest_value_at_paint_rate(page: Page) -> None:
    """The page is given the newest of 10,000 changes per second, at most once per animation frame, in order."""
    page.call(RECORD, "clock", {})
    until(page, "got.length >= 30")
    frames, numbers = get(page, "[got.map(({ frame }) => frame), got.map(({ value }) => value.number)]")
    assert len(set(frames)) == len(frames)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 20 * len(numbers)


def test_every_value_without_a_gap(page: Page, server: Server) -> None:
    """With ``every``, none of many values is missing or duplicated, and a frame has one batch at most."""
    channel = fresh("note")
    listen(page, server, channel, every=True)
    for first in range(0, VALUES, 5_000):
        publish(server, channel, *range(first, first + 5_000))
        until(page, "got.length > argument", first)
    until(page, "got.length >= argument", VALUES)
    assert values(page) == list(range(VALUES))
    frames = get(page, "batches.map(({ frame }) => frame)")
    assert len(set(frames)) == len(frames)


def test_table(page: Page, server: Server) -> None:
    """A table is complete at the start, and follows changes and removals."""
    channel = fresh("table")
    publish(server, channel, {"symbol": "A", "price": 1}, {"symbol": "B", "price": 2})
    page.call("(channel) => { globalThis.table = live.table(channel); table.onChange(() => {}); }", channel)
    until(page, "table.rows.size === 2")
    publish(server, channel, {"symbol": "B", "price": 3}, {"symbol": "C", "price": 4})
    tell(server, f"remove?name={channel.partition('/')[2]}&symbol=A")
    until(page, "table.rows.size === 2 && table.rows.has('C')")
    assert get(page, "[...table.rows].map(([key, row]) => [key, row.price])") == [["B", 3], ["C", 4]]


def test_stream_has_all_values(page: Page) -> None:
    """A loop over a stream receives its 10,000 values in order, and ends."""
    seen = page.call("() => read(live.stream('count', { message: 'hello' }))")
    assert seen["error"] is None
    assert [each["number"] for each in seen["values"]] == list(range(1, 10_001))


def test_loop_that_is_left(page: Page, server: Server) -> None:
    """When a loop is left, the generator ends at the server."""
    name = fresh("endless")
    assert page.call("(path) => read(live.stream(path), 3)", name) == {"values": [1, 2, 3], "error": None}
    wait_for(server, lambda seen: name.partition("/")[2] in seen["ended"])


def test_call_and_refusal(page: Page) -> None:
    """A call returns its result, and one that is refused its status and detail."""
    assert page.call("() => live.call('add', { a: 1, b: 2 })") == 3
    refused = "() => live.call('add', { a: 418, b: 2 }).catch(({ status, detail }) => [status, detail])"
    assert page.call(refused) == [418, "I am a teapot."]


def test_lost_connection(page: Page, server: Server, gate: Gate) -> None:
    """Values published while the connection is lost arrive afterwards, once; the status is stale meanwhile."""
    channel = fresh("note")
    listen(page, server, channel, every=True)
    publish(server, channel, *range(50))
    until(page, "got.length === 50")
    gate.shut()
    try:
        until(page, "live.status.current.state === 'stale'")
        assert get(page, "live.status.current.reason") == "The connection was lost; trying again."
        publish(server, channel, *range(50, 200))
    finally:
        gate.open()
    page.call("() => live.reconnect()")
    until(page, "got.length >= 200")
    assert values(page) == list(range(200))
    assert get(page, "losses.length") == 0


def test_blocked_page_is_fresh_again(page: Page, server: Server) -> None:
    """A page that was blocked while the server made hundreds of values receives few of them, and then new ones."""
    page.call(RECORD, "clock", {})
    until(page, "got.length > 20")
    sent, end = page.call(
        """() => {
          const before = delivered("/clock");
          block(2_000);
          const sent = delivered("/clock") - before;
          got.length = 0;
          return [sent, Date.now()];
        }"""
    )
    assert sent < WINDOW
    until(page, "got.filter(({ value }) => value.at > argument).length >= 10", end)
    made = get(page, "got.map(({ value }) => value.at)")
    assert made == sorted(made)
    assert sum(at <= end for at in made) < WINDOW


def test_hidden_page(page: Page, server: Server) -> None:
    """A hidden page is sent nothing more, except for a feed that asks for it; when shown, it is current."""
    channel, urgent = fresh("note"), fresh("note")
    page.call(RECORD, "clock", {"every": True})
    page.call(
        """(channel, urgent) => {
          const [notes, unread] = [recorder(), recorder()];
          Object.assign(globalThis, { notes: notes.calls, unread: unread.calls });
          live.feed(channel, { every: true }).onValue(notes.listener);
          live.feed(urgent, { every: true, hidden: "deliver" }).onValue(unread.listener);
        }""",
        channel,
        urgent,
    )
    wait_for_watchers(server, "/note/{name}", 2)
    until(page, "got.length > 10")
    page.hide()
    until(page, "document.hidden")
    wait_until_held_back(server)
    before = get(page, "[got.length, notes.length]")
    publish(server, channel, *range(100))
    publish(server, urgent, *range(100))
    until(page, "unread.length === 100")
    wait_until_held_back(server)
    assert get(page, "[got.length, notes.length]") == before
    page.show()
    shown = get(page, "Date.now()")
    until(page, "got.length && got.at(-1).value.at > argument && notes.length === 100", shown)


def wait_until_held_back(server: Server) -> None:
    """Return when the server has stopped sending a feed that changes all the time."""
    looks: list[int] = []

    def stands_still(seen: dict[str, Any]) -> bool:
        looks.append(seen["delivered"]["/clock"])
        return len(looks) > 10 and all(one == other for one, other in pairwise(looks[-10:]))

    wait_for(server, stands_still)


def test_page_that_is_closed(page: Page, server: Server) -> None:
    """A client that is closed leaves nothing at the server."""
    page.call(RECORD, fresh("note"), {})
    wait_for_watchers(server, "/note/{name}", 1)
    page.call("() => live.close()")
    wait_for_watchers(server, "/note/{name}", 0)
    assert get(page, "live.status.current.state") == "closed"
    assert state(server)["runs"] == 0
