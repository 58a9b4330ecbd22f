"""The browser client in Chromium: feeds and tables, painted."""

import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser_page import (
    APP,
    fresh,
    open_page,
    publish,
    state,
    tell,
    wait_for,
    wait_for_watchers,
    wait_until_left,
)
from tests.servers import Server, serve

CLIENT_SIZE = 35_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


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


def watch(page: Page, server: Server, channel: str, listen: str, name: str = "got") -> None:
    """Run ``listen`` with the feed and a recorder, whose calls become ``name``; return when the server knows."""
    kind = channel.partition("/")[0]
    before = state(server)["watchers"].get(f"/{kind}/{{name}}", 0)
    page.evaluate(
        """([channel, listen, name]) => {
          const { calls, listener } = recorder();
          globalThis[name] = calls;
          globalThis.stop = new Function("channel", "listener", `return ${listen}`)(channel, listener);
        }""",
        [channel, listen, name],
    )
    wait_for_watchers(server, f"/{kind}/{{name}}", before + 1)


def got(page: Page, count: int, name: str = "got") -> list[Any]:
    """Return the recorder's calls, once there are at least this many."""
    page.wait_for_function("([name, count]) => globalThis[name].length >= count", arg=[name, count])
    values: list[Any] = page.evaluate(f"{name}.map(({{ value }}) => value)")
    return values


def frames(page: Page, name: str = "got") -> list[float]:
    """Return the animation frame of each call of the recorder."""
    found: list[float] = page.evaluate(f"{name}.map(({{ frame }}) => frame)")
    return found


def test_bound_value_is_newest_at_paint_rate(opened: Page, server: Server) -> None:
    """The page paints the newest of 10,000 changes per second, at most once per animation frame, in order."""
    opened.evaluate(
        """() => {
          const { calls, listener } = recorder();
          globalThis.got = calls;
          const show = (moment) => { listener(moment.number); return `Number ${moment.number}`; };
          globalThis.stop = live.feed("clock").bind(document.querySelector("#bound"), show);
        }"""
    )
    numbers = got(opened, 30)
    painted = frames(opened)
    assert len(set(painted)) == len(painted)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 20 * len(numbers)
    last = opened.evaluate("() => { stop(); return got.at(-1).value; }")
    expect(opened.locator("#bound")).to_have_text(f"Number {last}")
    wait_for_watchers(server, "/clock", 0)


def test_bound_value_is_text(opened: Page, server: Server) -> None:
    """Markup in a value is shown as text and creates no elements."""
    channel = fresh("price")
    watch(opened, server, channel, "live.feed(channel).bind(document.querySelector('#bound'))")
    publish(server, channel, "<b>bold</b>")
    expect(opened.locator("#bound")).to_have_text("<b>bold</b>")
    assert opened.locator("#bound > *").count() == 0


def test_newest_value_is_given_to_listeners(opened: Page, server: Server) -> None:
    """A listener without ``every`` is called once per paint with the newest value, which ``value`` has as well."""
    channel = fresh("price")
    watch(opened, server, channel, "live.feed(channel).onValue(listener)")
    publish(server, channel, *range(500))
    opened.wait_for_function("got.at(-1)?.value === 499")
    numbers, painted = got(opened, 1), frames(opened)
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 400
    assert len(set(painted)) == len(painted)
    assert opened.evaluate("(channel) => live.feed(channel).value", channel) == 499


def test_every_value_comes_in_batches(opened: Page, server: Server) -> None:
    """With ``every`` none of 10,000 values is missing or duplicated, all in order, in one call per paint."""
    channel = fresh("note")
    watch(opened, server, channel, "live.feed(channel, { every: true }).onBatch(listener)")
    publish(server, channel, *range(5_000))
    publish(server, channel, *range(5_000, 10_000))
    opened.wait_for_function("got.at(-1)?.value.at(-1) === 9999")
    batches, painted = got(opened, 1), frames(opened)
    assert [value for batch in batches for value in batch] == list(range(10_000))
    assert len(set(painted)) == len(painted)


def test_every_value_is_given_to_listeners(opened: Page, server: Server) -> None:
    """With ``every`` a listener of single values receives all of them in order."""
    channel = fresh("note")
    watch(opened, server, channel, "live.feed(channel, { every: true }).onValue(listener)")
    publish(server, channel, *range(1_000))
    assert got(opened, 1_000) == list(range(1_000))


def test_falsy_values_are_values(opened: Page, server: Server) -> None:
    """Null, zero, false and empty values arrive like all others."""
    channel = fresh("note")
    watch(opened, server, channel, "live.feed(channel, { every: true }).onValue(listener)")
    publish(server, channel, None, 0, False, "", [], {}, None)
    assert got(opened, 7) == [None, 0, False, "", [], {}, None]
    assert opened.evaluate("got[6].value") is None


