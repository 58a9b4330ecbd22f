"""One process as a whole: its vital signs, its connections, and the figures of each definition."""

import os
from collections.abc import Callable
from typing import Any

from ...codec import json_of
from ...definitions import RunStatistics, WatchStatistics
from ..hub import Hub
from ..processes import MOST_BYTES
from ..turns import in_turns
from .vitals import Vitals

NUMBERS = (
    "keys", "watchers", "published", "delivered", "skipped", "lost", "failed", "restarts", "failing", "bytes",
)  # fmt: skip
"""The figures of a feed or topic, in the order in which they travel."""
RUNS = ("active", "completed", "refused", "failed", "cancelled", "messages")
"""The figures of a stream or call."""


async def process_seen(hub: Hub, vitals: Vitals) -> dict[str, Any]:
    """Return the process, and the figures of its feeds and topics by their names, without those that have none."""
    figures, producers = {}, {}
    engine = hub.running_engine()
    async for some in in_turns(hub.names() if engine is not None else ()):
        for watched, name in some:
            numbers, states = _figures(hub.watching(watched))
            if any(numbers):
                figures[name] = numbers
            if states:
                producers[name] = states
    counted = {path: _numbers(each) for path, each in hub.running.statistics().items()}
    runs = {path: numbers for path, numbers in counted.items() if any(numbers.values())}
    return bounded({"process": _process(hub, vitals), "figures": figures, "producers": producers, "runs": runs})


def _numbers(runs: RunStatistics) -> dict[str, int]:
    return {name: getattr(runs, name) for name in RUNS}


def bounded(seen: dict[str, Any]) -> dict[str, Any]:
    """Return a reading that fits into one message: of thousands of definitions, those with the largest figures."""
    largest: dict[str, Callable[[Any], int]] = {
        "figures": lambda numbers: numbers[1],  # the watchers
        "producers": lambda states: sum(states.values()),
        "runs": lambda numbers: sum(numbers.values()),
    }
    while len(json_of(seen)) > MOST_BYTES:
        name = max(largest, key=lambda each: len(seen[each]))
        if not seen[name]:
            break  # what sends it refuses it, and logs that
        rows = sorted(seen[name].items(), key=lambda row: largest[name](row[1]), reverse=True)
        seen[name] = dict(rows[: len(rows) // 2])
    return seen


def _process(hub: Hub, vitals: Vitals) -> dict[str, Any]:
    statistics, health = hub.statistics(), hub.health()
    lag = statistics.loop_lag
    return {
        "name": hub.process,
        "host": vitals.host,
        "pid": os.getpid(),
        "uptime": round(vitals.uptime(), 3),
        "loop_lag": {"mean": round(lag.mean, 6), "worst": round(lag.worst, 6)},
        "cpu": round(vitals.cpu(), 4),
        "memory": vitals.memory(),
        "connections": statistics.connections,
        "clients": len(hub.reachable),
        "runs": statistics.runs,
        "messages": statistics.messages,
        "bytes": statistics.bytes,
        "lanes": dict(statistics.lanes),
        "refused": dict(statistics.refused),
        "broker": {
            "state": health.state,
            "seconds": round(health.seconds, 3),
            "problem": health.problem,
            "waiting": health.waiting,
        },
    }


def _figures(figures: WatchStatistics) -> tuple[list[int], dict[str, int]]:
    """Return the figures of a feed or topic, and its generators by state."""
    return [getattr(figures, name) for name in NUMBERS], dict(figures.producers)
