"""Insight: readings of this process, and the same readings of all others."""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

from ...codec import json_of
from ...errors import BrokerDown
from ...isolation import isolated
from ..hub import Hub
from ..processes import MOST_BYTES
from .clients import client_seen, clients_seen, drop
from .keys import key_seen, keys_seen
from .process import process_seen
from .shapes import SHAPES
from .vitals import Vitals

_WORD, _DROP = "look", "drop"

PATIENCE = 0.8
"""Seconds that other processes have for a reading."""

_MALFORMED = "A process has sent a reading that is malformed, or of another version."

LISTS = ("keys", "clients", "entries", "watchers", "channels")
"""Lists in reports, which may be cut."""


class Reports(NamedTuple):
    """The readings of all processes that have answered."""

    own: str
    """Name of this process."""
    by_process: Mapping[str, Any]
    """Reports by process, this one first."""
    silent: Collection[str]
    """Other processes that are alive and have not answered, or with something else."""


class Insight:
    """Reads the state of this process, and lets other processes read it.

    Args:
        hub: The hub of the app. Nothing in it changes by a reading, and nothing is counted for one.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._vitals = Vitals()
        self._readings: dict[str, Callable[..., Awaitable[Any]]] = {
            "process": lambda: process_seen(hub, self._vitals),
            "keys": partial(keys_seen, hub),
            "key": partial(key_seen, hub),
            "clients": partial(clients_seen, hub),
            "client": partial(client_seen, hub),
        }
        hub.processes.slow[_WORD] = self._look_for_other
        hub.processes.answers[_DROP] = lambda body: b"1" if drop(hub, body.decode()) else b"0"

    async def look_everywhere(self, what: str, **arguments: Any) -> Reports:
        """Return a reading of all processes; of this one only, if the broker cannot be reached.

        Args:
            what: Name of the reading.
            **arguments: Its arguments, in the types of JSON.
        """
        found = {self._hub.process: await self._look(what, arguments)}
        silent: Collection[str] = ()
        try:
            answers = await self._hub.processes.ask_all(_WORD, json_of([what, arguments]), PATIENCE)
        except BrokerDown:
            return Reports(self._hub.process, found, silent)
        for process, answer in answers.bodies.items():
            with isolated(_MALFORMED):
                found[process] = SHAPES[what].validate_json(answer)
        return Reports(self._hub.process, found, {*answers.silent, *answers.bodies.keys() - found.keys()})

    async def look_at(self, process: str, what: str, **arguments: Any) -> Any:
        """Return a reading of one process; None if it is gone, does not answer, or sends something else.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        if process == self._hub.process:
            return await self._look(what, arguments)
        answer = await self._hub.processes.ask(_WORD, json_of([what, arguments]), process)
        if answer is not None:
            with isolated(_MALFORMED):
                return SHAPES[what].validate_json(answer)
        return None

    async def drop(self, process: str, client: str) -> bool:
        """Disconnect a client of a process; return True if it was there.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        if process == self._hub.process:
            return drop(self._hub, client)
        return await self._hub.processes.ask(_DROP, client.encode(), process) == b"1"

    async def _look(self, what: str, arguments: Mapping[str, Any]) -> Any:
        return await self._readings[what](**arguments)

    async def _look_for_other(self, body: bytes) -> bytes:
        what, arguments = json.loads(body)
        return bounded(await self._look(what, arguments))


def bounded(report: Any) -> bytes:
    """Return a report as JSON that fits into one message between processes; the longest lists lose their ends."""
    while len(text := json_of(report)) > MOST_BYTES:
        name = max(LISTS, key=lambda each: len(report.get(each, ())))
        if not report.get(name):
            break  # what sends it refuses it, and logs that
        report = report | {name: report[name][: len(report[name]) // 2]}
    return text
