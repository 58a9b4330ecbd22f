"""The browser client in Chromium while the server has lost its broker: the page knows that it shows old values."""

from playwright.sync_api import Page

from tests.brokers.valkey import Valkey
from tests.e2e.browser_page import APP, open_page, publish
from tests.servers import serve

WATCH = """() => {
  globalThis.states = [];
  globalThis.shown = undefined;
  const feed = live.feed("price/a");
  feed.onValue((value) => { globalThis.shown = value; });
  feed.status.subscribe(({ state, reason }) => states.push(reason ? `${state}: ${reason}` : state));
}"""


def test_page_knows_that_the_broker_is_away(page: Page, valkey: Valkey, complaints: list[str]) -> None:
    """The connection stays, the feed is stale and keeps its value; when the broker is back, new values arrive."""
    with serve(APP, env={"WIRESPEED_BROKER": f"redis://127.0.0.1:{valkey.port}"}) as app:
        open_page(page, app.url)
        page.evaluate(WATCH)
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
