"""Outages, for the suite `cluster`: Valkey cannot be reached, a worker ends, and what clients see of it."""

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Target, alone, fresh
from benchmarks.processes import Server, Worker, working
from benchmarks.roster import CHANNELS, REDIS_PEERS, WIRESPEED, Peer
from benchmarks.sampling import Clients, Meter, micros, millis, number
from benchmarks.websocket import Endpoint, ProtocolError
from benchmarks.workers import joined, piping, storing

_SETTLE_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0


# A connection to Redis that is cut


def cut(*, quick: bool) -> Benchmark:
    rate, seconds = (50, 4.0) if quick else (100, 8.0)
    sides = (
        Side("Wirespeed", fresh(partial(_cut_off, WIRESPEED, rate, seconds)), "wirespeed"),
        *(Side(peer.name, fresh(partial(_cut_off, peer, rate, seconds)), needs=peer.needs) for peer in REDIS_PEERS),
    )
    targets = (Target("lost", 0, "none"), Target("twice", 0, "none twice"))
    return Benchmark(
        "cut",
        "The connection to Redis is cut for a second",
        f"{rate} values per second for {seconds:g} s, published at one of two workers, with 10 clients at each. After "
        "a quarter of the time, all connections to Redis are cut, and new ones refused for one second.",
        (
            Metric("lost", "Lost values, in percent", millis, combine=max),
            Metric("twice", "Values that came twice, in percent", millis, combine=max),
            Metric("silence", "Longest silence of a client (s)", micros, combine=max),
        ),
        (Case("", sides, 1 if quick else 2, targets),),
        is_tall=False,
    )


def _cut_off(peer: Peer, rate: int, seconds: float, source: Path | None) -> Sample:
    each = 10
    with (
        storing() as store,
        piping(store.port) as (pipe, port),
        joined(peer, source, store, [port] * 2) as team,
        working("benchmarks.clients") as worker,
        ThreadPoolExecutor() as aside,
    ):
        clients = Clients(worker)
        for to, count in team.shares(2 * each):
            clients.connect("all", peer.endpoint(to), count, mode=peer.mode, every=1)
        time.sleep(1)
        team.get("/run", rate=rate, seconds=0.3)
        time.sleep(1)
        clients.ask("mark")
        begun = time.monotonic_ns()
        running = aside.submit(team.get, "/run", rate=rate, seconds=seconds)
        time.sleep(seconds / 4)
        pipe.ask("cut")
        time.sleep(1)
        pipe.ask("mend")
        published = int(running.result()["published"])
        ended = time.monotonic_ns()
        clients.wait(2 * each * published * peer.frame, quiet=3.0, timeout=_SETTLE_SECONDS)
        received = clients.ask("numbers", group="all")["values"]
    got = [[number for _, number in values] for values in received]
    came = sum(len(set(numbers)) for numbers in got)
    hoped = 2 * each * published
    return {
        "lost": 100 * (1 - came / hoped),
        "twice": 100 * (sum(map(len, got)) - came) / hoped,
        "silence": max(_longest([begun, *(at for at, _ in values), ended]) for values in received),
    }


def _longest(times: list[int]) -> float:
    """Return the longest time, in seconds, between two of the times."""
    return max((late - early for early, late in pairwise(times)), default=0) / 1e9


# Takeover


def takeover(*, quick: bool) -> Benchmark:
    ways: dict[str, tuple[Callable[[Server, Worker], Any], float, str]] = {
        "killed (SIGKILL)": (lambda server, pipe: server.signal(signal.SIGKILL), 5.1, "at most 5.1 s"),
        "stopped (SIGSTOP)": (lambda server, pipe: server.signal(signal.SIGSTOP), 5.1, "at most 5.1 s"),
        "cut off from Valkey": (lambda server, pipe: pipe.ask("hold"), 5.1, "at most 5.1 s"),
        "shut down (SIGTERM)": (lambda server, pipe: server.signal(signal.SIGTERM), 0.1, "under 0.1 s"),
    }
    return Benchmark(
        "takeover",
        "Takeover of a feed",
        "A feed with a value every 10 ms runs in one of two workers, which both have a watcher. Then something happens "
        "to this worker; it continues after the takeover, if it can. The figures are those of the other worker's "
        "watcher: the time from then until the first value of the new run, the silence before this value, and the "
        "number of values of the old run that come after it.",
        (
            Metric("seconds", "Seconds until the new run", micros, combine=max),
            Metric("silence", "Silence before it (s)", micros, combine=max),
            Metric("late", "Late values of the old run", number, combine=max),
        ),
        tuple(
            alone(
                fresh(partial(_take_over, end)),
                *(Target("silence", limit, text), Target("late", 0, "none")),
                label=name,
                rounds=1 if quick else 5,
            )
            for name, (end, limit, text) in ways.items()
        ),
    )


