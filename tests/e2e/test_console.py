"""The console on real servers: guarded before the handshake, and summed over processes that a broker joins."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.brokers.valkey import Valkey
from tests.servers import Server, serve
from tests.waiting import PATIENCE, wait_until

APP = "tests.apps.console:app"
ADMIN = {"authorization": "Basic YWRhOm9wZW4="}  # ada:open


TITLE = """new Promise(done => {
    const socket = new WebSocket(`ws://${location.host}/live/console/overview`)
    socket.onmessage = ({data}) => done(JSON.parse(data).app.title)
    socket.onclose = () => done("closed")
})"""


class Two(NamedTuple):
    """Two servers of one app."""

    here: Server
    there: Server


@pytest.fixture(scope="module")
def two(server: Valkey) -> Iterator[Two]:
    """Start both, each with one process."""
    environment = {"WIRESPEED_BROKER": server.url}
    with serve(APP, env=environment) as here, serve(APP, env=environment) as there:
        yield Two(here, there)


def opened(server: Server, path: str, headers: dict[str, str] | None = None) -> ClientConnection:
    """Return an open WebSocket. What it is sent has room, for a full queue would keep it from closing in time."""
    return connect(
        f"{server.ws}{path}", additional_headers=headers, open_timeout=PATIENCE, max_size=None, max_queue=None
    )


def view(server: Server, name: str, **query: Any) -> ClientConnection:
    """Return a WebSocket of one of the console's feeds."""
    return opened(server, f"/live/console/{name}?{urlencode(query)}", ADMIN)


def shows(client: ClientConnection, holds: Callable[[Any], object]) -> Any:
    """Receive values until one is as wanted; return it."""
    seen: list[Any] = []

    def wanted() -> Any:
        seen[:] = [json.loads(client.recv(PATIENCE))]
        return seen[0] if holds(seen[0]) else None

    return wait_until(wanted, lambda: json.dumps(seen))


def request(server: Server, path: str, headers: dict[str, str], body: Any = None) -> int:
    """Return the status of a request: a POST of JSON if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{server.url}{path}", data, headers | {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["/live/", "/live/console/console.js", "/live/asyncapi.json"])
def test_page_is_guarded(two: Two, path: str) -> None:
    """Without the password there is nothing to see."""
    assert request(two.here, path, {}) == 401
    assert request(two.here, path, ADMIN) in (200, 404, 503)  # the page may not be built


@pytest.mark.parametrize("name", ["overview", "keys?path=/news", "key?text=/news", "clients", "client?process=a&id=1"])
def test_data_is_guarded(two: Two, name: str) -> None:
    """Its WebSockets are refused before they are accepted; another origin is, even with the password."""
    with pytest.raises(InvalidStatus) as refused:
        opened(two.here, f"/live/console/{name}")
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        opened(two.here, f"/live/console/{name}", ADMIN | {"origin": "https://elsewhere.example"})
    assert refused.value.response.status_code == 403
    with opened(two.here, f"/live/console/{name}", ADMIN | {"origin": two.here.url}) as client:
        assert json.loads(client.recv(PATIENCE))["at"]


def test_processes_together(two: Two) -> None:
    """Figures are summed over both processes, and the one that runs a generator has its lease."""
    with ExitStack() as stack:
        for server in (two.here, two.there, two.there):
            stack.enter_context(opened(server, "/price/BTC"))
        overview = stack.enter_context(view(two.here, "overview"))
        seen = shows(overview, lambda value: value["definitions"][0]["watchers"] == 3)
        assert [each["answered"] for each in seen["processes"]] == [True, True]
        assert seen["processes"][0]["name"] == seen["self"]
        assert [each["broker"]["state"] for each in seen["processes"]] == ["ok", "ok"]
        feed = seen["definitions"][0]
        assert sorted(each["watchers"] for each in feed["by_process"].values()) == [1, 2]
        assert list(feed["producers"].values()) == [{"running": 1}]
        keys = shows(stack.enter_context(view(two.there, "keys", path="/price/{symbol}")), lambda value: value["keys"])
        assert (keys["total"], keys["keys"][0]["watchers"], len(keys["keys"][0]["processes"])) == (1, 3, 2)
        key = shows(stack.enter_context(view(two.there, "key", text="/price/BTC")), lambda value: value["producer"])
        assert key["producer"]["process"] == next(iter(feed["producers"]))
        assert 0 < key["producer"]["lease"] <= 5
        assert (key["watchers_total"], len({each["process"] for each in key["watchers"]})) == (3, 2)


def test_retained_log_at_the_broker(two: Two) -> None:
    """The log of a key that no process has open is read from the broker."""
    assert request(two.there, f"/news?{urlencode({'text': '<b>hello</b>'})}", {}, {}) == 200
    with view(two.here, "key", text="/news") as client:
        seen = shows(client, lambda value: value["entries"])
        assert (seen["live"], seen["entries"][0]["preview"]) == (False, "<b>hello</b>")


def test_client_of_another_process(two: Two) -> None:
    """A client of the other process is listed, shown and disconnected."""
    with opened(two.there, "/price/ETH") as watcher, view(two.here, "clients", search="/price/ETH") as clients:
        row = shows(clients, lambda value: value["total"])["clients"][0]
        chosen = {"process": row["process"], "id": row["id"]}
        with view(two.here, "client", **chosen) as client:
            assert shows(client, lambda value: True)["channels"][0]["channel"] == "/price/ETH"
            assert request(two.here, "/live/console/disconnect", {}, chosen) == 401
            assert request(two.here, "/live/console/disconnect", ADMIN, chosen) == 204
            shows(client, lambda value: value.get("gone"))
        with suppress(ConnectionClosed):
            while True:
                watcher.recv(PATIENCE)
        assert watcher.close_code == 3503


def test_process_that_does_not_answer(two: Two) -> None:
    """A process that hangs is shown with its last figures, and holds up nothing."""
    with view(two.here, "overview") as client:
        seen = shows(client, lambda value: len(value["processes"]) == 2)
        pid = next(each["pid"] for each in seen["processes"] if each["name"] != seen["self"])
        os.kill(pid, signal.SIGSTOP)
        try:
            seen = shows(client, lambda value: not all(each["answered"] for each in value["processes"]))
            assert [each["answered"] for each in seen["processes"]] == [True, False]
            assert seen["processes"][1]["pid"] == pid
        finally:
            os.kill(pid, signal.SIGCONT)
        shows(client, lambda value: len(value["processes"]) == 2 and all(e["answered"] for e in value["processes"]))


def test_browser_sends_the_password(two: Two, browser: Browser) -> None:
    """Chromium sends the password of the page with its WebSockets, and the policy of the page lets it connect."""
    context = browser.new_context(http_credentials={"username": "ada", "password": "open"})
    page = context.new_page()
    page.goto(f"{two.here.url}/live/")
    title = page.evaluate(TITLE)
    assert title == "Prices"
    context.close()