def test_listener_that_throws_harms_nobody(page: Page, server: Server, complaints: list[str]) -> None:
    """A listener's exception is reported as uncaught, and other listeners receive their values, now and later."""
    open_page(page, server.url)
    channel = fresh("note")
    page.evaluate("(channel) => { live.feed(channel).onValue(() => { throw new Error('mine'); }); }", channel)
    page.evaluate(
        """(channel) => {
          const { calls, listener } = recorder();
          globalThis.got = calls;
          live.feed(channel, { every: true }).onValue(listener);
        }""",
        channel,
    )
    wait_for_watchers(server, "/note/{name}", 1)
    publish(server, channel, 1)
    assert got(page, 1) == [1]
    publish(server, channel, 2)
    assert got(page, 2) == [1, 2]
    page.evaluate("painted()")
    assert complaints == ["uncaught: mine", "uncaught: mine"]


def test_consumers_share_a_subscription(opened: Page, server: Server) -> None:
    """Two feeds of one path are one watcher, which leaves with the last listener."""
    channel = fresh("note")
    watch(opened, server, channel, "live.feed(channel, { every: true }).onBatch(listener)")
    opened.evaluate(
        """(channel) => {
          const { calls, listener } = recorder();
          globalThis.other = calls;
          globalThis.stopOther = live.feed(channel).onValue(listener);
        }""",
        channel,
    )
    publish(server, channel, 1)
    assert got(opened, 1, "other") == [1]
    assert state(server)["watchers"] == {"/note/{name}": 1}
    opened.evaluate("stop()")
    publish(server, channel, 2)
    assert got(opened, 2, "other") == [1, 2]
    assert got(opened, 1) == [[1]]
    opened.evaluate("stopOther()")
    wait_for_watchers(server, "/note/{name}", 0)


def test_table_is_kept_up_to_date(opened: Page, server: Server) -> None:
    """A table has its rows, reports changes and removals once per paint, and is complete at the start."""
    channel = fresh("table")
    name = channel.partition("/")[2]
    publish(server, channel, {"symbol": "A", "price": 1}, {"symbol": "B", "price": 2})
    listen = "(globalThis.table = live.table(channel)).onChange((changed, rows) => listener([[...changed], rows.size]))"
    watch(opened, server, channel, listen)
    opened.wait_for_function("table.rows.size === 2")
    publish(server, channel, {"symbol": "B", "price": 3}, {"symbol": "C", "price": 4})
    opened.wait_for_function("table.rows.size === 3")
    opened.evaluate("got.length = 0")
    tell(server, f"remove?name={name}&symbol=A")
    assert got(opened, 1) == [[[["A", None]], 2]]
    assert opened.evaluate("got[0].value[0][0][1] === undefined")
    rows = opened.evaluate("[...table.rows]")
    assert rows == [["B", {"symbol": "B", "price": 3}], ["C", {"symbol": "C", "price": 4}]]


def test_table_is_painted_once_per_frame(opened: Page, server: Server) -> None:
    """Many changes of many rows arrive in one call per paint, each row at most once in it."""
    channel = fresh("table")
    listen = "(globalThis.table = live.table(channel)).onChange((changed) => listener([...changed.keys()]))"
    watch(opened, server, channel, listen)
    changes = [{"symbol": f"S{each % 50}", "price": each} for each in range(2_000)]
    publish(server, channel, *changes[:1_000])
    publish(server, channel, *changes[1_000:], pause=0.0001)
    opened.wait_for_function("table.rows.get('S49')?.price === 1999")
    painted = frames(opened)
    assert len(set(painted)) == len(painted)
    assert all(len(set(keys)) == len(keys) for keys in got(opened, 1))


def test_tables_of_one_path_are_both_whole(opened: Page, server: Server) -> None:
    """A table that joins another one of its path has all rows, although they arrived before it."""
    channel = fresh("table")
    publish(server, channel, {"symbol": "A", "price": 1}, {"symbol": "B", "price": 2})
    listen = "(globalThis.table = live.table(channel)).onChange(listener)"
    watch(opened, server, channel, listen)
    opened.wait_for_function("table.rows.size === 2")
    opened.evaluate(
        """(channel) => {
          globalThis.second = live.table(channel);
          second.onChange(() => {});
        }""",
        channel,
    )
    publish(server, channel, {"symbol": "B", "price": 3})
    opened.wait_for_function("second.rows.get('B')?.price === 3")
    assert opened.evaluate("[...second.rows.keys()].sort()") == ["A", "B"]
    assert state(server)["watchers"]["/table/{name}"] == 1


