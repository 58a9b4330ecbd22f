"""The chat with a language model, in a real browser: a restart, a lost connection, a hidden tab and a logout."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.tabs import hide, window
from tests.sdk.gate import Gate
from tests.servers import ROOT, Server, serve
from tests.waiting import PATIENCE
from wirespeed.client import connect

APP = ROOT / "examples/assistant.py"


@pytest.fixture
def tab(natural: Browser) -> Iterator[Page]:
    """Open a tab whose console has no more than failed attempts to connect, and no errors, at the end."""
    page = window(natural).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    yield page
    page.close()
    assert [each for each in errors if "WebSocket connection" not in each] == []


def ask(page: Page, text: str, button: str = "Send") -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name=button).click()


def log_in(page: Page, url: str, name: str) -> None:
    page.bring_to_front()
    page.goto(url)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#state")).to_have_text("Live")


def end(server: Server) -> None:
    assert "Traceback" not in server.output()


def test_assistant(tab: Page, tmp_path: Path) -> None:
    """Answers grow in all tabs, survive a restart, go on in a hidden tab, and belong to the user who is logged in."""
    env = {"ASSISTANT_DATABASE": str(tmp_path / "chat.db")}
    answers = tab.locator("article.assistant p")
    with serve(APP, env=env) as first, Gate(first.port) as gate:
        log_in(tab, gate.url, "ada")
        ask(tab, "<b>Hello</b>")
        expect(answers.last).to_have_text(re.compile('You have asked: "<b>Hello</b>" .* no more. ?$'))
        expect(tab.locator("article.assistant.done")).to_have_count(1)

        # A draft is a run of this page alone, and resumes after the connection was lost.
        ask(tab, "Count to 40", "Improve")
        expect(tab.get_by_label("Message")).to_have_value(re.compile("^1 2 3 "))
        gate.shut()
        gate.open()
        expect(tab.get_by_label("Message")).to_have_value("".join(f"{number} " for number in range(1, 41)))

        ask(tab, "Count to 100000")
        expect(answers.last).to_contain_text("1 2 3")
        other = tab.context.new_page()
        other.set_default_timeout(1000 * PATIENCE)
        other.bring_to_front()
        other.goto(gate.url)
        expect(other.locator("article.assistant").last).to_contain_text("1 2 3 4 5")
        end(first)
        first.stop()

        # The answer was interrupted; what there was of it is stored.
        with serve(APP, env=env, port=first.port) as second:
            for page in (other, tab):
                page.bring_to_front()
                expect(page.locator("article.interrupted")).to_contain_text("1 2 3 4 5")
                expect(page.locator("article")).to_have_count(4)
            tab.get_by_role("button", name="Try again").click()
            expect(tab.locator("article.writing")).to_contain_text("1 2 3 ")
            tab.get_by_role("button", name="Stop").click()
            expect(tab.locator("article.interrupted")).to_have_count(1)

            # An answer that is finished while the tab is hidden counts in its title.
            tab.get_by_label("Message").fill("Count to 5")
            front = hide(tab)
            tab.evaluate("document.getElementById('ask').requestSubmit()")
            tab.wait_for_function("document.title === '(1) Assistant'", polling=100)
            front.close()
            tab.bring_to_front()
            expect(answers.last).to_have_text("1 2 3 4 5")
            expect(tab).to_have_title("Assistant")

            tab.get_by_role("button", name="Log out").click()
            for page in (tab, other):
                expect(page.get_by_role("button", name="Log in")).to_be_visible()
            log_in(other, gate.url, "bob")
            expect(other.locator("article")).to_have_count(0)
            other.close()
            end(second)


def test_answers_without_a_page(tmp_path: Path) -> None:
    """A stop that arrives with its question ends the answer; one that no page has seen is whole when a page comes."""

    async def main(url: str, cookie: str) -> None:
        async with connect(url, headers={"cookie": cookie}) as connection:
            for _ in range(3):
                await asyncio.gather(connection.call("ask", {"text": "Count to 999999999"}), connection.call("stop"))
                await connection.call("stop")
            number = await connection.call("ask", {"text": "Count to 20"})
            assert len([piece async for piece in connection.watch("draft", message={"text": "Count to 5"})]) == 5
            async for change in connection.watch("chat/ada"):
                if change["key"] == number:
                    assert change["value"]["text"].startswith("1 2 3 ")
                    break

    with serve(APP, env={"ASSISTANT_DATABASE": str(tmp_path / "chat.db")}) as started:
        login = Request(f"{started.url}/login", b'{"name": "ada"}', {"content-type": "application/json"})
        with urlopen(login) as answer:
            cookie = answer.headers["set-cookie"].partition(";")[0]
        with ThreadPoolExecutor(1) as thread:  # the browser's driver has a loop in this one
            thread.submit(lambda: asyncio.run(main(started.url, cookie))).result(PATIENCE)
        end(started)
