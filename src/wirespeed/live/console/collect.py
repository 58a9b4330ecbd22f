"""Collecting: the reports of all processes become what the console shows."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI

from ...definitions import Watched
from ...frameworks import routes_version
from ...hub import Hub
from ...hub.insight.insight import Insight, Reports
from ...hub.insight.process import NUMBERS
from ..inventory import definitions_of

INTERVAL = 1.0
"""Seconds between two values of a feed of the console."""
SHORTEST = 0.2
"""Seconds between the end of one reading and the next, at least."""

RUNS = ("active", "completed", "refused", "failed", "cancelled")

_NONE = [0] * len(NUMBERS)


class Listed(NamedTuple):
    """A definition of the app."""

    path: str
    kind: str
    name: str
    """Name by which processes know its figures."""


async def again_and_again(read: Callable[[], Awaitable[dict[str, Any]]]) -> AsyncIterator[dict[str, Any]]:
    """Yield a reading about once per second."""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        yield await read()
        await asyncio.sleep(max(INTERVAL - (clock() - began), SHORTEST))


class Collector:
    """Collects what the console shows of one app.

    Args:
        about: What does not change: facts about the app that are part of each overview.
    """

    def __init__(self, app: FastAPI, hub: Hub, insight: Insight, about: Mapping[str, Any]) -> None:
        self._app = app
        self._hub = hub
        self._insight = insight
        self._about = about
        self._listed: list[Listed] = []
        self._version: object = None
        self._known: dict[str, Any] = {}
        """The last that each process has said about itself."""

    def definitions(self) -> list[Listed]:
        """Return the definitions of the app, in the order of their routes."""
        version = routes_version(self._app)
        if version != self._version:
            names = dict(self._hub.names())
            self._version = version
            self._listed = [
                Listed(path, each.kind, names.get(each, path) if isinstance(each, Watched) else path)
                for (path, each, _), _ in definitions_of(self._app)
            ]
        return self._listed

    async def overview(self) -> dict[str, Any]:
        """Return the state of all processes, and the figures of all definitions."""
        reports = await self._insight.look_everywhere("process")
        return {
            "at": round(time.time(), 3),
            "app": {"title": self._app.title, "version": self._app.version},
            "self": reports.own,
            **self._about,
            "processes": self._processes(reports),
            "definitions": [_definition(each, reports.by_process) for each in self.definitions()],
        }

    def _processes(self, reports: Reports) -> list[dict[str, Any]]:
        answered = {process: each["process"] for process, each in reports.by_process.items()}
        known = {process: self._known.get(process) or _unknown(process) for process in sorted(reports.silent)}
        self._known = known | answered
        rows = [answered[reports.own], *(answered[each] for each in sorted(answered) if each != reports.own)]
        return [row | {"answered": True} for row in rows] + [row | {"answered": False} for row in known.values()]


def _unknown(process: str) -> dict[str, Any]:
    """Return the row of a process that has never answered."""
    broker = {"state": "none", "seconds": 0.0, "problem": "", "waiting": 0}
    numbers = dict.fromkeys(("uptime", "cpu", "connections", "clients", "runs", "messages", "bytes"), 0)
    return {
        "name": process, "host": "", "pid": 0, "memory": None, "loop_lag": None, **numbers,
        "lanes": {}, "refused": {}, "broker": broker,
    }  # fmt: skip


def _definition(listed: Listed, by_process: Mapping[str, Any]) -> dict[str, Any]:
    path, kind, name = listed
    numbers = {process: each["figures"][name] for process, each in by_process.items() if name in each["figures"]}
    runs = {process: each.get("runs", {}).get(path, {}) for process, each in by_process.items()}
    return {
        "path": path,
        "kind": kind,
        **_figures(numbers.values(), runs.values()),
        "by_process": {
            process: _figures([numbers.get(process, _NONE)], [runs[process]])
            for process in by_process
            if process in numbers or runs[process]
        },
        "producers": {
            process: each["producers"][name] for process, each in by_process.items() if name in each["producers"]
        },
    }


def _figures(numbers: Collection[list[int]], runs: Collection[Mapping[str, int]]) -> dict[str, Any]:
    """Return the sums of figures."""
    sums = map(sum, zip(*numbers, strict=True)) if numbers else _NONE
    return dict(zip(NUMBERS, sums, strict=True)) | {
        "runs": {name: sum(each.get(name, 0) for each in runs) for name in RUNS}
    }
