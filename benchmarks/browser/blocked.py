"""A tab that was blocked while its feeds went on: how long it shows the past, and what has piled up in it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.browser.chromium import Browser, browsing
from benchmarks.browser.minute import WARM_SECONDS, publishing
from benchmarks.browser.roster import SERVER, Show
from benchmarks.processes import Server, serving

# Memory is looked at when this part of the time is over: the page is still blocked then.
_PART = 0.95


@dataclass(frozen=True)
class Effort:
    """How many changes per second, how many seconds the tab is blocked, and how often it is tried."""

    rate: int
    seconds: float
    runs: int


@dataclass(frozen=True)
class Sample:
    """`before` is how old the oldest text was when the tab was blocked, in milliseconds, `fresh` how long it took after
    that until all texts were younger than 100 ms; None for not within 30 s.

    `messages` and `values` had waited for the page. `browser` and `heap` are the bytes by which the browser has grown
    until the end of the block, and the page's heap until all was fresh.
    """

    before: float
    fresh: float | None
    messages: int
    values: int
    browser: int
    heap: int


@dataclass(frozen=True)
class Blocked:
    """All runs of one way to show them, and the seconds that each was blocked."""

    show: Show
    seconds: float
    samples: list[Sample]

    @property
    def fresh(self) -> list[float]:
        """Of those that became fresh."""
        return [each.fresh for each in self.samples if each.fresh is not None]

    def middle(self, of: Callable[[Sample], float]) -> float:
        return median(map(of, self.samples))


def measure(effort: Effort, show: Show) -> Blocked:
    """One way to show them; each run has a fresh server and a fresh browser."""
    samples = []
    for _ in range(effort.runs):
        with serving(SERVER) as server, browsing() as browser, publishing(server, effort.rate, show):
            samples.append(_sample(browser, server, effort, show))
    return Blocked(show, effort.seconds, samples)


def _sample(browser: Browser, server: Server, effort: Effort, show: Show) -> Sample:
    with browser.tab(server) as tab:
        tab.call("feeds.start", show.key, True)
        time.sleep(WARM_SECONDS)
        heap = tab.heap_bytes()
        resident = browser.process.resident_bytes()
        answer = tab.start("feeds.block", effort.seconds * 1000)
        time.sleep(effort.seconds * _PART)
        resident = browser.process.resident_bytes() - resident
        found = tab.answer(answer)
        heap = tab.heap_bytes() - heap
    return Sample(found["before"], found["fresh"], found["messages"], found["values"], resident, heap)
