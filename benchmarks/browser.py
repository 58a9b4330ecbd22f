"""The suite `browser`: values and feeds in a page, in Chromium, without a driver that reports every frame."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.chromium import Browser, Tab, browsing
from benchmarks.engine_values import engine_values
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Suite, Target, fresh
from benchmarks.processes import Server, serving
from benchmarks.roster import BROWSER
from benchmarks.sampling import kib, millis, number, percent
from benchmarks.websocket import ProtocolError

# The work that a run still has to do when its last value was handled belongs to it.
_SETTLE_SECONDS = 0.1
_WARM_SECONDS = 2.0
_RATE = 10_000
_TASK_MS = 50
# The promise is 100 ms and one round trip, which takes less than 10 ms on one machine.
_FRESH_MS = 110
# Memory is read after this share of the time: the page is still blocked then.
_PART = 0.95
_NEVER_FRESH_MS = 30_000

_UNCOMPRESSED = ("--ws-per-message-deflate", "false")
_ITERATE = ("iterate", "Wirespeed client, `for await`")
_BATCHES = ("batches", "Wirespeed client, `.batches()`")
_SDK = ("sdk", "Wirespeed, `centrifuge` package")
_RAW = ("raw", "Wirespeed, bare WebSocket")
_PLAIN = ("plain", "FastAPI loop, bare WebSocket")
_POLLING = ("polling", "HTTP polling (1,000, times 10)")
_SHOWS = (("wirespeed", "newest", "Wirespeed client, `maxRate: 60`"), ("bare", "all", "20 bare WebSockets"))


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "browser",
        "Browser: values and feeds in a page",
        "Time until a page has handled a value",
        ("values", "wall", "10,000 JSON values, time for each"),
        (_values(quick=quick), engine_values(quick=quick), _minute(quick=quick), _blocked(quick=quick)),
        _METHOD,
        _CAVEATS,
    )


# 10,000 values


def _values(*, quick: bool) -> Benchmark:
    rounds = 2 if quick else 9
    plain, uncompressed = _side(*_PLAIN), _side(*_PLAIN, *_UNCOMPRESSED)
    no_task = Target("longest", _TASK_MS - 1, f"no task of {_TASK_MS} ms")
    iterating = _side(*_ITERATE), plain, uncompressed, _side(*_RAW), _side(*_SDK), _side(*_POLLING)
    return Benchmark(
        "values",
        "10,000 values until the page has handled the last one",
        "Each ratio divides the time, or the work of the page's main thread, by that of the first way of its group "
        "in the same pair: the median of the pairs, and both ends. The work of the main thread depends least on "
        "what else the machine does. The browser reports tasks of 50 ms and more; a gap is the longest time for "
        "which the page did nothing else.",
        (
            Metric("wall", "Time per value (µs)", millis, has_ratio=True),
            Metric("page", "Main thread per value (µs)", millis, has_ratio=True),
            Metric("server", "Server's CPU per value (µs)", millis),
            Metric("longest", "Longest reported task (ms)", _task, combine=max),
            Metric("gap", "Longest gap (ms)", millis),
        ),
        (
            Case("`for await`", iterating, rounds, (_faster(15), no_task)),
            Case("`.batches()`", (_side(*_BATCHES), plain), rounds, (no_task,)),
            Case("`centrifuge` package", (_side(*_SDK), plain), rounds, (_faster(25),)),
            Case("bare WebSocket", (_side(*_RAW), plain), rounds),
        ),
        is_tall=False,
    )


def _task(milliseconds: float) -> str:
    return millis(milliseconds) if milliseconds >= _TASK_MS else f"under {_TASK_MS}"


def _side(key: str, name: str, *options: str) -> Side:
    kind = "wirespeed" if name.startswith("Wirespeed") else "peer"
    return Side(f"{name}{', uncompressed' if options else ''}", partial(_opened, key, options), kind)


def _faster(ratio: int) -> Target:
    return Target("wall", ratio, f"at least {ratio} times faster than the loop", is_least=True, versus=_PLAIN[1])


@contextlib.contextmanager
def _opened(key: str, options: tuple[str, ...], source: Path | None) -> Iterator[Sampler]:
    """A server and a browser with one tab, whose connection is open and has carried the values twice."""
    with _tab(source, *options) as (server, _, tab):
        tab.call("values.prepare", key)
        yield partial(_timed, tab, server, key)


def _timed(tab: Tab, server: Server, key: str) -> Sample:
    tab.collect()
    busy, cpu = tab.busy_seconds(), server.cpu_ns()
    run = tab.call("values.timed", key)
    time.sleep(_SETTLE_SECONDS)
    busy, cpu = tab.busy_seconds() - busy, server.cpu_ns() - cpu
    return {
        "wall": run["milliseconds"] / 10,  # 10,000 values: microseconds for each
        "page": busy * 100 * run["scale"],
        "server": cpu / 1e7 * run["scale"],
        "longest": tab.call("values.longest", run["began"], run["ended"]),
        "gap": tab.call("values.gap", key),
    }


@contextlib.contextmanager
def _tab(source: Path | None, *options: str) -> Iterator[tuple[Server, Browser, Tab]]:
    with (
        serving((*BROWSER.command, *options), source) as server,
        browsing() as browser,
        browser.tab(server) as tab,
    ):
        yield server, browser, tab


# 20 feeds


def _minute(*, quick: bool) -> Benchmark:
    seconds = 10 if quick else 60
    return Benchmark(
        "minute",
        "20 feeds that change all the time",
        f"20 feeds with {_RATE:,} changes per second, shown in a page for {seconds} s. Paints are frames in which "
        "the page has painted a new value; the age is that of what was painted. Shares are those of the page's "
        "main thread, of all processes of the browser, and of the server, in percent of a core.",
        (
            Metric("published", "Changes per second", number),
            Metric("paints", "Paints per second", millis),
            Metric("page", "Main thread", percent),
            Metric("browser", "Browser", percent),
            Metric("server", "Server", percent),
            Metric("heap", "Growth of the heap (KiB)", kib),
            Metric("median", "Age, median (ms)", millis),
            Metric("p99", "Age, p99 (ms)", millis),
        ),
        (Case("", tuple(_show(*show, partial(_watch, seconds)) for show in _SHOWS)),),
    )


def _show(key: str, kind: str, name: str, measure: Callable[[str, str, Path | None], Sample]) -> Side:
    return Side(name, fresh(partial(measure, key, kind)), "wirespeed" if key == "wirespeed" else "peer")


def _watch(seconds: float, key: str, kind: str, source: Path | None) -> Sample:
    with _tab(source) as (server, browser, tab), _publishing(server, kind):
        tab.call("feeds.start", key, False)
        time.sleep(_WARM_SECONDS)
        heap = tab.heap_bytes()
        tab.call("feeds.reset")
        before = _usage(server, browser, tab)
        time.sleep(seconds)
        report = tab.call("feeds.report")
        after = _usage(server, browser, tab)
        heap = tab.heap_bytes() - heap
    if not report["texts"]:
        raise ProtocolError("nothing was painted")
    passed = after["at"] - before["at"]
    return {
        "published": (after["published"] - before["published"]) / passed,
        "paints": report["frames"] / passed,
        **{name: 100 * (after[name] - before[name]) / passed for name in ("page", "browser", "server")},
        "heap": heap / 1024,
        "median": report["median"],
        "p99": report["p99"],
    }


def _usage(server: Server, browser: Browser, tab: Tab) -> Sample:
    """Return the seconds of work up to now, and the number of values published."""
    return {
        "published": server.get("/published"),
        "at": time.perf_counter(),
        "page": tab.busy_seconds(),
        "browser": browser.process.cpu_ns() / 1e9,
        "server": server.cpu_ns() / 1e9,
    }


@contextlib.contextmanager
def _publishing(server: Server, kind: str) -> Iterator[None]:
    server.get("/begin", kind=kind, rate=_RATE)
    yield
    server.get("/end")


# A blocked tab


def _blocked(*, quick: bool) -> Benchmark:
    seconds = 5.0
    return Benchmark(
        "blocked",
        "A blocked tab",
        f"The same feeds, in a page whose main thread is blocked for {seconds:g} s. Fresh means that all texts are "
        "younger than 100 ms; the messages and values are those that were waiting for the page.",
        (
            Metric("before", "Age of the oldest text before (ms)", millis),
            Metric("fresh", "Time until fresh (ms)", millis),
            Metric("messages", "Waiting messages", number),
            Metric("values", "Waiting values", number),
            Metric("browser", "Growth of the browser (KiB)", kib),
            Metric("heap", "Growth of the heap (KiB)", kib),
        ),
        (
            Case(
                "",
                tuple(_show(*show, partial(_block, seconds)) for show in _SHOWS),
                1 if quick else 3,
                (Target("fresh", _FRESH_MS, f"at most {_FRESH_MS} ms"),),
            ),
        ),
    )


def _block(seconds: float, key: str, kind: str, source: Path | None) -> Sample:
    with _tab(source) as (server, browser, tab), _publishing(server, kind):
        tab.call("feeds.start", key, True)
        time.sleep(_WARM_SECONDS)
        heap = tab.heap_bytes()
        resident = browser.process.resident_bytes()
        answer = tab.start("feeds.block", seconds * 1000)
        time.sleep(seconds * _PART)
        resident = browser.process.resident_bytes() - resident
        found = tab.answer(answer)
        heap = tab.heap_bytes() - heap
    figures: dict[str, float] = {name: found[name] for name in ("before", "messages", "values")}
    fresh_after = _NEVER_FRESH_MS if found["fresh"] is None else found["fresh"]
    return figures | {"fresh": fresh_after, "browser": resident / 1024, "heap": heap / 1024}


_METHOD = """\
- Servers run on the asyncio loop with uvicorn's defaults; the page comes from them. uvicorn compresses the frames of a
  plain loop, as browsers ask it to, unless the way is called uncompressed. Wirespeed does not compress unless asked to.
