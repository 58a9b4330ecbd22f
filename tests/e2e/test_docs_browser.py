"""The documentation of the browser client in Chromium: its pages and scripts run, and do what the text says.

Beside the demo, its sections run in the pages; elsewhere there is a picture.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.documents import assembled, blocks, expect_another, number, with_files, write
from tests.servers import ROOT, Server, free_port, serve
from tests.waiting import NEVER


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


# The README


def test_readme(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """The README's page shows two prices that change."""
    (tmp_path / "index.html").write_text(*blocks("README.md", "html", "index.html"))
    with serve(write("README.md", tmp_path)) as server:
        page.goto(server.url)
        expect_another(page.locator("#BTC"))
        expect_another(page.locator("#ETH"))
        page.goto("about:blank")
    assert complaints == []


# The tutorial

TUTORIAL = "docs/tutorial-browser.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the folder of the finished tutorial.

    A run of its page does not end by itself, because a test stops it at any speed; that of ``short.html`` does.
    """
    folder = tmp_path_factory.mktemp("chart")
    main = write(TUTORIAL, folder)
    code = main.read_text()
    assert code.count("sleep(0.01)") == 1
    main.write_text(code.replace("sleep(0.01)", f"sleep(0.01 if day < 300 else {NEVER})"))
    # A test has less time than a reader.
    page = assembled(TUTORIAL).replace("performance.now() + 3000", "performance.now() + 1000")
    assert page.count("days: 300") == 1
    (folder / "index.html").write_text(page)
    (folder / "short.html").write_text(page.replace("days: 300", "days: 20"))
    return folder


@pytest.fixture(scope="module")
def market(folder: Path) -> Iterator[Server]:
    """Serve the tutorial's app."""
    with serve(with_files(folder / "main.py")) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture
def opened(page: Page, market: Server, complaints: list[str]) -> Iterator[Page]:
    """Open the tutorial's page; nothing is in the console at the end."""
    page.goto(market.url)
    expect(page.locator("#state")).to_have_text("connected")
    yield page
    page.goto("about:blank")
    assert complaints == []


def test_tutorial_price_and_chart(opened: Page) -> None:
    """The price moves, the chart is drawn, and both numbers of the trades rise together."""
    expect_another(opened.locator("#BTC"))
    expect_another(opened.locator("#count"))
    drawn = "place => place.getContext('2d').getImageData(0, 0, 600, 200).data.some(Boolean)"
    assert opened.locator("#chart").evaluate(drawn)
    offset = "() => Number(document.getElementById('last').textContent) - document.getElementById('count').textContent"
    before = opened.evaluate(offset)
    expect_another(opened.locator("#count"))
    assert opened.evaluate(offset) == before


def test_tutorial_run(opened: Page, market: Server) -> None:
    """A run continues until it is stopped or complete."""
    result = opened.locator("#result")
    opened.get_by_role("button", name="Test").click()
    expect(result).to_have_text(re.compile(r"^Day \d+: -?\d+(\.\d+)?$"))
    opened.get_by_role("button", name="Stop").click()
    expect(result).to_contain_text("stopped")
    opened.goto(f"{market.url}/files/short.html")
    opened.get_by_role("button", name="Test").click()
    expect(result).to_have_text(re.compile(r"^Day 20: -?\d+(\.\d+)?, done$"))


def test_tutorial_call(opened: Page) -> None:
    """A watched price has a cost; another is refused with the status and text of the exception."""
    expect_another(opened.locator("#BTC"))
    opened.get_by_role("button", name="BTC").click()
    expect(opened.locator("#cost")).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
    opened.get_by_role("button", name="ETH").click()
    expect(opened.locator("#cost")).to_have_text("cost: The price is not being watched, so it is unknown. (409)")


def test_tutorial_blocked_tab(opened: Page) -> None:
    """After a blocked tab, the price is current at once, and no trade is missing."""
    expect_another(opened.locator("#count"))
    before = number(opened.locator("#count"))
    opened.evaluate("document.getElementById('block').click()")
    opened.wait_for_function("Number(document.getElementById('age').textContent) < 500")
    opened.wait_for_function(
        "(count) => Number(document.getElementById('count').textContent) > count", arg=before + 500
    )
    expect(opened.locator("#loss")).to_be_empty()


