"""The suite `feeds`: values that many clients watch at the same time."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fanout, roster
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Suite, Target, alone, fresh, say
from benchmarks.growing import growing
from benchmarks.loading import loading
from benchmarks.processes import Server, working
from benchmarks.revoking import revoking
from benchmarks.roster import FLOOR, PATIENT, PLAIN, TRACED, WIRESPEED, Peer
from benchmarks.sampling import (
    LATENCIES,
    SHARES,
    Clients,
    Meter,
    Received,
    grown,
    kib,
    meeting,
    micros,
    millis,
    number,
    percent,
    settled,
    yes_or_no,
)
from benchmarks.values import FRAME_SIZE
from benchmarks.websocket import Endpoint, ProtocolError

_PEERS = (PLAIN, roster.WEBSOCKETS, roster.SOCKETIO, roster.NODE, roster.CENTRIFUGO, FLOOR)
_STEPS = (3_000, 5_000, 7_500, 10_000, 12_500, 15_000, 20_000, 25_000, 30_000, 40_000, 60_000)
_FOREVER = 1 << 62


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "feeds",
        "Feeds: values that many clients watch",
        "Fan-out: CPU time of the server for each delivery",
        ("fan-out", "cpu", ""),
        (
            _fan_out(quick=quick),
            _highest(quick=quick),
            _small(quick=quick),
            _burst(quick=quick),
            _conflation(quick=quick),
            growing(quick=quick),
            revoking(quick=quick),
            loading(quick=quick),
            _slow(quick=quick),
            _idle(quick=quick),
            _objects(quick=quick),
            _flat(quick=quick),
        ),
        _METHOD,
        _CAVEATS,
    )


# Fan-out


def _fan_out(*, quick: bool) -> Benchmark:
    effort = fanout.Effort(200, 2, 0.5) if quick else fanout.Effort(1000, 3, 5 / 3)
    targets = {
        100: (Target("p99", 40, "p99 under 40 ms"),),
        1000: (Target("cpu", 30, "at least 30 times Wirespeed", is_least=True, versus=PLAIN.name),),
        3000: (Target("share", 60, "at most 60 % of a core"),),
    }
    return Benchmark(
        "fan-out",
        f"Fan-out to {effort.clients:,} clients",
        "Values of 100 bytes to all clients. CPU of the server for each delivery; each ratio divides it by the CPU "
        "of Wirespeed in the same pair: the median of the pairs, and both ends. The floor, bare `send()` calls, "
        "writes the same bytes without an event loop. A saturated server did not keep up with the rate.",
        fanout.METRICS,
        tuple(fanout.case(rate, (WIRESPEED, *_PEERS), effort, kept) for rate, kept in targets.items()),
        is_tall=False,
    )


def _highest(*, quick: bool) -> Benchmark:
    clients, steps, seconds = (200, _STEPS[::2], 0.5) if quick else (1000, _STEPS, 2.0)
    measured = fresh(partial(_climb, clients, steps, seconds))
    return Benchmark(
        "highest rate",
        "The highest rate that one core sustains",
        f"The rate of a fan-out to {clients:,} clients rises until a client misses a value, or gets the last one "
        "more than 250 ms after it was published, twice. The figures are those of the last rate before that.",
        (Metric("rate", "Values per second", number), *fanout.METRICS[:-2]),
        (alone(measured, Target("delivered", 10_000_000, "at least 10,000,000", is_least=True)),),
    )


def _climb(clients: int, steps: tuple[int, ...], seconds: float, source: Path | None) -> Sample:
    best: Sample = {}
    with meeting(WIRESPEED, source) as (server, load):
        party = fanout.Party(WIRESPEED, server, load, clients)
        party.sample(steps[0] / 10, seconds / 2)  # code that runs for the first time is slow
        for rate in steps:
            sample = party.sample(rate, seconds)
            if sample["saturated"]:  # the machine may have been busy with something else
                sample = party.sample(rate, seconds)
            say(f"highest rate: {rate}/s, {sample['delivered']:,.0f} deliveries/s, {sample['share']:.0f} % of a core")
            if sample["saturated"]:
                break
            best = {**sample, "rate": rate}
    return best


# Many small feeds, and many topics at once


def _small(*, quick: bool) -> Benchmark:
    feeds, seconds = (1000, 2.0) if quick else (10_000, 5.0)
    measured = fresh(partial(_measure_small, feeds, seconds))
    return Benchmark(
        "small feeds",
        "Many small feeds",
        f"{feeds:,} feeds with one watcher each, and one value per second each. The CPU includes the generators.",
        (
            Metric("cpu", "CPU per value (µs)", micros),
            Metric("delivered", "Values per second", number),
            *SHARES,
            *LATENCIES,
        ),
        (alone(measured),),
    )


def _measure_small(feeds: int, seconds: float, source: Path | None) -> Sample:
    with meeting(WIRESPEED, source) as (server, clients):
        clients.connect("all", Endpoint(server.port, "/small/{number}"), feeds, every=max(1, feeds // 200))
        server.await_clients(feeds)
        time.sleep(1)
        clients.ask("mark")
        meter = Meter(server, clients.process)
        time.sleep(seconds)
        usage, received = meter.read(), clients.report()
    deliveries = received.total // FRAME_SIZE
    if received.closed or not deliveries:
        raise ProtocolError(f"{received.closed} of {feeds} connections were closed, {deliveries} values came")
    figures = {"cpu": usage.each(deliveries), "delivered": deliveries / usage.seconds}
    return figures | usage.shares() | received.latencies()


def _burst(*, quick: bool) -> Benchmark:
    topics, watchers = 2000, 2
    measured = partial(_bursting, topics, watchers)
    return Benchmark(
        "burst",
        "Many topics at once",
        f"{topics:,} topics with {watchers} watchers each have news in one turn of the loop: that turn, which only "
        "publishes; the longest gap of a 1 ms ticker from then on, while the news is delivered; and the latency.",
        (
            Metric("turn", "Publishing turn (ms)", millis),
            Metric("gap", "Longest gap of the loop (ms)", millis),
            LATENCIES[1],
        ),
        (alone(measured, Target("gap", 10, "a gap under 10 ms"), rounds=3 if quick else 9),),
    )


@contextlib.contextmanager
def _bursting(topics: int, watchers: int, source: Path | None) -> Iterator[Sampler]:
    with meeting(WIRESPEED, source) as (server, clients):
        for watcher in range(watchers):
            clients.connect(f"{watcher}", Endpoint(server.port, "/many/{number}"), topics, every=20)
        server.await_clients(topics * watchers)
        server.get("/burst", topics=topics)  # code that runs for the first time is slow

        def sample() -> Sample:
            clients.ask("mark")
            found = server.get("/burst", topics=topics)
            received = clients.expect(topics * watchers * FRAME_SIZE, quiet=1.0, timeout=5.0)
            return {"turn": found["turn"], "gap": found["longest"], "p99": received.p99}

        yield sample


# Conflation


def _conflation(*, quick: bool) -> Benchmark:
    rate, watchers, seconds = (100_000, 200, 1.5) if quick else (100_000, 1000, 5.0)
    measured = partial(_conflating, rate, watchers, seconds)
    return Benchmark(
        "conflation",
        "Conflation",
        f'One feed with `keep="latest"` and `max_rate=60`, {rate:,} changes per second, and {watchers:,} watchers.',
        (
            Metric("produced", "Changes per second", number),
            Metric("each", "Values per second and watcher", millis),
            *SHARES,
            Metric("newest", "Watchers that end with the newest value", number, combine=min),
        ),
        (
            alone(
                measured,
                Target("share", 60, "under 60 % of a core"),
                Target("newest", watchers, f"all {watchers:,}", is_least=True),
            ),
        ),
    )


@contextlib.contextmanager
def _conflating(rate: int, watchers: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    with meeting(WIRESPEED, source) as (server, clients):
        clients.connect("all", Endpoint(server.port, "/price"), watchers, mode="tail")
        server.await_clients(watchers)
        server.get("/price-run", rate=rate, seconds=0.5)  # code that runs for the first time is slow

        def sample() -> Sample:
            clients.wait(_FOREVER, quiet=0.2, timeout=5)
            clients.ask("mark")
            meter = Meter(server, clients.process)
            ran = server.get("/price-run", rate=rate, seconds=seconds)
            received = clients.wait(_FOREVER, quiet=0.2, timeout=5)
            usage, passed = meter.read(), float(ran["seconds"])
            if received.closed:
                raise ProtocolError(f"{received.closed} of {watchers} connections were closed")
            return {
                "produced": int(ran["published"]) / passed,
                "each": received.total // FRAME_SIZE / watchers / passed,
                "newest": clients.ask("tails", group="all").get(ran["last"], 0),
                **usage.shares(passed),
            }

        yield sample


# Slow clients


def _slow(*, quick: bool) -> Benchmark:
    healthy, stalled, seconds = (200, 40, (1.5, 5.0)) if quick else (1000, 200, (9.0, 60.0))
    parts = 3 if quick else 6
    measured = fresh(partial(_measure_slow, healthy, stalled, seconds, parts))
    return Benchmark(
        "slow clients",
        "Clients that stop reading",
        f"{stalled} watchers stop reading beside {healthy:,} that read, at 1,000 values per second for "
        f"{seconds[1]:g} s. Memory is that of each stalled client: its share of the process and the kernel's "
        f"buffers at both ends. Then the latency of the healthy in {parts} parts without the stalled and beside "
        "them, and the seconds from vanishing, with bytes unsent, until the server's statistics show the stalled "
        "clients gone.",
        (
            Metric("idle", "Process, before it stalls (KiB)", kib),
            Metric("process", "Process (KiB)", kib),
            Metric("kernel", "Server's kernel (KiB)", kib),
            Metric("server", "Process and server's kernel (KiB)", kib),
            Metric("client", "Client's kernel (KiB)", kib),
            Metric("sum", "Process and both kernels (KiB)", kib),
            Metric("median", "Latency of the healthy, median (ms)", millis),
            Metric("without", "Latency without the stalled, highest p99 (ms)", millis),
            Metric("beside", "Latency beside the stalled, median p99 (ms)", millis),
            Metric("undisturbed", "Latency beside the stalled within noise", yes_or_no, combine=min),
            Metric("complete", "Lossless for the healthy", yes_or_no, combine=min),
            Metric("reset", "Gone after RST (s)", micros, combine=max),
            Metric("half", "Gone after FIN (s)", micros, combine=max),
        ),
        (
            alone(
                measured,
                Target("server", 130, "under 130 KiB"),
                Target("sum", 200, "under 200 KiB"),
                Target("undisturbed", 1, "within noise", is_least=True),
                fanout.LOSSLESS,
                Target("reset", 2, "under 2 s"),
                Target("half", 2, "under 2 s"),
            ),
        ),
    )


def _measure_slow(healthy: int, stalled: int, seconds: tuple[float, float], parts: int, source: Path | None) -> Sample:
    with meeting(PATIENT, source) as (server, clients), working("benchmarks.clients") as worker:
        others, endpoint = Clients(worker), Endpoint(server.port, "/slow")
        clients.connect("all", endpoint, healthy, every=max(1, healthy // fanout.SAMPLED))
        server.await_clients(healthy)
        _publish(server, clients, healthy, min(2.0, seconds[0]))  # code that runs for the first time is slow
        without = [_publish(server, clients, healthy, seconds[0] / parts) for _ in range(parts)]
        before = settled(server)
        # Two groups, which will leave in two ways.
        for group, count in (("reset", stalled // 2), ("half", stalled - stalled // 2)):
            others.connect(group, endpoint, count, mode="stall")
        server.await_clients(healthy + stalled)
        idle = settled(server)
        beside = [_publish(server, clients, healthy, seconds[1] / parts) for _ in range(parts)]
        after = settled(server)
        if (watchers := int(server.get("/watchers"))) != healthy + stalled:
            raise ProtocolError(f"{watchers} watchers are left of {healthy + stalled}")
        gone = {
            "reset": _vanish(server, others, "reset", healthy + stalled - stalled // 2),
            "half": _vanish(server, others, "half", healthy),
        }
    process, kernel, client = grown(before, after, stalled)
    highest, beside_p99 = max(each.p99 for each in without), median(each.p99 for each in beside)
    return {
        "idle": grown(before, idle, stalled)[0],
        "process": process,
        "kernel": kernel,
        "server": process + kernel,
        "client": client,
        "sum": process + kernel + client,
        "median": median(each.median for each in beside),
        "without": highest,
        "beside": beside_p99,
        "undisturbed": beside_p99 <= highest,
        "complete": not any(each.gaps for each in beside),
        **gone,
    }


def _publish(server: Server, clients: Clients, healthy: int, seconds: float) -> Received:
    """Publish 1,000 values per second; return what the healthy received, with a gap if it is not everything."""
    clients.ask("mark")
    ran = server.get("/run", rate=1000, seconds=seconds)
    hoped = int(ran["published"]) * healthy * FRAME_SIZE
    received = clients.wait(hoped, quiet=1.0, timeout=10)
    if received.closed:
        raise ProtocolError(f"{received.closed} healthy connections were closed")
    return received._replace(gaps=received.gaps + (received.total != hoped))


def _vanish(server: Server, stalled: Clients, group: str, left: int) -> float:
    """Return the seconds from the end of a group until the server's statistics show only the clients that are left."""
    at = int(stalled.ask("vanish", group=group, how=group)["at"])
    while int(server.get("/watchers")) > left and time.monotonic_ns() - at < 15e9:
        time.sleep(0.01)
    return (time.monotonic_ns() - at) / 1e9


