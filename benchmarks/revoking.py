"""Revoking many sessions: by `live.revoke`, and by a look at all connections for each, for the suite `feeds`."""

from functools import partial
from pathlib import Path

from benchmarks.framework import Benchmark, Case, Metric, Sample, Side, Target, fresh
from benchmarks.processes import Server
from benchmarks.roster import NEWER
from benchmarks.sampling import Meter, meeting, micros, millis, number
from benchmarks.websocket import Endpoint


def revoking(*, quick: bool) -> Benchmark:
    """Return the benchmark of many sessions that end at once, among others that stay."""
    sessions, others = (200, 200) if quick else (1000, 4000)
    sides = (
        Side("live.revoke", fresh(partial(_measure, 0, sessions, others)), "wirespeed"),
        Side("A look at all connections", fresh(partial(_measure, 1, sessions, others)), "peer"),
    )
    return Benchmark(
        "revocation",
        "The revocation of sessions",
        f"{sessions:,} sessions are revoked one by one, while {others:,} others stay. Each has one WebSocket. The code "
        "asks first for all of them, and then waits until the last connection has closed.",
        (
            Metric("asked", "All are asked to end (ms)", millis, has_ratio=True),
            Metric("seconds", "All have closed (ms)", millis, has_ratio=True),
            Metric("cpu", "CPU per session (µs)", micros, has_ratio=True),
            Metric("lost", "Others that were closed", number, combine=max),
        ),
        (Case("", sides, 1, (Target("lost", 0, "the others stay"),)),),
        is_tall=False,
    )


def _measure(scans: int, sessions: int, others: int, source: Path | None) -> Sample:
    with meeting(NEWER, source) as (server, clients):
        clients.connect("all", Endpoint(server.port, "/guarded"), sessions + others)
        server.await_clients(sessions + others)
        meter = Meter(server, clients.process)
        took = server.get("/revoke", sessions=sessions, scans=scans)
        usage = meter.read()
        return {
            "asked": took["asked"] * 1000,
            "seconds": took["seconds"] * 1000,
            "cpu": usage.each(sessions),
            "lost": _lost(server, others),
        }


def _lost(server: Server, others: int) -> int:
    return others - server.clients()