- Chromium is headless, and each side has one of its own with one tab. The benchmark controls it through the DevTools
  protocol with the Network domain off: with that on, as in Playwright or in an open Network panel, each frame is
  reported, and a page that gets one frame for each value is three to four times slower. The figures here are those of a
  visitor.
- Connections are open, and each way has run twice, before anything is timed. Before each run garbage is collected. The
  time begins with the request (the message to the WebSocket, the subscription, the first GET) and ends when the page
  has handled the last value, by its own clock.
- Handled means: parsed and passed to the same function everywhere, which counts the value, adds its number, keeps it,
  and writes the last one into the page at most once per frame. Afterwards count, sum and last value are checked.
- Of HTTP polling, 1,000 requests are made one after the other on one connection; the rest is extrapolated.
- The time of the main thread is the renderer's own (`TaskDuration`, by the thread's CPU clock); the server's is its
  process's CPU clock.
- The longest task is what the browser reports itself (`longtask`, from 50 ms on), over all runs. The longest gap is
  from runs of their own, in which a `MessageChannel` ticks: the longest time without a tick.
- Feeds: one loop in the server publishes each millisecond what is due, to one topic after the other. The Wirespeed
  client watches topics with `keep="latest"` through `live.feed(...).bind(...)`, all on one connection. Bare means: a
  WebSocket for each topic of a twin with `keep=10_000`, which sends every value, and `onmessage` that parses it and
  sets the text.
- A paint is an animation frame before which, or in which, a text was set; its age is taken in that frame: `Date.now()`
  minus the server's time in the value, on the same machine.
- The heap is what scripts hold after a garbage collection. The growth of a blocked browser is the resident memory of
  all its processes shortly before the page runs again. Waiting values came after that and were made before it; they
  are counted until all 20 texts are younger than 100 ms."""

_CAVEATS = """\
- A slow network adds the same to all, except for HTTP polling,
  which it makes slower by one round trip for each value.
- 10,000 values that are ready at once are the best case for gathering them.
- A WebSocket that gets every value shows the same texts as one that gets the newest: pages that need each value cannot
  conflate them, only gather them in batches (`every`)."""