# Memory


def _idle(*, quick: bool) -> Benchmark:
    count, seconds = (1000, 2.0) if quick else (10_000, 20.0)
    sides = (
        Side(WIRESPEED.name, fresh(partial(_rest, WIRESPEED, "/idle", count, seconds)), WIRESPEED.kind),
        Side("FastAPI route that only receives", fresh(partial(_rest, PLAIN, "/fan", count, seconds))),
    )
    return Benchmark(
        "idle connections",
        "Idle connections",
        f"{count:,} connections by a browser's handshake, which offers compression: memory of each, the cost of "
        "opening it, and the CPU of the server while all are at rest, the server's pings included.",
        (
            Metric("process", "Process, for each (KiB)", kib),
            Metric("kernel", "Kernel, for each (KiB)", kib),
            Metric("opened", "Opened per second", number),
            Metric("cpu", "CPU of opening each (µs)", micros),
            Metric("rest", "CPU at rest, share of a core", percent),
            Metric("lost", "Lost connections", number, combine=max),
        ),
        (Case("", sides, targets=(Target("process", 28, "under 28 KiB"),)),),
    )


def _rest(peer: Peer, path: str, count: int, seconds: float, source: Path | None) -> Sample:
    with meeting(peer, source, silent=False) as (server, clients):
        endpoint = Endpoint(server.port, path, as_browser=True)
        clients.connect("first", endpoint, 10, mode="answer")  # code that runs for the first time takes memory once
        server.await_clients(10)
        before, meter = server.memory(), Meter(server, clients.process)
        opening = clients.connect("all", endpoint, count, mode="answer")
        server.await_clients(count + 10)
        opened = meter.read()
        process, kernel, _ = grown(before, settled(server), count)
        clients.ask("mark")
        meter = Meter(server, clients.process)
        time.sleep(seconds)
        rest, closed = meter.read().shares()["share"], clients.report().closed
    return {
        "process": process,
        "kernel": kernel,
        "opened": count / opening,
        "cpu": opened.each(count),
        "rest": rest,
        "lost": closed,
    }


