"""From results to text: the tables of `browser` as they are printed, and the page that is kept."""

from collections.abc import Iterator, Sequence

from benchmarks.browser import rows
from benchmarks.browser.table import Effort, Results
from benchmarks.browser.values import paid
from benchmarks.feeds.report import misses
from benchmarks.report import Section

_METHOD = """\
- The server is one process of its own on 127.0.0.1 with the asyncio loop and uvicorn's defaults; the page comes from
  it. uvicorn compresses the frames of a plain loop, as browsers ask it to; where it says uncompressed, that is off.
  Wirespeed does not compress unless asked to.
- Chromium is headless, each pair has a fresh one with one tab. It is told what to do through the DevTools protocol with
  its Network domain off: with that on, as in Playwright or in an open Network panel, each frame is reported, and a page
  that gets one frame for each value is three to four times slower. The figures here are those of a visitor.
- Connections are open, and each way has run twice, before anything is timed. Before each run garbage is collected. The
  time begins with asking (the message to the WebSocket, the subscription, the first request) and ends when the page has
  handled the last value, by its own clock.
- Handled means: parsed, given to the same function everywhere, which counts it, adds its number, keeps it, and writes
  the last one into the page at most once per frame. Afterwards count, sum and last value are checked.
- Of HTTP polling 1,000 requests are made one after the other, on one connection that is kept; the rest is extrapolated.
- Main-thread time is the renderer's own (`TaskDuration`, by the thread's CPU clock), the server's is its process's
  CPU clock.
- The longest task is what the browser reports itself (`longtask`, from 50 ms on), over all runs. The longest gap is
  from runs of their own, in which a `MessageChannel` ticks: the longest time for which it had no turn.
- Feeds: one loop in the server publishes each millisecond what is due, to one topic after the other. Ours watches
  topics with `keep="latest"` through `live.feed(...).bind(...)`, all on one connection. Bare means: a WebSocket for
  each topic of a twin with `keep=10_000`, which sends every value, and `onmessage` that parses it and sets the text.
- A paint is an animation frame before which, or in which, a text was set; its age is taken in that frame: `Date.now()`
  minus the server's time in the value, on the same machine.
- The heap is what scripts hold after a garbage collection. What a blocked browser has grown by is the resident memory
  of all its processes shortly before the page runs again. Waiting values are those that came after that and were made
  before it; they are counted until all 20 texts are younger than 100 ms."""

_CAVEATS = """\
- Server and browser share one machine of few cores.
- On the loopback interface the network costs nothing. A slow one adds the same to all, but for HTTP polling, which it
  makes slower by one round trip for each value.
- 10,000 values that are ready at once are the best case for gathering them.
- A WebSocket that gets every value shows the same texts as one that gets the newest: pages that need each value cannot
  have them conflated, only in batches (`every`)."""


def sections(results: Results) -> list[Section]:
    """Everything that was measured, in the order in which it is read."""
    found = (_values(results), _paid(results), _minute(results), _blocked(results))
    return [section for section in found if section.rows]


def page(results: Results, machine: Sequence[tuple[str, str]], effort: Effort) -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# Browser: what a page makes of it",
            "",
            "Written by `make bench`. What counts are the ratios of one run; the milliseconds belong to one machine.",
            "",
            "![Time until a page has handled a value](browser.svg)",
            "",
            *(section.render() for section in sections(results)),
            "## Measured on",
            "",
            *(f"- {name}: {value}" for name, value in machine),
            "",
            "## How it was measured",
            "",
            f"- Every ratio comes from {effort.values.rounds} pairs in one run: ours, the other, ours, the other.",
            _METHOD,
            "",
            "## What is weaker",
            "",
            *_remarks(results),
            "",
        ]
    )


def _values(results: Results) -> Section:
    header = ("ours", "the other", "pairs", "our time (min to max)", "its time (min to max)", "ratio (min to max)")
    return Section(
        "10,000 values until the page has handled the last one",
        "Milliseconds, the median of the runs and both ends. The ratio says how many times faster the first one is:\n"
        "the median of the pairs, and both ends. The last ratio is that of the work of the page's main thread, which\n"
        "depends least on what else the machine does.",
        (*header, "main thread", "aim"),
        [rows.comparison(each) for each in results.comparisons],
    )


def _paid(results: Results) -> Section:
    return Section(
        "What 10,000 values cost",
        "Milliseconds, the median of all runs: until the last one was handled, the work of the page's main thread,\n"
        "CPU of the server. The longest task of all runs; the longest time for which nothing else had its turn.",
        ("way", "server", "time", "main thread", "server's CPU", "longest task", "longest gap", "aim"),
        [rows.paid(each) for each in paid(results.comparisons)],
    )


def _minute(results: Results) -> Section:
    header = ("shown by", "", "changes/s", "paints/s", "main thread", "browser", "server", "heap grown by", "median")
    return Section(
        "20 feeds that change all the time",
        "Values published per second, frames per second in which the page has painted a new one. Work of the page's\n"
        "main thread, and CPU of all processes of the browser and of the server, in percent of a core. Growth of the\n"
        "heap in KiB; the age of what was painted in milliseconds.",
        (*header, "p99"),
        [rows.minute(each) for each in results.minutes],
    )


def _blocked(results: Results) -> Section:
    header = ("shown by", "blocked", "age before", "until fresh", "messages", "values", "browser grown by")
    return Section(
        "A blocked tab",
        "The same load, and a main thread that does something else. The age of the oldest text before that, and the\n"
        "time after it until all texts are younger than 100 ms, in milliseconds; messages and values that had waited;\n"
        "MiB by which the browser has grown meanwhile, and KiB by which the page's heap has. Medians of the runs.",
        (*header, "heap grown by", "aim"),
        [rows.blocked(each) for each in results.blocked],
    )


def _remarks(results: Results) -> Iterator[str]:
    """What a reader should know before believing the tables; the misses first."""
    yield from (f"- Missed: {miss}." for miss in misses(sections(results)))
    missing = {each.match.name: each.missing for each in results.comparisons if each.missing} | results.missing
    yield from (f"- {name} was not available: {reason}." for name, reason in missing.items())
    yield _CAVEATS
