"""The demo with three workers that Valkey joins, in a real browser, while workers are killed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from demo.app import PAGE
from tests.servers import ROOT, Server, free_port, wait_until_ready
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def cluster() -> Iterator[Server]:
    """The demo as `make cluster` starts it."""
    if not (PAGE / "cluster.html").is_file():
        pytest.fail("The page is not built: cd web && npm ci && npm run build:demo")
    port = free_port()
    command = [sys.executable, "-m", "demo.cluster", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        server = Server(process, port, log)
        try:
            wait_until_ready(server, "3 workers are on", timeout=PATIENCE)
            yield server
        finally:
            server.stop()


def worker_of(page: Page) -> str:
    """Return the worker that serves a page, once it is connected."""
    expect(page.locator("#visit .state")).to_have_text("Connected")
    return page.locator("#visit .number").inner_text()


def runner_of(page: Page) -> str:
    """Return the worker that runs the counter, as a page shows it."""
    expect(page.locator("#counter .runner")).to_contain_text("Worker")
    return page.locator("#counter .runner").inner_text()


def marks_of(page: Page) -> dict[str, str]:
    """Return the marks that a page shows, by their number; of one moment, because rows come and go."""
    marks: dict[str, str] = page.evaluate(
        """() => Object.fromEntries(
          [...document.querySelectorAll("#marks tbody tr")].map(({ cells: [number, mark] }) =>
            [number.textContent, mark.textContent]))"""
    )
    return marks


def post(server: Server, path: str) -> bytes:
    """Make a call, which reaches any worker."""
    with urllib.request.urlopen(f"{server.url}{path}", b"", timeout=PATIENCE) as answer:
        body: bytes = answer.read()
    return body


def test_workers_are_killed(cluster: Server, page: Page) -> None:
    """Pages of different workers see the same numbers, none missing and none twice, whichever worker is killed."""
    errors: list[object] = []
    other = page.context.new_page()
    for each in (page, other):
        each.on("pageerror", lambda error: errors.append(error))
        each.goto(f"{cluster.url}/cluster.html")
    expect(page.locator("#members tbody tr")).to_have_count(3)
    while worker_of(page) != runner_of(page):
        page.reload()
    while worker_of(other) == worker_of(page):
        other.reload()
    killed = worker_of(page)
    page.get_by_role("button", name=f"Kill {killed.lower()}").click()
    expect(page.locator("#news li[data-kind=back]")).to_have_count(1)
    for each in (page, other):
        expect(each.locator("#news li[data-kind=runner]")).to_have_count(1)
    # The killed worker is started again, and on a slow machine the page may be back at it. Then the worker of the other
    # page is killed, which may run the counter now.
    row = page.locator("#members tr").filter(has_text=killed)
    expect(row.get_by_role("cell").nth(1)).to_have_text("2")
    other.get_by_role("button", name=f"Kill {worker_of(other).lower()}").click()
    expect(other.locator("#news li[data-kind=back]")).to_have_count(1)
    other.get_by_label("Message").fill("Still here")
    other.get_by_role("button", name="Send").click()
    expect(page.get_by_role("log", name="Conversation")).to_contain_text("Still here")
    same = wait_until(lambda: marks_of(page).items() & marks_of(other).items())
    ours, theirs = marks_of(page), marks_of(other)
    assert all(ours[number] == theirs[number] for number in ours.keys() & theirs.keys()), same
    for each in (page, other):
        expect(each.locator("#counter .number")).to_have_text(re.compile(r"\d"))
        assert each.locator("#counter :is(.missed, .twice)").all_inner_texts() == ["0", "0"]
    assert errors == []


def test_interrupt_leaves_nothing_behind(cluster: Server) -> None:
    """Ctrl+C reaches all processes at once, as a terminal sends it; they end in order, without a complaint."""
    seen: set[bytes] = set()
    while len(seen) < 3:
        seen.add(post(cluster, "/worker"))
    children = psutil.Process(cluster.process.pid).children(recursive=True)
    assert len(children) == 4
    os.killpg(cluster.process.pid, signal.SIGINT)
    assert cluster.process.wait(PATIENCE) == 0
    assert not [child for child in children if child.is_running()]
    console = r"(The console is on at /live/: .*\n){3,}"
    assert re.fullmatch(rf"Valkey has port \d+\. 3 workers are on \S+\n{console}", cluster.output())