def _objects(*, quick: bool) -> Benchmark:
    owners = ("uvicorn", "asyncio", "wirespeed", "websockets", "fastapi", "starlette", "others")
    measured = fresh(partial(_trace, 1000))
    return Benchmark(
        "idle connections, objects",
        "The objects of an idle connection",
        "KiB for each connection, by the package whose line has allocated them. The rest of a process's memory is "
        "the slack of its allocator.",
        (Metric("all", "All packages", kib), *(Metric(owner, f"`{owner}`", kib) for owner in owners)),
        (alone(measured),),
    )


def _trace(count: int, source: Path | None) -> Sample:
    with meeting(TRACED, source, silent=False) as (server, clients):
        endpoint = Endpoint(server.port, "/idle", as_browser=True)
        clients.connect("first", endpoint, 10, mode="answer")
        server.await_clients(10)
        before = server.get("/traced")
        clients.connect("all", endpoint, count, mode="answer")
        server.await_clients(count + 10)
        after = server.get("/traced")
    parts = {owner: (size - before.get(owner, 0)) / count / 1024 for owner, size in after.items()}
    return {"all": sum(parts.values()), **parts}


def _flat(*, quick: bool) -> Benchmark:
    latest, kept = (500_000, 100_000) if quick else (10_000_000, 1_000_000)
    floods = (
        (f'a feed, `keep="latest"`, {latest:,} values', "/flood", latest),
        (f"a topic, `keep=1000`, {kept:,} values", "/history", kept),
    )
    return Benchmark(
        "memory, long run",
        "Memory over a long run",
        "Resident memory of the server after a tenth of the values and after all of them, with one watcher.",
        (
            Metric("tenth", "After a tenth (KiB)", kib),
            Metric("all", "After all (KiB)", kib),
            Metric("grown", "Growth (KiB)", kib),
            Metric("lost", "Values not delivered", number, combine=max),
        ),
        tuple(
            alone(fresh(partial(_flood, path, values)), Target("grown", 1024, "does not grow"), label=label)
            for label, path, values in floods
        ),
    )


