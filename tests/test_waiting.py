"""Tests wait for conditions, by the one deadline there is, and never for a time."""

import ast
import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hub.stepping import SteppedLoop
from tests.servers import ROOT
from tests.waiting import NEVER, TURNS, SteadyLoop, skip, until, until_async, wait_until

TESTS = ROOT / "tests"
WAITS = {"acquire", "join", "result", "settimeout", "timeout", "wait", "wait_for"}
OWN = ("apps", "waiting.py", "test_waiting.py", "testing")
"""Apps may take their time. The test kit's own timeouts are what its tests are about."""

MODULES = [path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] not in (*OWN, "sdk")]


def is_deadline(value: object) -> bool:
    """Return True for a deadline. Shorter times belong to the code under test."""
    return type(value) in (int, float) and isinstance(value, int | float) and value >= 1


def deadlines(module: Path) -> Iterator[str]:
    """Return the calls of a module that wait for a number of seconds."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [each.value for each in node.keywords if each.arg in ("timeout", "within")]
            given += node.args[:1] if name in WAITS else []
            if name != "stop" and any(isinstance(each, ast.Constant) and is_deadline(each.value) for each in given):
                yield f"{module.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


def test_no_test_has_a_deadline_of_its_own() -> None:
    """Every wait of a test has the deadline that only a hang reaches, except for how long a server takes to stop."""
    assert [found for module in MODULES for found in deadlines(module)] == []


def test_what_never_holds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait fails at the deadline, and says for what it waited."""
    monkeypatch.setattr("tests.waiting.PATIENCE", 0.0)
    with pytest.raises(AssertionError, match="the server says no"):
        wait_until(lambda: False, lambda: "the server says no")


@pytest.mark.anyio
async def test_asking_leaves_time_between() -> None:
    """Asking again does not keep the loop, or a rate limit, busy."""
    loop, asked = asyncio.get_running_loop(), list[float]()

    async def third() -> bool:
        asked.append(loop.time())
        return len(asked) == 3

    assert await until_async(third)
    assert all(later - earlier > 0.01 for earlier, later in pairwise(asked))


def test_clock_stands_while_the_process_does() -> None:
    """A loop's clock does not run while its process has no processor, and runs while it idles."""
    loop = SteadyLoop()
    before = loop.time()
    time.sleep(0.1)  # as if others had the CPU
    assert loop.time() - before < 0.1
    loop.run_until_complete(asyncio.sleep(0.1))
    assert loop.time() - before >= 0.1
    loop.close()


def test_waiting_for_a_thread_on_a_loop_whose_clock_stands() -> None:
    """Waiting for another thread, which may take longer than many turns, ends on each loop of the tests."""

    async def waits() -> None:
        gate, turned = threading.Event(), 0

        def holds() -> bool:
            nonlocal turned
            turned += 1
            if turned == 2 * TURNS:
                gate.set()
            return ended.done()

        ended = asyncio.ensure_future(asyncio.to_thread(gate.wait))
        await until(holds)

    for loop in (SteppedLoop, SteadyLoop):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(waits())


def test_deadline_where_time_stands() -> None:
    """A wait fails at the deadline on a loop whose clock stands, too."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner, pytest.raises(TimeoutError):
        runner.run(until(lambda: False, within=0.01))


def test_skipped_time_is_over() -> None:
    """A timer within the time that a test skips is due."""

    async def skips() -> None:
        waiting = asyncio.ensure_future(asyncio.sleep(NEVER))
        await asyncio.sleep(0)
        skip(NEVER)
        await waiting

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(skips())
