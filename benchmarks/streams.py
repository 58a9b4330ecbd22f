"""The suite `streams`: 10,000 values to one client, and the memory of streams and of clients that stop reading."""

import contextlib
import json
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import roster
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Suite, Target, fresh
from benchmarks.peers.shapes import COUNT, ENDLESS_VALUE
from benchmarks.processes import Server, serving, working
from benchmarks.roster import PLAIN, WIRESPEED, Peer
from benchmarks.sampling import grown, kib, micros, settled
from benchmarks.websocket import ProtocolError, RawClient

# A server may still have something to finish when the client has its last byte: that belongs to the run.
_SETTLE_SECONDS = 0.02
_FRAME_BYTES = len(ENDLESS_VALUE) + 2
_PATIENCE_SECONDS = 8.0

_TITLES = {
    "text": "text",
    "dict": "JSON of a dict",
    "dataclass": "JSON of a dataclass",
    "typeddict": "JSON of a TypedDict",
    "model": "JSON of a Pydantic model",
}
# How many times the CPU of Wirespeed the FastAPI loop is to need.
_RATIOS = {"text": 20, "dict": 12, "dataclass": 12, "typeddict": 12, "model": 5}
_WAYS: dict[str, list[tuple[Peer, str, str]]] = {
    "text": [
        (PLAIN, "text", "`send_text`"),
        (roster.PLAIN_UVLOOP, "text", "`send_text`"),
        (roster.PLAIN_HYPERCORN, "text", "`send_text`"),
        (roster.PLAIN_GRANIAN, "text", "`send_text`"),
        (roster.WEBSOCKETS, "text", "`send`"),
        (roster.PICOWS, "text", "`send`"),
        (roster.NODE, "text", "`send`"),
        (roster.SOCKETIFY, "text", "`send`"),
        (roster.WIRESPEED_UVLOOP, "text", "`yield`"),
    ],
    "dict": [
        (PLAIN, "dict", "`send_json`"),
        (roster.PLAIN_UVLOOP, "dict", "`send_json`"),
        (roster.PLAIN_HYPERCORN, "dict", "`send_json`"),
        (roster.PLAIN_GRANIAN, "dict", "`send_json`"),
        (roster.WEBSOCKETS, "dict", "`json.dumps`"),
        (roster.PICOWS, "dict", "`json.dumps`"),
        (roster.NODE, "dict", "`JSON.stringify`"),
        (roster.SOCKETIFY, "dict", "`json.dumps`"),
        (roster.WIRESPEED_UVLOOP, "dict", "`yield`"),
    ],
    "dataclass": [(PLAIN, "dataclass", "`send_json(asdict())`")],
    "typeddict": [(PLAIN, "typeddict", "`send_json`")],
    "model": [
        (PLAIN, "model-dump-json", "`send_text(model_dump_json())`"),
        (PLAIN, "model-dump", "`send_json(model_dump())`"),
    ],
}
_FLOOR = "the floor: no socket"


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "streams",
        "Streams: 10,000 values to one client",
        "Streams: CPU time of the server for each value",
        ("values", "cpu", ""),
        (_values(quick=quick), _endless(quick=quick), _stalled(quick=quick)),
        _METHOD,
        _CAVEATS,
    )


def _values(*, quick: bool) -> Benchmark:
    rounds, seconds = (2, 0.04) if quick else (9, 0.2)
    return Benchmark(
        "values",
        "10,000 values to one client",
        "CPU time of the server with all its threads and children, and time until the client has the value. The "
        "floor is the generator and the encoder alone. Each ratio divides the server's CPU by the CPU of Wirespeed "
        "in the same pair: the median of the pairs, and both ends.",
        (
            Metric("cpu", "CPU per value (µs)", micros, has_ratio=True),
            Metric("wall", "Time per value (µs)", micros, has_ratio=True),
        ),
        tuple(
            Case(_TITLES[kind], tuple(_sides(kind, seconds)), rounds, _targets(kind, ways[0]))
            for kind, ways in _WAYS.items()
        ),
        is_tall=False,
    )


def _sides(kind: str, seconds: float) -> Iterator[Side]:
    yield Side("Wirespeed, `yield`", partial(_served, WIRESPEED, kind, kind, seconds), kind="wirespeed")
    yield Side(_FLOOR, partial(_alone, kind, seconds), kind="floor")
    for peer, path, how in _WAYS[kind]:
        name = f"{peer.name}, {how}"
        yield Side(name, partial(_served, peer, kind, path, seconds), needs=peer.needs)


