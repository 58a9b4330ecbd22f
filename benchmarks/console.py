"""The suite `console`: the cost of the console for what an app delivers, and the time until a large app is shown."""

import contextlib
import http.client
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from benchmarks import fanout
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Suite, Target
from benchmarks.processes import Server, serving
from benchmarks.roster import CONSOLE, LARGE, WIRESPEED
from benchmarks.sampling import kib, meeting, millis, percent
from benchmarks.websocket import HOST

RATE = 1000
_VIEWS = ("overview", "keys?path=/fan", "key?text=/fan", "clients")
_FILES = ("/live/", "/live/console/console.js", "/live/console/console.css")
_NOISE = 1.1


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "console",
        "The console",
        "Fan-out: CPU time of the server for each delivery",
        ("console cost", "cpu", ""),
        (_cost(quick=quick), _opening(quick=quick)),
        _METHOD,
        _CAVEATS,
    )


# The cost for what is delivered


def _cost(*, quick: bool) -> Benchmark:
    effort = fanout.Effort(200, 3, 2.0) if quick else fanout.Effort(1000, 5, 5.0)
    sides = (
        Side("No console", partial(fanout.party, WIRESPEED, RATE, effort.clients, effort.seconds), "wirespeed"),
        Side("Console closed", partial(_party, 0, effort)),
        Side("One console open", partial(_party, 1, effort)),
        Side("Ten consoles open", partial(_party, 10, effort)),
    )
    targets = tuple(
        Target("cpu", _NOISE, f"{side.name.lower()}: within noise, at most {_NOISE:.0%}", versus=side.name)
        for side in sides[1:3]
    )
    return Benchmark(
        "console cost",
        f"Fan-out to {effort.clients:,} clients, with and without the console",
        f"Values of 100 bytes to all clients, {RATE:,} per second. An open console shows the overview, the keys of the "
        "topic, the key with its watchers, and the clients, all at the same time; a page shows one or two of them.",
        fanout.METRICS,
        (Case(f"{RATE:,} per second", sides, effort.rounds, (*targets, fanout.LOSSLESS)),),
        is_tall=False,
    )


@contextlib.contextmanager
def _party(consoles: int, effort: fanout.Effort, source: Path | None) -> Iterator[Sampler]:
    with meeting(CONSOLE, source) as (server, load), contextlib.ExitStack() as stack:
        for view in _VIEWS * consoles:
            stack.enter_context(_view(server, view))
        party = fanout.Party(CONSOLE, server, load, effort.clients)
        party.sample(RATE, 0.3)
        yield partial(party.sample, RATE, effort.seconds)


def _view(server: Server, view: str) -> ClientConnection:
    """Return a WebSocket of one of the console's feeds. It reads in a thread of its own, and keeps what comes."""
    return connect(f"ws://{HOST}:{server.port}/live/console/{view}", max_size=None, max_queue=None)


# The time until a large app is shown


def _opening(*, quick: bool) -> Benchmark:
    keys = 2000 if quick else 10_000
    return Benchmark(
        "opening",
        f"Opening the console of an app with 500 definitions and {keys:,} keys",
        "The time of each step that a page takes, one after the other, and what the open console costs the server. The "
        "gap is the longest of a 1 ms ticker in the server's loop while one page shows the overview and another the "
        "keys.",
        (
            Metric("files", "The page's files (ms)", millis),
            Metric("document", "asyncapi.json (ms)", millis),
            Metric("overview", "First overview (ms)", millis),
            Metric("keys", "First list of keys (ms)", millis),
            Metric("found", "First result of a search (ms)", millis),
            Metric("total", "All of these (ms)", millis),
            Metric("size", "One overview (KiB)", kib),
            Metric("share", "Open: server's share of a core", percent),
            Metric("gap", "Open: longest gap of the loop (ms)", millis),
            Metric("closed", "Closed: server's share of a core", percent),
            Metric("quiet", "Closed: longest gap of the loop (ms)", millis),
        ),
        (Case("", (Side(LARGE.name, partial(_opened, keys, 3.0 if quick else 10.0), "wirespeed"),), 3, _TARGETS),),
    )


_TARGETS = (
    Target("total", 1000, "shown within a second"),
    Target("share", 10, "at most 10 % of a core while two pages are open"),
    Target("gap", 20, "a gap under 20 ms, on a machine that does nothing else"),
)


@contextlib.contextmanager
def _opened(keys: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    with serving(LARGE.command, source) as server:
        server.get("/fill", keys=keys)

        def sample() -> Sample:
            began = time.perf_counter()
            files = sum(
                _got(server, path) for path in ("/live/", "/live/console/console.js", "/live/console/console.css")
            )
            document = _got(server, "/live/asyncapi.json")
            overview, size = _first(server, "overview")
            listed, _ = _first(server, "keys?path=/sensor/{number}")
            found, _ = _first(server, "keys?path=/sensor/{number}&search=199")
            total = time.perf_counter() - began
            steps = {"files": files, "document": document, "overview": overview, "keys": listed, "found": found}
            times = {name: 1000 * each for name, each in (steps | {"total": total}).items()}
            with _view(server, "overview"), _view(server, "keys?path=/sensor/{number}"):
                time.sleep(0.5)
                share, gap = _share(server, seconds), server.get("/gap", seconds=seconds)["longest"]
            time.sleep(3)  # the feeds of the console linger
            closed, quiet = _share(server, seconds), server.get("/gap", seconds=seconds)["longest"]
            return times | {"size": size / 1024, "share": share, "gap": gap, "closed": closed, "quiet": quiet}

        yield sample


def _share(server: Server, seconds: float) -> float:
    cpu, began = server.cpu_ns(), time.monotonic_ns()
    time.sleep(seconds)
    return 100 * (server.cpu_ns() - cpu) / (time.monotonic_ns() - began)


def _got(server: Server, path: str) -> float:
    """Return the seconds that a GET takes."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    try:
        connection.request("GET", path, headers={"accept-encoding": "gzip"})
        connection.getresponse().read()
    finally:
        connection.close()
    return time.perf_counter() - began


def _first(server: Server, view: str) -> tuple[float, int]:
    """Return the seconds until the first value of a feed, and its size in bytes."""
    began = time.perf_counter()
    with _view(server, view) as client:
        value = client.recv()
    return time.perf_counter() - began, len(value)


_METHOD = """\
- Servers run on the asyncio loop. The clients of the fan-out are one other process; the pages are WebSockets of a
  third.
- CPU time counts from before the first value until the last byte has come. It includes what the console reads and
  sends.
- Keys are watched by the app's own code, so that no connections are measured beside them."""

_CAVEATS = """\
- The console reads each second. Its cost per delivery falls as more is delivered, and is a fixed share of a core."""