def test_losses_are_counted(opened: Page, server: Server) -> None:
    """A blocked page learns how many values of a skipping log it has lost: with those it received, that is all."""
    channel = fresh("skips")
    watch(opened, server, channel, "live.feed(channel, { every: true }).onValue(listener)")
    opened.evaluate(
        """(channel) => {
          globalThis.lost = 0;
          live.feed(channel, { every: true }).onLoss((count) => { lost += count; });
        }""",
        channel,
    )
    publish(server, channel, -1)
    got(opened, 1)
    opened.evaluate("(channel) => blockingPublish(channel, [...Array(1_000).keys()], 0.001)", channel)
    opened.wait_for_function("got.at(-1).value === 999")
    numbers = got(opened, 1)
    assert numbers == sorted(set(numbers))
    lost = opened.evaluate("lost")
    assert lost > 30
    assert lost + len(numbers) == 1_001


def test_parameters_of_a_feed(opened: Page) -> None:
    """Parameters are part of a feed's query, and validated by the server."""
    opened.evaluate(
        """() => {
          const { calls, listener } = recorder();
          globalThis.got = calls;
          live.feed("/number/7", { params: { times: 3 }, maxRate: 60 }).onValue(listener);
        }"""
    )
    assert got(opened, 1) == [21]


def test_status_of_a_feed(opened: Page) -> None:
    """A feed reports when it is live and when it is complete."""
    opened.evaluate(
        """() => {
          globalThis.seen = [];
          const feed = live.feed("short", { every: true });
          feed.status.subscribe((status) => seen.push(status.state));
          const { calls, listener } = recorder();
          globalThis.got = calls;
          feed.onValue(listener);
        }"""
    )
    assert got(opened, 3) == [0, 1, 2]
    opened.wait_for_function("seen.at(-1) === 'complete' || seen.at(-1) === 'closed'")


def test_failing_and_complete_feed(opened: Page, server: Server) -> None:
    """A page sees why the source fails, and the end; another one comes late and gets the values and the end."""
    watching = """() => {
      globalThis.seen = [];
      const feed = live.feed("unsteady", { every: true });
      feed.status.subscribe(({ state, reason }) => seen.push(state === "failing" ? `${state}: ${reason}` : state));
      const { calls, listener } = recorder();
      globalThis.got = calls;
      feed.onValue(listener);
    }"""
    failing = ["failing: The exchange is closed.", "connected"]
    for states in (failing, []):
        opened.evaluate(watching)
        assert got(opened, 2) == [1, 2]
        opened.wait_for_function("seen.at(-1) === 'closed'")
        assert opened.evaluate("seen") == ["connecting", "connected", *states, "closed"]
        open_page(opened, server.url)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("nowhere", 102, "nowhere"),
        ("number/seven", 107, "number"),
        ("guarded", 101, "guarded"),
    ],
)
def test_refused_feed_tells_in_its_status(opened: Page, path: str, code: int, words: str) -> None:
    """A refused feed has the error in its status, and the console stays empty if the status has a listener."""
    error = opened.evaluate(
        """(path) => new Promise((resolve) => {
          const feed = live.feed(path);
          feed.status.subscribe(({ error }) => {
            if (error) resolve({ ours: error.name, code: error.code, message: error.message });
          });
          feed.onValue(() => {});
        })""",
        path,
    )
    assert error["code"] == code
    assert words in error["message"]


def test_refused_feed_tells_in_the_console(page: Page, server: Server, complaints: list[str]) -> None:
    """Without a listener of the status, the console says once which feed was refused and why."""
    open_page(page, server.url)
    with page.expect_console_message() as message:
        page.evaluate("() => { live.feed('number/seven').onValue(() => {}); }")
    assert message.value.type == "error"
    assert "number/seven" in message.value.text
    page.evaluate("painted()")
    assert len(complaints) == 1


def test_three_hundred_feeds(opened: Page, server: Server) -> None:
    """300 feeds on one page share one connection, all receive their values, and closing them leaves no watcher."""
    opened.evaluate(
        """() => {
          globalThis.values = new Map();
          globalThis.stops = Array.from({ length: 300 }, (_, number) =>
            live.feed(`number/${number}`).onValue((value) => values.set(number, value)));
        }"""
    )
    opened.wait_for_function("values.size === 300")
    assert opened.evaluate("[...values].every(([number, value]) => number === value)")
    seen = state(server)
    assert seen["watchers"] == {"/number/{number}": 300}
    assert seen["lanes"]["uvicorn"] == 1
    opened.evaluate("stops.forEach((stop) => stop())")
    wait_for_watchers(server, "/number/{number}", 0)


def test_leaving_at_once_leaves_nobody(opened: Page, server: Server) -> None:
    """Listeners that come and go in one turn leave no watcher, and the next one receives its value."""
    opened.evaluate(
        """() => {
          for (let each = 0; each < 10; each += 1) live.feed("number/5").onValue(() => {})();
          const { calls, listener } = recorder();
          globalThis.got = calls;
          globalThis.stop = live.feed("number/5").onValue(listener);
        }"""
    )
    assert got(opened, 1) == [5]
    opened.evaluate("stop()")
    wait_for_watchers(server, "/number/{number}", 0)


