"""Checks with the console's figures: processes, broker, lanes, event loops and sources."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from .checks import Finding, Level, note, ok, slow, wrong
from .failures import CommandError
from .overview import overviews, understood
from .target import Target

LOOKS = 12
"""Connections, of which several reach different workers."""

LAG = 0.1
"""Seconds of loop lag that watchers notice."""

LOG = "Check the app's log."
GUARD = "Guard it: Live(app, console=Console(dependencies=[Depends(admin)])), or WIRESPEED_CONSOLE=0."


async def check(target: Target) -> list[Finding]:
    """Return what the console's overview shows."""
    try:
        now = await _look(target)
    except CommandError as error:
        text = str(error).rstrip(".")
        return [note("console", f"{text}; processes, broker and lanes were not checked", error.hint)]
    others = await asyncio.gather(*(_look(target) for _ in range(LOOKS - 1)), return_exceptions=True)
    try:
        with understood(target):
            seen = {now["self"], *(each["self"] for each in others if isinstance(each, dict))}
            return [*_console(target, now), *_processes(now, seen), *_lanes(now), *_loops(now), *_sources(now)]
    except CommandError as error:
        return [note("console", str(error).rstrip("."), error.hint)]


async def _look(target: Target) -> dict[str, Any]:
    async with overviews(target) as values:
        return await anext(values)


def _console(target: Target, now: Mapping[str, Any]) -> Iterator[Finding]:
    if target.token:
        yield ok("console", "on, for this token", now)
    else:
        level = Level.NOTE if target.is_local else Level.WRONG
        yield Finding(level, "console", "on, and open to everyone who can reach this address", GUARD, now)


def _processes(now: Mapping[str, Any], seen: set[str]) -> Iterator[Finding]:
    processes = now["processes"]
    states = {each["broker"]["state"] for each in processes if each["answered"]}
    names = {each["name"] for each in processes}
    if states <= {"none"} and len(seen | names) > len(processes):
        text = (
            f"{len(seen | names)} processes have no broker: a publication reaches only the clients of its own process"
        )
        yield wrong("broker", text, "Set WIRESPEED_BROKER=redis://..., or use 'wirespeed serve --workers'.")
        return
    yield ok("processes", f"{len(processes)}")
    for each in processes:
        if not each["answered"]:
            yield wrong("processes", f"{each['name']} does not answer", "It was killed, or its event loop is blocked.")
        state, problem = each["broker"]["state"], each["broker"]["problem"]
        if state not in ("none", "ok"):
            fix = "Check that the broker runs and can be reached from the app."
            yield wrong("broker", f"{state} for {each['broker']['seconds']:.0f} s in {each['name']}: {problem}", fix)
    if states == {"ok"}:
        yield ok("broker", "all processes reach it")
    elif states <= {"none"}:
        yield ok("broker", "none, and one process needs none")


def _lanes(now: Mapping[str, Any]) -> Iterator[Finding]:
    lanes: dict[str, int] = {}
    refused: dict[str, int] = {}
    for each in now["processes"]:
        for name, number in each["lanes"].items():
            lanes[name] = lanes.get(name, 0) + number
        for name, number in each["refused"].items():
            refused[name] = refused.get(name, 0) + number
    portable = lanes.get("portable", 0)
    if portable:
        reasons = ", ".join(f"{number} {name}" for name, number in refused.items()) or "see the log"
        yield slow("lanes", f"{portable} of {sum(lanes.values())} connections have the portable lane ({reasons})",
                   "Each delivery costs more there: see docs/topics/fast-lane.md for each reason.")  # fmt: skip
    elif lanes:
        yield ok("lanes", ", ".join(f"{number} {name}" for name, number in lanes.items()))


def _loops(now: Mapping[str, Any]) -> Iterator[Finding]:
    late = [each for each in now["processes"] if each.get("loop_lag") and each["loop_lag"]["worst"] > LAG]
    for each in late:
        yield slow("event loop", f"{each['name']} was late by up to {1000 * each['loop_lag']['worst']:.0f} ms",
                   "Blocking code runs in it: use sync generators (threads), or asyncio.to_thread.")  # fmt: skip
    busy = [each for each in now["processes"] if (each["cpu"] or 0) > 0.9]
    for each in busy:
        yield slow("CPU", f"{each['name']} uses {100 * each['cpu']:.0f} % of a core", "Add workers: --workers.")
    if not late and not busy:
        yield ok("event loop", "no process is late or busy")


def _sources(now: Mapping[str, Any]) -> Iterator[Finding]:
    for each in now["definitions"]:
        if each["failing"]:
            yield wrong("sources", f"{each['path']}: {each['failing']} of its keys keep failing", LOG)
        elif each["failed"]:
            yield wrong("sources", f"{each['path']}: {each['failed']} values or publications failed", LOG)
        if each["lost"]:
            yield slow("watchers", f"{each['path']}: watchers were too slow for {each['lost']} values",
                       "Keep more (keep=), or let them skip (keep='latest').")  # fmt: skip