def _targets(kind: str, plain: tuple[Peer, str, str]) -> tuple[Target, ...]:
    peer, _, how = plain
    ratio = _RATIOS[kind]
    return (
        Target("cpu", ratio, f"at least {ratio} times Wirespeed", is_least=True, versus=f"{peer.name}, {how}"),
        Target("cpu", 0.5, "at least 0.5 times Wirespeed", is_least=True, versus=_FLOOR),
    )


@contextlib.contextmanager
def _served(peer: Peer, kind: str, path: str, seconds: float, source: Path | None) -> Iterator[Sampler]:
    """Check every value once and time a run; a sample takes at least `seconds`."""
    with serving(peer.command, source) as server:
        with RawClient(server.port, f"/{path}") as client:
            size = _check_run(client, kind)
            runs = _fitting_runs(seconds, _timed(client, kind, size, 1))
        yield partial(_sample, server, kind, path, size, runs)


def _sample(server: Server, kind: str, path: str, size: int, runs: int) -> Sample:
    with RawClient(server.port, f"/{path}") as client:
        _timed(client, kind, size, 1)  # TCP has found its window, the code of this connection is warm
        cpu = server.cpu_ns()
        wall = _timed(client, kind, size, runs)
        time.sleep(_SETTLE_SECONDS)
        cpu = server.cpu_ns() - cpu
        client.expect_silence()
    return _each(runs, cpu, wall)


def _timed(client: RawClient, kind: str, size: int, runs: int) -> int:
    start = time.perf_counter_ns()
    for _ in range(runs):
        client.say(_message(kind))
        client.drain(size)
    return time.perf_counter_ns() - start


@contextlib.contextmanager
def _alone(kind: str, seconds: float, source: Path | None) -> Iterator[Sampler]:
    """The same generator and its encoder, without a socket."""
    with working("benchmarks.floor") as floor:
        floor.ask("spend", kind=kind, runs=2)
        runs = _fitting_runs(seconds, floor.ask("spend", kind=kind, runs=2)["wall"] / 2)

        def sample() -> Sample:
            spent = floor.ask("spend", kind=kind, runs=runs)
            return _each(runs, spent["cpu"], spent["wall"])

        yield sample


def _each(runs: int, cpu: int, wall: int) -> Sample:
    return {"cpu": cpu / runs / COUNT / 1000, "wall": wall / runs / COUNT / 1000}


def _fitting_runs(seconds: float, nanoseconds_each: float) -> int:
    return max(1, min(100, math.ceil(seconds * 1e9 / nanoseconds_each)))


def _message(kind: str) -> str:
    return "hi" if kind == "text" else '{"message":"hello"}'


def _check_run(client: RawClient, kind: str) -> int:
    """Receive one run frame by frame; check the values, their order and their number. Return its size in bytes."""
    client.say(_message(kind))
    size = 0
    for expected, (payload, frame_size) in zip(range(1, COUNT + 1), client.frames(), strict=False):
        # JSON is compared as JSON: some peers write a space after the colon.
        sent: object = payload.decode() if kind == "text" else json.loads(payload)
        hoped = str(expected) if kind == "text" else {"message": f"hello - {expected}", "number": expected}
        if sent != hoped:
            raise ProtocolError(f"value {expected} is {sent!r} and not {hoped!r}")
        size += frame_size
    client.expect_silence()
    return size


# Memory