def test_tutorial_restart(page: Page, folder: Path) -> None:
    """The page shows that it is stale, and why a run ended; then it continues, and shows that trades are missing."""
    port = free_port()
    with serve(folder / "main.py", port=port) as first:
        page.goto(first.url)
        expect_another(page.locator("#count"))
        page.get_by_role("button", name="Test").click()
        expect(page.locator("#result")).to_contain_text("Day")
        first.stop()
        expect(page.locator("#state")).to_contain_text("; trying again.")
        expect(page.locator("#result")).to_contain_text("backtest: the connection was lost in the middle of the run")
    with serve(folder / "main.py", port=port):
        expect(page.locator("#state")).to_have_text("connected")
        expect_another(page.locator("#BTC"))
        expect(page.locator("#loss")).to_have_text("Some trades are missing.")
        expect_another(page.locator("#count"))
        page.goto("about:blank")


def test_tutorial_refused_run(opened: Page) -> None:
    """An invalid message is refused with 107, and the message names the field."""
    error = opened.evaluate(
        """async () => {
          const live = (await import("/live/wirespeed.js")).connect();
          try {
            for await (const _ of live.stream("backtest", { days: 0 }));
          } catch ({ name, code, message }) {
            return { name, code, message };
          } finally {
            live.close();
          }
        }"""
    )
    assert (error["name"], error["code"]) == ("WirespeedError", 107)
    assert "days" in error["message"]


# Plain HTML

PLAIN = "docs/how-to/write-plain-html.md"