def _take_over(end: Callable[[Server, Worker], Any], source: Path | None) -> Sample:
    with (
        storing() as store,
        piping(store.port) as (pipe, port),
        joined(WIRESPEED, source, store, [port, store.port]) as team,
        working("benchmarks.clients") as worker,
    ):
        clients = Clients(worker)
        for number, server in enumerate(team.workers):
            clients.connect(f"{number}", Endpoint(server.port, "/beat"), 1, every=1)
            _await_beats(team.workers[0])
        other = team.workers[1]
        if other.get("/beats"):
            raise ProtocolError("both workers run the feed")
        clients.ask("mark")
        time.sleep(random.uniform(0.5, 2.5))  # the lease may just have been renewed, or be about to be
        begun = time.monotonic_ns()
        end(team.workers[0], pipe)
        _await_beats(other)
        time.sleep(1)
        team.workers[0].wake()
        pipe.ask("mend")
        time.sleep(2)
        (values,) = clients.ask("numbers", group="1")["values"]
    first = next(at for at, (_, number) in enumerate(values) if number >= 1_000_000)
    return {
        "seconds": (values[first][0] - begun) / 1e9,
        "silence": (values[first][0] - values[first - 1][0]) / 1e9,
        "late": sum(number < 1_000_000 for _, number in values[first:]),
    }


def _await_beats(server: Server) -> None:
    """Wait until a worker runs the feed."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not server.get("/beats"):
        if time.monotonic() > deadline:
            raise ProtocolError("the feed does not run where it should")
        time.sleep(0.05)


# Recovery


def recovery(*, quick: bool) -> Benchmark:
    count, rate = (500 if quick else 5000), 100
    return Benchmark(
        "recovery",
        "One of two workers dies",
        f"{count:,} clients with one subscription each, half of them at each worker, and {rate} publications per "
        "second at one of them. The other one is killed (SIGKILL), and its clients return to their positions at the "
        "one that is left, after 0.2 s.",
        (
            Metric("seconds", "Seconds until the last one is back", millis, combine=max),
            Metric("half", "Seconds until half of them are back", millis),
            Metric("recovered", "Recovered clients", number, combine=min),
            Metric("exact", "Clients that received each value once", number, combine=min),
            Metric("lost", "Lost values", number, combine=max),
            Metric("twice", "Values that came twice", number, combine=max),
            Metric("cpu", "CPU of the worker per returned client, deliveries included (µs)", micros),
        ),
        (
            alone(
                fresh(partial(_recover, count, rate)),
                Target("exact", count, "all clients", is_least=True),
                Target("lost", 0, "none"),
                Target("twice", 0, "none"),
                rounds=1 if quick else 2,
            ),
        ),
    )


def _recover(count: int, rate: int, source: Path | None) -> Sample:
    with (
        storing() as store,
        joined(CHANNELS, source, store, [store.port] * 2) as team,
        working("benchmarks.crowd") as crowd,
    ):
        left, killed = team.workers
        ports = [left.port, killed.port]
        joining = crowd.ask("join", ports=ports, channel="storm", count=count, at_once=256, timeout=40)
        if joining["here"] != count:
            raise ProtocolError(f"{joining['here']} of {count} came")
        left.get("/storm-begin", rate=rate)
        crowd.ask("listen", seconds=2, until=0)
        meter = Meter(left, crowd)
        killed.signal(signal.SIGKILL)
        back = crowd.ask("come", at_once=count, timeout=40, lost=count // 2)
        usage = meter.read()
        crowd.ask("listen", seconds=1, until=0)
        published = int(left.get("/storm-end"))
        crowd.ask("listen", seconds=10, until=published)
        found = crowd.ask("tally", position=published)
    figures = {key: back[key] for key in ("seconds", "half", "recovered")}
    return {**figures, **found, "cpu": usage.each(count // 2)}