def _endless(*, quick: bool) -> Benchmark:
    first, second = (100_000, 1_000_000) if quick else (1_000_000, 10_000_000)
    # A tenth of the values for the loop, which takes twenty times as long for each.
    sides = (
        Side(f"{WIRESPEED.name}, {second:,} values", fresh(partial(_stream, WIRESPEED, first, second)), "wirespeed"),
        Side(f"{PLAIN.name}, {second // 10:,} values", fresh(partial(_stream, PLAIN, first // 10, second // 10))),
    )
    return Benchmark(
        "memory, endless stream",
        "Memory while streaming",
        "Resident memory of the server at two moments of one endless stream of values of 100 bytes to a client "
        "that reads all the time, its peak, and what the kernel holds for the server's socket.",
        (
            Metric("first", "After a tenth of the values (KiB)", kib),
            Metric("second", "After all values (KiB)", kib),
            Metric("peak", "Peak (KiB)", kib),
            Metric("grown", "Growth (KiB)", kib),
            Metric("kernel", "Socket buffers (KiB)", kib),
        ),
        (Case("", sides, targets=(Target("grown", 1024, "does not grow"),)),),
    )


def _stream(peer: Peer, first: int, second: int, source: Path | None) -> Sample:
    """Read without a pause but for the readings; at the second one the server's buffers are as full as they get."""
    with serving(peer.command, source) as server, RawClient(server.port, "/endless") as client:
        client.say("go")
        client.drain(first * _FRAME_BYTES)
        after_first = server.resident_bytes()
        client.drain((second - first) * _FRAME_BYTES)
        _wait_until_still(server)
        memory, peak = server.memory(), server.peak_bytes()
    readings = {"first": after_first, "second": memory.process, "peak": peak, "kernel": memory.kernel}
    readings["grown"] = memory.process - after_first
    return {key: value / 1024 for key, value in readings.items()}


def _stalled(*, quick: bool) -> Benchmark:
    count = 40 if quick else 100
    sides = (
        Side(f"{WIRESPEED.name}, {count} clients", fresh(partial(_stall, WIRESPEED, count)), "wirespeed"),
        Side(f"{PLAIN.name}, {count // 5} clients", fresh(partial(_stall, PLAIN, count // 5))),
    )
    return Benchmark(
        "memory, stalled streams",
        "Memory for stream clients that stop reading",
        "For each connection: its share of the process while it is idle, then what it takes in addition after it "
        "has stopped reading. The kernel's buffers at the client's end are listed separately, because the client's "
        "machine pays for them.",
        (
            Metric("idle", "Idle (KiB)", kib),
            Metric("process", "Stalled: process (KiB)", kib),
            Metric("kernel", "Stalled: server's kernel (KiB)", kib),
            Metric("sum", "Stalled: process and server's kernel (KiB)", kib),
            Metric("client", "Stalled: client's kernel (KiB)", kib),
        ),
        (Case("", sides, targets=(Target("sum", 130, "under 130 KiB"),)),),
    )


def _stall(peer: Peer, count: int, source: Path | None) -> Sample:
    with serving(peer.command, source) as server, contextlib.ExitStack() as stack:
        with RawClient(server.port, "/text") as warm_up:
            _check_run(warm_up, "text")
        before = server.memory()
        clients = [stack.enter_context(RawClient(server.port, "/endless")) for _ in range(count)]
        idle = server.memory()
        for client in clients:
            client.say("go")
        _wait_until_still(server)
        after = settled(server)
        stalled, kernel, client_kernel = grown(idle, after, count)
    return {
        "idle": (idle.process - before.process) / count / 1024,
        "process": stalled,
        "kernel": kernel,
        "sum": stalled + kernel,
        "client": client_kernel,
    }


def _wait_until_still(server: Server) -> None:
    """Wait until the buffers are full: the server's memory has not changed for half a second."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    previous, still = 0, 0
    while still < 2 and time.monotonic() < deadline:
        time.sleep(0.25)
        memory = server.memory()
        now = memory.process + memory.kernel
        still = still + 1 if abs(now - previous) <= previous // 200 else 0
        previous = now


_METHOD = """\
- A sample of values lasts at least 0.2 s (`--quick`: 0.04 s): whole runs of 10,000 values, after one run that does not
  count.
- Servers are started without options except for the port, the loop and the log level. The CPU time includes the 20 ms
  after the last byte.
- The client is one blocking socket that offers no extensions. Before anything is timed, it reads one run frame by
  frame, compares every value, and counts the bytes; a timed run ends with exactly as many.
- Everywhere, one frame holds one value. JSON is encoded as the users of each peer do it, with spaces or without.
- The floor encodes with `str.encode` for text and with Pydantic's serializer of the annotation for JSON."""

_CAVEATS = """\
- A server that wakes the client for each value is also slowed down by it. The CPU ratio says more than the time ratio.
- One client, and values that are ready at once, are the best case for gathering frames. A generator that waits between
  its values pays one write for each, as every server does."""
