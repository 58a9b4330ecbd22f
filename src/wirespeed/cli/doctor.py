"""``wirespeed doctor``: what is slow or wrong with a server, and how to fix it."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from .checks import Finding, Level
from .failures import CommandError, ExitCode, run
from .listing import Server
from .target import Target, target_of
from .terminal import clean, is_terminal, output

MARKS = {
    Level.OK: ("ok", "green"),
    Level.NOTE: ("note", "cyan"),
    Level.SLOW: ("slow", "yellow"),
    Level.WRONG: ("wrong", "red"),
}


def doctor(server: Server, *, as_json: bool) -> None:
    """Check a server, and write what was found.

    Raises:
        CommandError: The server cannot be reached, or something is slow or wrong.
    """
    target = target_of(*server)
    findings = examine(target)
    if as_json:
        print(json.dumps([each.plain() for each in findings], indent=2 if is_terminal() else None))
    elif is_terminal():
        _print(target, findings)
    else:
        for each in findings:
            print(*map(clean, (each.level, each.check, each.text, each.fix)), sep="\t")
    bad = [each for each in findings if each.level in (Level.SLOW, Level.WRONG)]
    if bad:
        several = "1 thing is" if len(bad) == 1 else f"{len(bad)} things are"
        raise CommandError(f"{several} slow or wrong at {target.url}.", code=ExitCode.FAILED)


def examine(target: Target) -> list[Finding]:
    """Return the findings of all checks.

    Raises:
        CommandError: The server cannot be reached.
    """
    from . import checks_console, checks_http, checks_local, checks_websocket

    findings: list[Finding] = []
    findings += checks_http.check(target)
    findings += run(_over_websockets(target, checks_websocket, checks_console))
    overview = next((each.data for each in findings if each.data is not None), None)
    findings += checks_local.check(target, overview)
    return findings


async def _over_websockets(target: Target, *modules: Any) -> Iterable[Finding]:
    results = await asyncio.gather(*(each.check(target) for each in modules))
    return [finding for result in results for finding in result]


def _print(target: Target, findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for each in findings:
        mark, style = MARKS[each.level]
        text = Text(clean(each.text))
        if each.fix:
            text.append(f"\n→ {clean(each.fix)}", "bold" if each.level is not Level.NOTE else "dim")
        table.add_row(Text(mark, style), Text(clean(each.check)), text)
    console = output()
    console.print(Text(clean(target.url), "bold"))
    console.print(table)