def _flood(path: str, values: int, source: Path | None) -> Sample:
    with meeting(WIRESPEED, source) as (server, clients):
        clients.connect("all", Endpoint(server.port, path), 1)
        server.await_clients(1)
        server.get(f"{path}-run", count=values // 10)
        tenth = server.resident_bytes()
        answer = server.get(f"{path}-run", count=values - values // 10)
        everything = server.resident_bytes()
    figures = {"tenth": tenth / 1024, "all": everything / 1024, "grown": (everything - tenth) / 1024}
    return figures | ({"lost": answer["lost"]} if "lost" in answer else {})


_METHOD = """\
- Servers run on the asyncio loop; all clients of a server are one other process, and stay connected.
- The publisher runs inside the server, at the same pace everywhere: each millisecond, or each 10 ms at 100 per second,
  it publishes what is due by then, one value after the other. It stops at the end of its time, whatever it has reached
  by then. A server is saturated if less than 95 % of the rate were published, if values are missing, or if the last
  value came more than 250 ms after the end.
- CPU time counts from before the first value until the last byte has come: it includes the publisher's work, and what
  the server still had to write.
- Latency goes from publishing to receiving: the time is in the value, the clock is the machine's (`CLOCK_MONOTONIC`).
  It is taken from every value of 20 connections, spread over all; their numbers show whether one is missing.
- Of all other connections the bytes are counted, with `MSG_TRUNC`, by which the kernel does not copy what it discards;
  of Centrifugo's, whose bytes vary, the values.
- The servers' own pings are off while bytes are counted, and on (and answered) for idle connections.
- The floor joins what is due every 20 ms and calls `send()` once for each socket, without an event loop."""

_CAVEATS = """\
- With another machine at the other end, latencies would be lower and the highest rate higher.
- Wirespeed is cheap because values gather while others are written. That costs the latency that the tables show, and at
  a rate at which nothing gathers there is little to gain."""
