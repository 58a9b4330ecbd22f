"""Collecting: the reports of all processes become what the console shows."""

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from ...declare import arguments_of
from ...definitions import KeyAddresses, Watched
from ...errors import BrokerDown, InvalidKey, Unavailable
from ...frameworks import routes_version
from ...hub import Hub
from ...hub.insight.insight import Insight, Reports
from ...hub.insight.keys import MOST_WATCHERS, retained_seen
from ...hub.insight.process import NUMBERS, RUNS
from ...hub.mishaps import MOST
from ..inventory import definitions_of

_NONE = [0] * len(NUMBERS)


_NO_LOG: dict[str, Any] = {"position": None, "bytes": 0, "complete": False, "entries": ()}
_WORST_FIRST = ("failing", "stale")


class Listed(NamedTuple):
    """A definition of the app."""

    path: str
    kind: str
    name: str
    """Name by which processes know its figures."""
    watched: Watched[Any, Any] | None
    """The feed or topic; None if it is a stream or a call."""
    dependant: Any = None
    """FastAPI's model of its endpoint."""


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
        names = dict(self._hub.names())  # without the lifespan, in mounted apps, they come with the first clients
        version = routes_version(self._app), len(names)
        if version != self._version:
            self._version = version
            self._listed = [
                Listed(path, each.kind, names.get(each, path), each, route.dependant)
                if isinstance(each, Watched)
                else Listed(path, each.kind, path, None)
                for (path, each, _), route in definitions_of(self._app)
            ]
        return self._listed

    async def overview(self) -> dict[str, Any]:
        """Return the state of all processes, and the figures of all definitions."""
        reports = await self._insight.look_everywhere("process")
        return {
            "at": _now(),
            "app": {"title": self._app.title, "version": self._app.version},
            "self": reports.own,
            **self._about,
            "processes": self._processes(reports),
            "definitions": [_definition(each, reports.by_process) for each in self.definitions()],
        }

    async def keys(self, path: str, search: str, limit: int) -> dict[str, Any]:
        """Return the live keys of a feed or topic with the most watchers.

        Raises:
            HTTPException: 404, there is no such feed or topic.
        """
        listed = next((each for each in self.definitions() if each.path == path and each.watched is not None), None)
        if listed is None:
            raise HTTPException(404, "There is no feed or topic with this path.")
        reports = await self._insight.look_everywhere("keys", name=listed.name, path=path, search=search, limit=limit)
        return {"at": _now(), **_keys_together(reports.by_process, limit)}

    async def key(self, text: str) -> dict[str, Any]:
        """Return one key, by its address.

        Raises:
            HTTPException: 404, no feed or topic has a key with this address.
        """
        listed, spelled = self._place(text)
        reports = await self._insight.look_everywhere("key", name=listed.name, text=spelled)
        found = {process: each for process, each in reports.by_process.items() if each is not None}
        return {"at": _now(), "text": text, "path": listed.path} | await self._key(listed, spelled, found)

    async def _key(self, listed: Listed, spelled: str, found: Mapping[str, Any]) -> dict[str, Any]:
        live = {process: each for process, each in found.items() if "watchers" in each}
        log = next(iter(live.values()), None)  # of this process, if the key is live here
        if log is None:
            with suppress(Unavailable):
                log = await retained_seen(self._hub, listed.name, spelled)
        return {
            "live": bool(live),
            **{name: _NO_LOG[name] if log is None else log[name] for name in _NO_LOG},
            **_watching_together(live),
            "errors": _newest_errors(each["errors"] for each in found.values()),
        }

    def _place(self, text: str) -> tuple[Listed, str]:
        """Return the feed or topic that has a key with an address, and the canonical spelling of the key."""
        for each in self.definitions():
            if (watched := each.watched) is not None:
                with suppress(InvalidKey):
                    parts = KeyAddresses(each.path, watched.key).split(text)
                    if parts is not None:
                        values = arguments_of(watched.title, each.dependant, watched.key.names, *parts)
                        return each, watched.key.text(values)
        raise HTTPException(404, "No feed or topic has a key with this address.")

    async def clients(self, search: str, limit: int) -> dict[str, Any]:
        """Return the newest clients of all processes."""
        reports = await self._insight.look_everywhere("clients", search=search, limit=limit)
        rows = [{"process": process} | row for process, each in reports.by_process.items() for row in each["clients"]]
        rows.sort(key=lambda row: row["since"], reverse=True)
        total = sum(each["total"] for each in reports.by_process.values())
        return {"at": _now(), "total": total, "clients": rows[:limit]}

    async def client(self, process: str, id_: str) -> dict[str, Any]:
        """Return one client; one that has left, or whose process does not answer, is gone."""
        seen = None
        with suppress(BrokerDown):
            seen = await self._insight.look_at(process, "client", id_=id_)
        return {"at": _now(), "gone": True} if seen is None else {"at": _now(), "process": process} | seen

    def _processes(self, reports: Reports) -> list[dict[str, Any]]:
        answered = {process: each["process"] for process, each in reports.by_process.items()}
        known = {process: self._known.get(process) or _unknown(process) for process in sorted(reports.silent)}
        self._known = known | answered
        rows = [answered[reports.own], *(answered[each] for each in sorted(answered) if each != reports.own)]
        return [row | {"answered": True} for row in rows] + [row | {"answered": False} for row in known.values()]