def test_plain_html(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """The page runs under its strict policy; under another prefix only its import changes."""
    main = write(PLAIN, tmp_path)
    main.write_text(main.read_text().replace("Live(app)", 'Live(app, prefix="/push")'))
    (tmp_path / "index.html").write_text(*blocks(PLAIN, "html", "index.html"))
    (script,) = blocks(PLAIN, "js", "page.js")
    (tmp_path / "page.js").write_text(script.replace("/live/", "/push/"))
    with serve(main) as server:
        page.goto(server.url)
        expect_another(page.locator("#price"))
        assert page.title() == "Price"
        page.goto("about:blank")
    assert complaints == []


def test_another_origin(page: Page, tmp_path: Path) -> None:
    """A page of another origin loads the file; it connects to that server only if it is admitted there."""
    write(PLAIN, tmp_path)
    origins = ("https://app.example.com", "https://app.example.org")
    for origin in origins:
        page.route(f"{origin}/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        page.context.grant_permissions(["local-network-access"], origin=origin)
    with serve(tmp_path / "other_origin.py") as server:
        page.goto(origins[0])
        page.evaluate(CONNECT, server.url)
        page.wait_for_function("states.at(-1) === 'connected'")
        page.goto(origins[1])
        with page.expect_console_message() as said:
            page.evaluate(CONNECT, server.url)
        assert "403" in said.value.text
        assert set(page.evaluate("states")) == {"connecting"}
        page.goto("about:blank")


CONNECT = """async (url) => {
  globalThis.live = (await import(`${url}/live/wirespeed.js`)).connect();
  globalThis.states = [];
  live.status.subscribe(({ state }) => states.push(state));
}"""


# Authentication of pages

WHO = "docs/how-to/authenticate-browsers.md"
FORM = """<!doctype html><link rel="icon" href="data:,">
<b id="balance"></b> <i id="problem"></i> <button id="login">Log in</button><script type="module">"""


@contextmanager
def served(app: Path, script: str) -> Iterator[Server]:
    """Serve an app with a page, ``/files/page.html``, that has a script."""
    app.with_name("page.html").write_text(f"{FORM}{script}</script>")
    with serve(with_files(app)) as server:
        yield server


def pay(page: Page, server: Server) -> None:
    """Set the balance, which the page then shows."""
    assert page.request.put(f"{server.url}/balance/ada?amount=5").ok
    expect(page.locator("#balance")).to_have_text("5")


def test_cookies(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """Without a session the feed is refused, and the page shows it; after the login it shows the balance."""
    with served(write(WHO, tmp_path), *blocks(WHO, "js", "cookies")) as server:
        page.goto(f"{server.url}/files/page.html")
        expect(page.locator("#problem")).to_have_text(re.compile(r"^balance/ada: .*Log in first.*\(101\)$"))
        page.get_by_role("button").click()
        expect(page.locator("#problem")).to_be_empty()
        pay(page, server)
        page.goto("about:blank")
    assert complaints == []


def test_tokens(page: Page, tmp_path: Path) -> None:
    """Without a session there is no token, and the connection is closed; with one the page shows the balance."""
    write(WHO, tmp_path)
    with served(tmp_path / "tokens.py", *blocks(WHO, "js", "tokens")) as server:
        page.goto(f"{server.url}/files/page.html")
        expect(page.locator("#problem")).to_have_text("The server requires a login.")
        page.context.add_cookies([{"name": "session", "value": "s3cret", "url": server.url}])
        page.reload()
        pay(page, server)
        expect(page.locator("#problem")).to_be_empty()
        page.goto("about:blank")


CALL = """async ({ token }) => {
  const live = (await import("/live/wirespeed.js")).connect({ token });
  try {
    return await live.call("whoami");
  } catch ({ code }) {
    return code;
  } finally {
    live.close();
  }
}"""


def test_bearer(page: Page, tmp_path: Path) -> None:
    """FastAPI's security finds the token; without one, and with another, a call is refused."""
    write(WHO, tmp_path)
    with served(tmp_path / "bearer.py", "") as server:
        page.goto(f"{server.url}/files/page.html")
        assert [page.evaluate(CALL, {"token": token}) for token in ("s3cret", "", "other")] == ["ada", 101, 103]


# The example


def test_live_chart(page: Page, complaints: list[str]) -> None:
    """The example is the tutorial's page: its prices move, and its chart is drawn."""
    with serve(ROOT / "examples/live_chart.py") as server:
        page.goto(server.url)
        expect(page.get_by_role("status")).to_have_text("Live")
        expect_another(page.locator("#BTC"))
        expect_another(page.locator("#count"))
        page.goto("about:blank")
        server.stop()
        assert "Traceback" not in server.output()
    assert complaints == []


# The form


def test_form(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """The form marks the fields that do not validate and the seat that is taken, and then books."""
    form = "docs/how-to/mark-the-fields-of-a-form.md"
    (tmp_path / "index.html").write_text(*blocks(form, "html", "index.html"))
    with serve(write(form, tmp_path)) as server:
        page.goto(server.url)
        page.get_by_role("button").click()
        expect(page.locator("[data-of=seat]")).to_have_text("Input should be less than or equal to 60")
        expect(page.locator("[data-of=name]")).to_have_text("String should have at least 2 characters")
        page.get_by_label("Seat").fill("13")
        page.get_by_label("Name").fill("Ada")
        page.get_by_role("button").click()
        expect(page.locator("[data-of=seat]")).to_have_text("This seat is taken.")
        expect(page.locator("[data-of=name]")).to_be_empty()
        page.get_by_label("Seat").fill("7")
        page.get_by_role("button").click()
        expect(page.locator("output")).to_have_text("Booked: 7")
        expect(page.locator("[data-of=seat]")).to_be_empty()
        page.goto("about:blank")
    assert complaints == []


# Pages beside the demo

GUIDE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Guide</title>
<figure class="live" data-section="chart"><img alt="A chart" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<figcaption>A picture of the demo.</figcaption></figure>
<script>{script}</script>"""


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page that has a figure, as the site has them."""
    folder = tmp_path_factory.mktemp("guide")
    script = (ROOT / "scripts/site/live.js").read_text()
    (folder / "index.html").write_text(GUIDE.format(script=script))
    return folder


@pytest.fixture(scope="module")
def demo(guide: Path) -> Iterator[Server]:
    """The demo, which serves the folder at /guide/."""
    with serve("demo.app:app", env={"WIRESPEED_DEMO_GUIDE": str(guide)}) as server:
        yield server


def test_sections_of_the_demo_run_in_the_pages(demo: Server, page: Page, complaints: list[str]) -> None:
    """Beside the demo, the picture gives way to the section alone, with live values."""
    page.goto(f"{demo.url}/guide/")
    expect(page.locator("figure.live img")).to_have_count(0)
    chart = page.frame_locator("figure.live iframe")
    expect(chart.locator("#chart .paints")).to_have_text(re.compile("[1-9]"))
    expect(chart.locator("#race")).to_be_hidden()
    expect(page.locator("figcaption")).to_have_text("The demo, live from this server.")
    assert complaints == []


def test_pictures_stay_elsewhere(guide: Path, page: Page, complaints: list[str]) -> None:
    """On any other host, and in a file, the picture and its sentence stay, and nothing is requested."""
    page.goto((guide / "index.html").as_uri())
    expect(page.locator("figcaption")).to_have_text("A picture of the demo.")
    expect(page.locator("figure.live img")).to_have_attribute("alt", "A chart")
    assert complaints == []
