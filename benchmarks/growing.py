"""A growing text: appending to it, and sending it whole each time, for the suite `feeds`."""

from functools import partial
from pathlib import Path

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Target, fresh
from benchmarks.roster import NEWER
from benchmarks.sampling import SHARES, Meter, kib, meeting, micros, number, yes_or_no
from benchmarks.websocket import Endpoint, ProtocolError

PIECE = 5
"""Bytes of one piece: a short word."""


def growing(*, quick: bool) -> Benchmark:
    """Return the benchmark of many pieces that are appended to one text."""
    watchers, seconds = (200, 1) if quick else (1000, 10)
    return Benchmark(
        "growing text",
        "A growing text",
        f"Pieces of {PIECE} bytes for one text, for {seconds} seconds, to {watchers:,} watchers: appended, and as a "
        "topic of the newest value that publishes the whole text so far. A watcher that cannot take each of them gets "
        "the pieces joined, or skips to a newer text.",
        (
            Metric("cpu", "CPU per piece (µs)", micros, has_ratio=True),
            Metric("size", "Per watcher (KiB)", kib, has_ratio=True),
            Metric("writes", "Writes per watcher", number),
            Metric("rate", "Pieces per second", number),
            SHARES[0],
            Metric("complete", "All watchers have the text", yes_or_no, combine=min),
        ),
        tuple(_case(rate, rate * seconds, watchers) for rate in (1000, 100)),
        is_tall=False,
    )


def _case(rate: int, pieces: int, watchers: int) -> Case:
    sides = (
        Side(name, fresh(partial(_measure, path, rate, pieces, watchers)), kind)
        for name, path, kind in (("Appended", "/growing?append=1", "wirespeed"), ("Whole", "/whole", "peer"))
    )
    most = 10 * pieces * PIECE / 1024
    targets = Target("size", most, "under ten times the text"), Target("complete", 1, "lossless", is_least=True)
    return Case(f"{pieces:,} pieces, {rate:,} per second", tuple(sides), 1, targets)


def _measure(path: str, rate: int, pieces: int, watchers: int, source: Path | None) -> Sample:
    with meeting(NEWER, source) as (server, clients):
        clients.connect("all", Endpoint(server.port, path), watchers)
        server.await_clients(watchers)
        name = path[1:].partition("?")[0]
        server.get("/grow", topic=name, rate=rate, pieces=100)  # code that runs for the first time is slow
        clients.wait(1 << 62, quiet=0.5, timeout=30)
        clients.ask("mark")
        meter = Meter(server, clients.process)
        ran = server.get("/grow", topic=name, rate=rate, pieces=pieces)
        received = clients.wait(1 << 62, quiet=1.0, timeout=60)
        usage = meter.read()
    if received.closed:
        raise ProtocolError(f"{received.closed} of {watchers} connections were closed")
    return {
        "cpu": usage.each(pieces),
        "size": received.total / watchers / 1024,
        "writes": ran["writes"] / watchers,
        "rate": pieces / ran["seconds"],
        "share": usage.shares(ran["seconds"])["share"],
        "complete": received.least >= pieces * PIECE,
    }
