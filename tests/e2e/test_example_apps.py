"""The example apps with several processes, users or pages, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.brokers.valkey import Valkey
from tests.servers import ROOT, serve

EXAMPLES = ROOT / "examples"
REFUSED = "net::ERR_CONNECTION_REFUSED"
"""Chromium reports each attempt to reconnect while no server listens."""


def fill(page: Page, button: str, **fields: str) -> None:
    """Fill in a form and send it."""
    for label, text in fields.items():
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name=button).click()


def test_dashboard(page: Page, complaints: list[str]) -> None:
    """A user's orders are shown to that user only, errors mark their fields, and a logout ends the user's other tab."""
    with serve(EXAMPLES / "dashboard.py") as started:
        page.goto(started.url)
        fill(page, "Log in", Name="ada")
        expect(page.locator("#state")).to_have_text("Live")
        tab = page.context.new_page()
        tab.goto(started.url)
        context = page.context.browser.new_context()  # type: ignore[union-attr]
        other = context.new_page()
        other.goto(started.url)
        fill(other, "Log in", Name="bob")
        expect(page.locator("#quotes tr")).to_have_count(4)
        fill(page, "Place", Amount="0", Limit="x")
        expect(page.locator("#order [aria-invalid]")).to_have_count(2)
        expect(page.locator("#order output")).to_contain_text("greater than 0")
        fill(page, "Place", Amount="2", Limit="1")
        fill(page, "Place", Limit="1000000")
        for each in (page, tab):
            expect(each.locator("#orders tr")).to_have_text(["buy 2 BTC at 1000000filled", "buy 2 BTC at 1Cancel"])
        page.get_by_role("button", name="Cancel").click()
        expect(tab.locator("#orders")).to_contain_text("canceled")
        fill(other, "Place", Amount="3", Limit="1")
        expect(other.locator("#orders tr")).to_have_text(["buy 3 BTC at 1Cancel"])
        assert complaints == []
        page.get_by_role("button", name="Log out").click()
        for each in (page, tab):
            expect(each.get_by_role("button", name="Log in")).to_be_visible()
        expect(other.locator("#state")).to_have_text("Live")
        context.close()
        assert "Traceback" not in started.output()


def test_jobs(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """The progress of a worker process goes on while the app restarts, and its log is complete at the end."""
    broker = Valkey(tmp_path)
    try:
        env = {"WIRESPEED_BROKER": f"redis://127.0.0.1:{broker.port}"}
        with serve(EXAMPLES / "jobs.py", env=env) as started:
            page.goto(started.url)
            fill(page, "Start", Steps="many")
            expect(page.locator("output")).to_contain_text("valid integer")
            fill(page, "Start", Steps="12")
            first = re.compile("step 1 of 12 is done|failed")  # each step may fail, at random
            expect(page.get_by_role("log")).to_contain_text(first)
            page.locator("#jobs > div").click()  # it is chosen already
            expect(page.get_by_role("log")).to_contain_text(first)
            assert "Traceback" not in started.output()
        with serve(EXAMPLES / "jobs.py", env=env, port=started.port) as again:
            expect(page.locator("#jobs > div")).to_have_class(re.compile("finished|failed"))
            expect(page.get_by_role("log")).to_have_text(
                re.compile(r"starts with 12 steps.*(step 12 of 12|failed)", re.DOTALL)
            )
            page.get_by_role("button", name="Clear").click()
            expect(page.locator("#jobs > div")).to_have_count(0)
            assert [each for each in complaints if REFUSED not in each] == []
            page.goto("about:blank")
            assert "Traceback" not in again.output()
    finally:
        broker.kill()


def test_cursors(page: Page, complaints: list[str]) -> None:
    """Each page shows the cursors of the others, with their names, until they leave."""
    with serve(EXAMPLES / "cursors.py") as started:
        other = page.context.new_page()
        for each, name in ((page, "Ada"), (other, "Bob")):
            each.goto(started.url)
            each.get_by_label("Name").fill(name)
        other.mouse.move(640, 450)
        expect(page.locator(".cursor")).to_have_text(["Bob"])
        expect(page.locator(".cursor")).to_have_attribute("style", re.compile(r"translate\(640px, 450px\)"))
        expect(other.locator(".cursor")).to_have_text(["Ada"])
        expect(page.get_by_role("status")).to_have_text("1 other here")
        other.close()
        expect(page.locator(".cursor")).to_have_count(0)
        assert complaints == []
        page.goto("about:blank")
        assert "Traceback" not in started.output()


def test_tail(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """A page shows the last lines of a file and those that are written, filtered, also after the file was rotated."""
    log = tmp_path / "app.log"
    with serve(EXAMPLES / "tail.py", env={"LOG": str(log)}) as started:
        page.goto(started.url)
        expect(page.locator("#state")).to_have_text("app.log: No such file or directory")
        whole = tmp_path / "whole.log"  # with its name, the example could find it empty
        whole.write_text("x" * 300_000 + "\n" + "".join(f"INFO line {number}\n" for number in range(1, 301)))
        whole.rename(log)
        lines = page.locator("#lines > div")
        expect(lines).to_have_count(200)
        expect(lines.first).to_have_text("INFO line 101")
        with log.open("a") as file:
            file.write("ERROR <b>out of paper</b>\nINFO half")
        expect(lines.last).to_have_text("ERROR <b>out of paper</b>")
        page.get_by_label("Filter").fill("paper")
        expect(page.locator("#lines > div:visible")).to_have_count(1)
        log.rename(tmp_path / "app.log.1")
        log.write_text("WARNING paper in the new file\n")
        expect(page.locator("#lines > div:visible")).to_have_text([re.compile("out of"), re.compile("new file")])
        assert complaints == []
        page.goto("about:blank")
        assert "Traceback" not in started.output()


def test_notes(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """Notes of one page appear in another; they are in the database, from where they come after a restart."""
    pytest.importorskip("sqlalchemy")
    env = {"NOTES_DATABASE": f"sqlite+aiosqlite:///{tmp_path}/notes.db"}
    with serve(EXAMPLES / "notes.py", env=env) as started:
        page.goto(started.url)
        other = page.context.new_page()
        other.goto(started.url)
        for text in ("Buy tea", "<b>Call</b> Bob"):
            page.get_by_label("New note").fill(text)
            page.get_by_label("New note").press("Enter")
            expect(other.get_by_label(text)).not_to_be_checked()
        other.get_by_label("Buy tea").check()
        expect(page.locator("li.done")).to_have_text(["Buy tea✕"])
        page.get_by_label("New note").press("Enter")
        expect(page.locator("output")).to_contain_text("at least 1 character")
        other.close()
        page.goto("about:blank")
        assert "Traceback" not in started.output()
    with serve(EXAMPLES / "notes.py", env=env, port=started.port) as again:
        page.goto(again.url)
        expect(page.locator("li")).to_have_text(["Buy tea✕", "<b>Call</b> Bob✕"])
        page.get_by_role("button", name="Remove").first.click()
        expect(page.locator("li")).to_have_text(["<b>Call</b> Bob✕"])
        assert complaints == []
        page.goto("about:blank")
        assert "Traceback" not in again.output()
