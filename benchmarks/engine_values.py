"""10,000 values in a page of each engine, for the suite `browser`."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.engines import ENGINES, Page
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Target
from benchmarks.processes import Server, serving
from benchmarks.roster import BROWSER
from benchmarks.sampling import millis, number
from benchmarks.websocket import HOST

_FACTORS = {"Chromium": 15, "Firefox": 8, "WebKit": 8}
"""Least ratio of the time of the plain loop's page to that of the client."""
_PARSES = 2
"""Most parses that the client may take, beside the server's own time."""
_REPEATED = 9
"""Runs of `JSON.parse` per sample: a browser's clock may have steps of a millisecond."""
_CLIENT, _PLAIN = "Wirespeed client, `for await`", "FastAPI loop, bare WebSocket"
_WAYS = (
    ("iterate", _CLIENT),
    ("plain", _PLAIN),
    ("raw", "Wirespeed, bare WebSocket"),
    ("batches", "Wirespeed client, `.batches()`"),
)
_OURS = ("iterate", "batches")
_READY = """() => new Promise((resolve) => {
  const look = () => (globalThis.isReady ? resolve(true) : setTimeout(look, 20));
  look();
})"""


def engine_values(*, quick: bool) -> Benchmark:
    """Return the benchmark of 10,000 values in each engine."""
    rounds = 3 if quick else 9
    return Benchmark(
        "engines",
        "10,000 JSON values in each engine",
        "The time until the page has handled the last value, in pairs: the client, and each of the others. A parse is "
        "one `JSON.parse` of an array with the same values, which are handled as well. The last figure is the time "
        "without the CPU time of the server, in such parses.",
        (
            Metric("wall", "Time (ms)", millis, has_ratio=True),
            Metric("server", "Server's CPU (ms)", millis),
            Metric("parse", "One parse (ms)", millis),
            Metric("parses", "Time beyond the server's, in parses", number),
        ),
        tuple(_case(engine, factor, rounds) for engine, factor in _FACTORS.items()),
        is_tall=False,
    )


def _case(engine: str, factor: int, rounds: int) -> Case:
    sides = tuple(
        Side(name, partial(_opened, engine, key), "wirespeed" if key in _OURS else "peer") for key, name in _WAYS
    )
    faster = Target("wall", factor, f"at least {factor} times as fast as the loop", is_least=True, versus=_PLAIN)
    near = Target("parses", _PARSES, f"at most {_PARSES} parses and the server's time")
    return Case(engine, sides, rounds, (faster, near))


@contextlib.contextmanager
def _opened(engine: str, key: str, source: Path | None) -> Iterator[Sampler]:
    """A server and a browser with one page, whose connection is open and has carried the values twice."""
    with (
        serving(BROWSER.command, source) as server,
        ENGINES[engine]() as browser,
        browser.open(f"http://{HOST}:{server.port}/") as page,
    ):
        page.call(_READY)
        page.call("values.prepare", key)
        page.call("values.prepare", "parse")
        yield partial(_timed, page, server, key)


def _timed(page: Page, server: Server, key: str) -> Sample:
    before = server.cpu_ns()
    run = page.call("values.timed", key)
    spent = (server.cpu_ns() - before) / 1e6
    parse = median(page.call("values.timed", "parse")["milliseconds"] for _ in range(_REPEATED))
    return {
        "wall": run["milliseconds"],
        "server": spent,
        "parse": parse,
        "parses": max(0.0, run["milliseconds"] - spent) / max(parse, 0.1),
    }
