"""20 feeds that change 10,000 times per second, shown in a page for a minute."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from benchmarks.browser.chromium import Browser, Tab, browsing
from benchmarks.browser.roster import SERVER, Show
from benchmarks.client import ProtocolError
from benchmarks.feeds.roster import ask
from benchmarks.processes import Server, serving

WARM_SECONDS = 2.0


@dataclass(frozen=True)
class Effort:
    """How many changes per second, of all feeds together, and for how many seconds."""

    rate: int
    seconds: float


@dataclass(frozen=True)
class Usage:
    """Seconds of work up to a moment, and how many values the server has published."""

    at: float
    page: float
    browser: float
    server: float
    published: int

    @classmethod
    def now(cls, browser: Browser, tab: Tab, server: Server) -> Self:
        published = ask(server, "/published")
        cpu = (browser.process.cpu_ns() / 1e9, server.cpu_ns() / 1e9)
        return cls(time.perf_counter(), tab.busy_seconds(), *cpu, published)


@dataclass(frozen=True)
class Minute:
    """What a page has made of it, per second: values published, frames in which something new was painted, texts that
    were. Shares are of a core: the page's main thread, all of the browser, the server. Ages are in milliseconds, what
    the heap has grown by in bytes."""

    show: Show
    published: float
    paints: float
    texts: float
    page: float
    browser: float
    server: float
    grown: int
    median: float
    p99: float


def measure(effort: Effort, show: Show) -> Minute:
    """One way to show them, on a fresh server and in a fresh browser."""
    with contextlib.ExitStack() as stack:
        server, browser = stack.enter_context(serving(SERVER)), stack.enter_context(browsing())
        tab = stack.enter_context(browser.tab(server))
        stack.enter_context(publishing(server, effort.rate, show))
        tab.call("feeds.start", show.key, False)
        time.sleep(WARM_SECONDS)
        return _watch(effort, show, browser, tab, server)


def _watch(effort: Effort, show: Show, browser: Browser, tab: Tab, server: Server) -> Minute:
    heap = tab.heap_bytes()
    tab.call("feeds.reset")
    before = Usage.now(browser, tab, server)
    time.sleep(effort.seconds)
    report = tab.call("feeds.report")
    after = Usage.now(browser, tab, server)
    return _minute(show, before, after, report, tab.heap_bytes() - heap)


def _minute(show: Show, before: Usage, after: Usage, report: dict[str, float], grown: int) -> Minute:
    if not report["texts"]:
        raise ProtocolError("nothing was painted")
    seconds = after.at - before.at
    return Minute(
        show,
        published=(after.published - before.published) / seconds,
        paints=report["frames"] / seconds,
        texts=report["texts"] / seconds,
        page=(after.page - before.page) / seconds,
        browser=(after.browser - before.browser) / seconds,
        server=(after.server - before.server) / seconds,
        grown=grown,
        median=report["median"],
        p99=report["p99"],
    )


@contextlib.contextmanager
def publishing(server: Server, rate: int, show: Show) -> Iterator[None]:
    """So many changes per second, until the block ends."""
    ask(server, "/begin", kind=show.kind, rate=rate)
    yield
    ask(server, "/end")
