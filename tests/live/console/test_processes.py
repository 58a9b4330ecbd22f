"""The console of an app with several processes, one of which answers in an unexpected way."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from tests.brokers.simulated import Network, SimulatedBroker
from tests.lanes.turns import until
from tests.live.console.watching import viewing
from wirespeed import Live
from wirespeed.hub.processes import Processes
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

FEEDS: dict[str, dict[str, Any]] = {
    "overview": {}, "keys": {"path": "/news"}, "key": {"text": "/news"}, "clients": {}, "client": {"id": "1"},
}  # fmt: skip


@asynccontextmanager
async def beside(answer: bytes) -> AsyncIterator[tuple[FastAPI, str]]:
    """Serve an app, beside another process that gives the same answer to each request."""
    network = Network()
    app = FastAPI(debug=True)
    live = Live(app, broker=SimulatedBroker(network))
    live.topic("/news", str)
    other, processes = SimulatedBroker(network), Processes()

    async def look(body: bytes) -> bytes:
        return answer

    processes.slow["look"] = look
    processes.open(other.control)
    async with lifespan(app), other:
        await until(lambda: live.health().state == "ok")
        yield app, processes.process


@pytest.mark.parametrize("answer", [
    b"", b"no JSON", b"[]", b'"\\ud800"', b"{}", b"[" * 100_000, b'{"total": "a", "keys": [{}], "clients": [null]}',
    b'{"process": {}, "figures": {"/news": [1, 2]}, "producers": {}, "runs": {}}',
    b'{"watchers": [1], "errors": [{"at": "now"}], "health": {"state": "unknown"}}',
])  # fmt: skip
async def test_malformed_readings(answer: bytes) -> None:
    """A process that sends something else, perhaps because it is of another version, does not hide the others."""
    async with beside(answer) as (app, other):
        for name, query in FEEDS.items():
            where = {"process": other} if name == "client" else {}
            async with viewing(app, name, **query, **where) as seen:
                assert "error" not in seen
                if name == "overview":
                    assert [each["answered"] for each in seen["processes"]] == [True, False]
                if name == "client":
                    assert seen["gone"]


async def test_reading_of_a_newer_version() -> None:
    """Fields and states that are not known yet do no harm."""
    health = {"state": "dreaming", "since": 1.0, "reason": "", "dreams": 3}
    position = {"epoch": "abc", "offset": 1}
    answer = {
        "errors": [], "position": position, "bytes": 1, "complete": False, "entries": [], "watchers": [],
        "watchers_total": 7, "producer": None, "health": health, "novelty": [1],
    }  # fmt: skip
    async with beside(json.dumps(answer).encode()) as (app, _), viewing(app, "key", text="/news") as seen:
        assert (seen["watchers_total"], seen["health"]["state"]) == (7, "dreaming")
        assert "novelty" not in seen