def _now() -> float:
    return round(time.time(), 3)


def _keys_together(by_process: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return the keys with the most watchers, each once."""
    rows: dict[str, dict[str, Any]] = {}
    total = 0
    for process, each in by_process.items():
        total += each["total"]
        for row in each["keys"]:
            known = rows.get(row["text"])
            if known is None:
                rows[row["text"]] = row | {"processes": [process]}
                continue
            total -= 1
            known["watchers"] += row["watchers"]
            known["published"] = max(known["published"], row["published"])
            known["processes"].append(process)
            known["state"] = _worst([known["state"], row["state"]])
    best = sorted(rows.values(), key=lambda row: (-row["watchers"], row["text"]))
    return {"total": total, "keys": best[:limit]}


def _worst(states: Collection[str]) -> str:
    return min(states, key=_rank)


def _rank(state: str) -> int:
    return _WORST_FIRST.index(state) if state in _WORST_FIRST else len(_WORST_FIRST)


def _watching_together(live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the watchers of a key in all processes, its generator, and the health of its source."""
    watchers = [{"process": process} | row for process, each in live.items() for row in each["watchers"]]
    producers = [{"process": process} | each["producer"] for process, each in live.items() if each["producer"]]
    health = [each["health"] for each in live.values() if each["health"]]
    producers.sort(key=lambda each: each["lease"] is None)
    health.sort(key=lambda each: _rank(each["state"]))
    return {
        "watchers": watchers[:MOST_WATCHERS],
        "watchers_total": sum(each["watchers_total"] for each in live.values()),
        "producer": producers[0] if producers else None,
        "health": health[0] if health else {"state": "live", "since": None, "reason": ""},
    }


def _newest_errors(errors: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return sorted(chain.from_iterable(errors), key=lambda each: each["at"], reverse=True)[:MOST]


def _unknown(process: str) -> dict[str, Any]:
    """Return the row of a process that has never answered."""
    broker = {"state": "none", "seconds": 0.0, "problem": "", "waiting": 0}
    numbers = dict.fromkeys(("uptime", "cpu", "connections", "clients", "runs", "messages", "bytes"), 0)
    return {
        "name": process, "host": "", "pid": 0, "memory": None, "loop_lag": {"mean": 0.0, "worst": 0.0}, **numbers,
        "lanes": {}, "refused": {}, "broker": broker,
    }  # fmt: skip


def _definition(listed: Listed, by_process: Mapping[str, Any]) -> dict[str, Any]:
    path, kind, name, *_ = listed
    numbers = {process: each["figures"][name] for process, each in by_process.items() if name in each["figures"]}
    runs = {process: each["runs"].get(path, {}) for process, each in by_process.items()}
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