def test_coming_and_going_all_the_time(opened: Page, server: Server) -> None:
    """Listeners that leave before, during and after the answer leave no watcher, and the last receives its value."""
    opened.evaluate(
        """async () => {
          for (let wait = 0; wait < 20; wait += 1) {
            const stop = live.feed("number/6").onValue(() => {});
            await new Promise((resolve) => setTimeout(resolve, wait));
            stop();
            await new Promise((resolve) => setTimeout(resolve, wait % 3));
          }
          const { calls, listener } = recorder();
          globalThis.got = calls;
          globalThis.stop = live.feed("number/6").onValue(listener);
        }"""
    )
    assert got(opened, 1) == [6]
    wait_for_watchers(server, "/number/{number}", 1)
    opened.evaluate("stop()")
    wait_for_watchers(server, "/number/{number}", 0)


def test_page_closed_in_the_middle(page: Page, server: Server) -> None:
    """When a busy page is closed, its watchers, runs and connection are gone soon."""
    open_page(page, server.url)
    page.evaluate(
        """() => {
          live.feed("clock").onValue(() => {});
          globalThis.reading = read(live.stream("endless/closed-page", undefined, { params: { pause: 0.001 } }));
        }"""
    )
    wait_for(server, lambda seen: seen["watchers"].get("/clock") == 1 and seen["runs"] == 1)
    page.close()
    seen = wait_for(server, lambda seen: not seen["watchers"] and seen["runs"] == 0)
    assert "closed-page" in seen["ended"]
    wait_for(server, lambda seen: seen["lanes"].get("uvicorn", 0) == 0)


def test_script_is_small_and_cached(server: Server) -> None:
    """The script is JavaScript, under 35 kB with gzip, and not sent again to a browser that has it."""
    url = f"{server.url}/live/wirespeed.js"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
        zipped, headers = answer.read(), answer.headers
    assert headers["content-type"].startswith("text/javascript")
    assert headers["content-encoding"] == "gzip"
    assert len(zipped) < CLIENT_SIZE
    assert b"connect" in gzip.decompress(zipped)
    again = urllib.request.Request(url, headers={"If-None-Match": headers["etag"]})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(again)
    assert refused.value.code == 304
    refused.value.close()


EVERYTHING = """async () => {
  const other = connect();
  const [joined, left, values, said] = [[], [], [], []];
  const room = live.topic("room/all", { every: true });
  room.onValue((value) => values.push(value));
  room.presence.onChange((came, went) => { joined.push(...came); left.push(...went); });
  live.messages.subscribe((message) => said.push(message));
  const until = (condition) => new Promise((resolve) => {
    (function look() { condition() ? resolve() : setTimeout(look, 10); })();
  });
  await until(() => joined.length === 1);
  const stop = other.topic("room/all").onValue(() => {});
  await until(() => joined.length === 2);
  stop();
  await until(() => left.length === 1);
  for (const text of ["a", "b"]) await room.publish({ text });
  await until(() => values.length === 2);
  const { entries: [last], position } = await room.history({ limit: 1, reverse: true });
  const headers = { "Content-Type": "application/json" };
  const post = (path, body) => fetch(`/app/${path}`, { method: "POST", body: JSON.stringify(body), headers });
  await post("send", "hi");
  await until(() => said.length === 1);
  const given = [];
  live.feed("note/given", { every: true }).onValue((value) => given.push(value));
  while (given.length === 0) {
    await post("publish", { channel: "note/given", values: [7] });
    await painted();
  }
  const stream = live.stream("answers");
  const answers = read(stream, 2);
  for (const message of [1, 2]) await stream.send(message);
  const mine = [...room.presence.current.keys()];
  other.close();
  const gone = left.map(({ client }) => client);
  return { values, last, position, said, given: given[0], answers: await answers, mine, gone };
}"""


def test_pages_use_what_the_server_offers(opened: Page, server: Server) -> None:
    """Presence, joins, leaves, messages of the app, history, a channel that the app chose, and duplex streams work."""
    seen = opened.evaluate(EVERYTHING)
    assert seen["values"] == [{"text": "a"}, {"text": "b"}]
    assert (seen["last"]["value"], seen["last"]["offset"]) == ({"text": "b"}, seen["position"]["offset"])
    assert (seen["said"], seen["given"], seen["answers"]) == (["hi"], 7, {"values": [1, 2], "error": None})
    assert len(seen["mine"]) == len(seen["gone"]) == 1
    assert seen["mine"] != seen["gone"]
