"""Insight: readings of this process, and the same readings of all others."""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

from ...codec import json_of
from ...errors import BrokerDown
from ...isolation import isolated
from ..hub import Hub
from .process import process_seen
from .vitals import Vitals

_WORD = "look"

PATIENCE = 0.8
"""Seconds that other processes have for a reading."""


class Reports(NamedTuple):
    """The readings of all processes that have answered."""

    own: str
    """Name of this process."""
    by_process: Mapping[str, Any]
    """Reports by process, this one first."""
    silent: Collection[str]
    """Other processes that are alive and have not answered."""


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
        }
        hub.processes.slow[_WORD] = self._look_for_other

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
            with isolated("A process has sent a reading that is malformed."):
                found[process] = json.loads(answer)
        return Reports(self._hub.process, found, answers.silent)

    async def _look(self, what: str, arguments: Mapping[str, Any]) -> Any:
        return await self._readings[what](**arguments)

    async def _look_for_other(self, body: bytes) -> bytes:
        what, arguments = json.loads(body)
        return json_of(await self._look(what, arguments))
