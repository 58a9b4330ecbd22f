"""A page with the browser client, and helpers for it and the server behind it."""

import itertools
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from tests.servers import Server
from tests.waiting import PATIENCE, PAUSE

APP = "tests.apps.browser:app"

_numbers = itertools.count(1)


def open_page(page: Page, url: str) -> None:
    """Open the page, and return when its client is connected."""
    page.goto(f"{url}/page")
    page.wait_for_function("globalThis.isReady && live.status.current.state === 'connected'")


def fresh(kind: str) -> str:
    """Return a channel that no other test uses: ``note/7``."""
    return f"{kind}/{next(_numbers)}"


def tell(server: Server, path: str, body: Any = None) -> None:
    """Ask the app to do something, by POST."""
    request = urllib.request.Request(
        f"{server.url}/app/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=PATIENCE):
        pass


def publish(server: Server, channel: str, *values: Any, pause: float = 0) -> None:
    """Let the app publish; return when it has."""
    tell(server, "publish", {"channel": channel, "values": values, "pause": pause})


def state(server: Server) -> dict[str, Any]:
    """Return the state of the server."""
    with urllib.request.urlopen(f"{server.url}/state", timeout=PATIENCE) as response:
        seen: dict[str, Any] = json.load(response)
    return seen


def wait_for(server: Server, condition: Callable[[dict[str, Any]], bool], timeout: float = PATIENCE) -> dict[str, Any]:
    """Poll the server's state until it is as expected, and return it."""
    deadline = time.monotonic() + timeout
    while not condition(seen := state(server)):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {seen}")
        time.sleep(PAUSE)
    return seen


def split(page: Page, calls: str, moment: float) -> tuple[int, int]:
    """Return the number of values made before a moment that a page received, once ten made after it arrived.

    A page that goes through all that was sent has hundreds of the former, on any machine.
    """
    made = f"{calls}.map(({{ value }}) => value.at)"
    page.wait_for_function(f"(moment) => {made}.filter((at) => at > moment).length >= 10", arg=moment)
    times: list[float] = page.evaluate(made)
    old = sum(at <= moment for at in times)
    return old, len(times) - old


def wait_until_left(server: Server) -> None:
    """Return when the server has no client of an earlier page: it would be counted."""
    wait_for(server, lambda seen: not (seen["watchers"] or seen["runs"] or any(seen["lanes"].values())))


def wait_for_watchers(server: Server, path: str, count: int) -> None:
    """Return when this many clients watch a path."""
    wait_for(server, lambda seen: seen["watchers"].get(path, 0) == count)
