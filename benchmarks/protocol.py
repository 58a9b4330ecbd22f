"""The suite `protocol`: the cost of the multiplexed connection."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import fanout, roster
from benchmarks.framework import Benchmark, Metric, Sample, Sampler, Suite, Target, alone, fresh, say
from benchmarks.processes import Server, serving, working
from benchmarks.roster import CENTRIFUGO, CHANNELS, CONNECT, CONNECTED, JSON, PROTOBUF, RAW, subscribe
from benchmarks.sampling import (
    LATENCIES,
    SHARES,
    Clients,
    Meter,
    grown,
    kib,
    meeting,
    micros,
    millis,
    number,
    settled,
)
from benchmarks.values import MARK
from benchmarks.websocket import Endpoint, ProtocolError

_SUBSCRIBED, _ANSWERED = b'"subscribe":{', b'"rpc":{'
"""Each is in every reply to a command of its kind, and in nothing else."""
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_QUIET_SECONDS = 5.0
_ADD = '{"id":<id>,"rpc":{"method":"add","data":[1,2]}}'


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "protocol",
        "Protocol: many feeds on one connection",
        "Fan-out through the protocol: CPU time of the server for each delivery",
        ("fan-out", "cpu", ""),
        (
            _fan_out(quick=quick),
            _turns(quick=quick),
            _subscribing(quick=quick),
            _calling(quick=quick),
            _storm(quick=quick),
            _memory(quick=quick),
        ),
        _METHOD,
        _CAVEATS,
    )


def _fan_out(*, quick: bool) -> Benchmark:
    effort = fanout.Effort(200, 2, 0.4) if quick else fanout.Effort(1000, 3, 5 / 3)
    as_cheap = Target("cpu", 1 / 1.3, "raw at least 0.77 times", is_least=True, versus=RAW.name)
    cheaper = Target("cpu", 3, "Centrifugo at least 3 times", is_least=True, versus=CENTRIFUGO.name)
    cases = [
        fanout.case(rate, peers, effort, (as_cheap, cheaper) if rate == 1000 and CENTRIFUGO in peers else (as_cheap,))
        for rate in (100, 1000, 3000)
        for peers in ((JSON, RAW, CENTRIFUGO), (PROTOBUF, RAW))
    ]
    return Benchmark(
        "fan-out",
        f"Fan-out through the protocol to {effort.clients:,} clients",
        "Values of 100 bytes to all clients. CPU of the server for each delivery; each ratio divides it by the CPU "
        "of the first server of its group in the same pair: the median of the pairs, and both ends.",
        fanout.METRICS,
        tuple(cases),
        is_tall=False,
    )


def _endpoint(server: Server, path: str = roster.WEBSOCKET, *, as_browser: bool = False) -> Endpoint:
    """Return where a client connects that has no subscriptions yet."""
    return Endpoint(server.port, path, CONNECT, CONNECTED, as_browser=as_browser)


# Many feeds on one connection


def _turns(*, quick: bool) -> Benchmark:
    topics, turns, many = 100, 30 if quick else 100, 20 if quick else 100
    cases = (
        ("1 multiplexed connection", 1, topics),
        (f"{many} multiplexed connections", many, topics),
        (f"{topics} raw connections with a topic each", topics, 1),
    )
    return Benchmark(
        "turns",
        "Many feeds on one connection",
        f"{topics} topics have news in one turn of the loop, {turns} times, 20 ms apart. Frames are those that one "
        "connection gets for each turn or, if each connection has one topic, those of all connections.",
        (
            Metric("frames", "Frames per turn", micros),
            Metric("publication", "CPU per publication (µs)", micros),
            Metric("delivery", "CPU per delivery (µs)", micros),
            *LATENCIES,
        ),
        tuple(
            alone(
                partial(_turning, connections, watched, topics, turns),
                *([Target("frames", 1, "at most 1 frame")] if watched > 1 else []),
                label=label,
            )
            for label, connections, watched in cases
        ),
    )


@contextlib.contextmanager
def _turning(connections: int, watched: int, topics: int, turns: int, source: Path | None) -> Iterator[Sampler]:
    with meeting(CHANNELS, source, silent=False) as (server, clients):
        if watched == 1:
            endpoint = Endpoint(server.port, "/many/{number}")
            clients.connect("all", endpoint, connections, mode="values", every=1)
            server.await_clients(connections)
        else:
            endpoint = _endpoint(server, roster.QUIET_WEBSOCKET)
            clients.connect("all", endpoint, connections, mode="values", every=connections, mark=_SUBSCRIBED)
            _subscribe(clients, "all", "many/<number>", connections, watched)
            clients.ask("look_for", mark=MARK.decode())

        def run(count: int) -> Sample:
            clients.ask("mark")
            meter = Meter(server, clients.process)
            server.get("/turns", topics=topics, count=count, pause=_PAUSE_SECONDS)
            received = clients.expect(connections * watched * count, quiet=1.0, timeout=20.0)
            usage = meter.read()
            return {
                "frames": clients.ask("frames", group="all")["frames"] / count,
                "publication": usage.each(topics * count),
                "delivery": usage.each(received.total),
                **received.latencies(),
            }

        run(5)  # code that runs for the first time is slow
        yield partial(run, turns)


def _subscribe(clients: Clients, group: str, channel: str, connections: int, count: int, *, step: int = 0) -> float:
    """Subscribe each connection to `count` channels; return the seconds until the last reply."""
    return _command(clients, group, subscribe(channel), connections, count, step=step)


def _command(clients: Clients, group: str, line: str, connections: int, count: int, *, step: int = 0) -> float:
    """Send `count` commands from each connection; return the seconds until the last reply."""
    clients.ask("mark")
    begun = int(clients.ask("send", group=group, line=line, count=count, step=step)["at"])
    received = clients.expect(connections * count, quiet=_QUIET_SECONDS, timeout=_PATIENCE_SECONDS)
    return (received.last - begun) / 1e9


# Commands


def _subscribing(*, quick: bool) -> Benchmark:
    connections, channels = (20, 100) if quick else (100, 100)
    measured = partial(_commanding, connections, channels, is_call=False)
    target = Target("rate", 5000, "at least 5,000 per second", is_least=True)
    return Benchmark(
        "subscribing",
        "Subscribing",
        f"{connections} connections subscribe to {channels} channels each, behind two dependencies, in an app of "
        "200 more routes.",
        (
            Metric("rate", "Subscriptions per second", number),
            Metric("cpu", "CPU per subscription (µs)", micros),
            SHARES[1],
        ),
        (alone(measured, target, rounds=2 if quick else 5),),
    )


def _calling(*, quick: bool) -> Benchmark:
    connections, calls = (20, 100) if quick else (100, 100)
    measured = partial(_commanding, connections, calls, is_call=True)
    return Benchmark(
        "calls",
        "Calls",
        f"{connections} connections make {calls} calls each, in the same app.",
        (
            Metric("rate", "Calls per second", number),
            Metric("cpu", "CPU per call (µs)", micros),
            SHARES[1],
        ),
        (alone(measured, rounds=2 if quick else 5),),
    )


@contextlib.contextmanager
def _commanding(connections: int, commands: int, source: Path | None, *, is_call: bool) -> Iterator[Sampler]:
    line, mark = (_ADD, _ANSWERED) if is_call else (subscribe("item/<number>"), _SUBSCRIBED)
    with meeting(CHANNELS, source, silent=False) as (server, clients):

        def run(count: int) -> Sample:
            clients.connect("all", _endpoint(server), count, mode="values", mark=mark)
            server.await_clients(count)
            meter = Meter(server, clients.process)
            seconds = _command(clients, "all", line, count, commands, step=commands)
            usage, total = meter.read(), count * commands
            if not is_call and (watchers := server.get("/watchers")["item"]) != total:
                raise ProtocolError(f"the server has {watchers} subscriptions and not {total}")
            clients.ask("close", group="all")
            server.await_clients(0)
            return {"rate": total / seconds, "cpu": usage.each(total), **usage.shares(seconds)}

        run(max(1, connections // 10))  # code that runs for the first time is slow
        yield partial(run, connections)


# A storm


def _storm(*, quick: bool) -> Benchmark:
    count, rate = (500 if quick else 5000), 100
    measured = fresh(partial(_reconnect, count, rate))
    return Benchmark(
        "storm",
        "A storm of reconnecting clients",
        f"{count:,} clients lose their connections at the same time and return to their positions at once, while "
        f"{rate} publications per second go on.",
        (
            Metric("seconds", "Seconds until the last one is back", millis, combine=max),
            Metric("half", "Seconds until half of them are back", millis),
            Metric("recovered", "Recovered clients", number, combine=min),
            Metric("exact", "Clients that received each value once", number, combine=min),
            Metric("cpu", "CPU per client, deliveries included (µs)", micros),
            SHARES[1],
            Metric("failed", "Failed connections, tried again", number, combine=max),
        ),
        (
            alone(
                measured,
                Target("seconds", 10, "under 10 s"),
                Target("recovered", count, "all recovered", is_least=True),
                Target("exact", count, "no client lost a value", is_least=True),
                rounds=1 if quick else 2,
            ),
        ),
    )


def _reconnect(count: int, rate: int, source: Path | None) -> Sample:
    with serving(CHANNELS.command, source) as server, working("benchmarks.crowd") as crowd:
        joined = crowd.ask("join", ports=[server.port], channel="storm", count=count, at_once=256, timeout=40)
        if joined["here"] != count:
            raise ProtocolError(f"{joined['here']} of {count} came")
        server.get("/storm-begin", rate=rate)
        crowd.ask("listen", seconds=2, until=0)
        meter = Meter(server, crowd)
        crowd.ask("cut")
        back = crowd.ask("come", at_once=count, timeout=40)
        usage = meter.read()
        crowd.ask("listen", seconds=1, until=0)
        published = int(server.get("/storm-end"))
        crowd.ask("listen", seconds=10, until=published)
        exact = crowd.ask("tally", position=published)["exact"]
        server.await_clients(back["here"])
    shares = usage.shares(back["seconds"])
    return {"exact": exact, "cpu": usage.each(count), **shares, **{key: back[key] for key in back if key != "here"}}


# Memory


def _memory(*, quick: bool) -> Benchmark:
    connections, steps = (400, (1, 10)) if quick else (1000, (1, 10, 100))
    measured = fresh(partial(_hold, connections, steps))
    each = (
        metric
        for count in steps
        for metric in (
            Metric(f"process {count}", f"Process, for a connection with {count} (KiB)", kib),
            Metric(f"cpu {count}", f"CPU of connecting and subscribing to {count} (µs)", micros),
        )
    )
    return Benchmark(
        "memory",
        "Memory of subscriptions",
        f"{connections:,} connections by a browser's handshake with {', '.join(map(str, steps))} subscriptions each "
        "to running feeds, on a fresh server for every number.",
        (
            *each,
            Metric("kernel", "Kernel, for a connection (KiB)", kib),
            Metric("further", "Further subscription (bytes)", number),
        ),
        (alone(measured, Target("process 1", 34, "under 34 KiB"), Target("further", 1024, "under 1,024 bytes")),),
    )


def _hold(connections: int, steps: tuple[int, ...], source: Path | None) -> Sample:
    figures: dict[str, float] = {}
    for count in steps:
        figures |= _held(connections, count, source)
        say(f"memory: {figures[f'process {count}']:.1f} KiB for a connection with {count} subscriptions")
    first, last = steps[0], steps[-1]
    further = (figures[f"process {last}"] - figures[f"process {first}"]) / (last - first)
    return figures | {"further": further * 1024}


def _held(connections: int, count: int, source: Path | None) -> Sample:
    warm, size = 50, max(1, 2000 // count)
    with meeting(CHANNELS, source, silent=False) as (server, clients):
        _open(server, clients, "warm", warm, count)  # code that runs for the first time takes memory once
        server.await_clients(warm)
        before, meter = server.memory(), Meter(server, clients.process)
        # Not all at once: memory that is only held while many clients subscribe is not measured.
        for start in range(0, connections, size):
            _open(server, clients, f"{start}", min(size, connections - start), count)
        server.await_clients(connections + warm)
        watchers, hoped = server.get("/watchers")["feed"], (connections + warm) * count
        if watchers != hoped:
            raise ProtocolError(f"the server has {watchers} subscriptions and not {hoped}")
        cpu = meter.read().each(connections)
        process, kernel, _ = grown(before, settled(server), connections)
    return {f"process {count}": process, "kernel": kernel, f"cpu {count}": cpu}


def _open(server: Server, clients: Clients, group: str, connections: int, count: int) -> None:
    clients.connect(group, _endpoint(server, as_browser=True), connections, mode="values", mark=_SUBSCRIBED)
    _subscribe(clients, group, "feed/<number>", connections, count)


_METHOD = """\
- Servers run on the asyncio loop; all clients of a server are one other process, and stay connected.
- Fan-out is measured as in the page of feeds: the same app, topic (`keep=1000`), values, pace and clocks. The size of a
  value varies in the protocol, so all clients count values and not bytes, the raw ones, too. Lossless means: each
  connection received as many values as were published, and the last one last; of 20 connections each value was
  checked.
- The protocol's own pings are off in fan-out and turns, and on (and answered) everywhere else.
- All connections send their subscriptions or calls at once, in one frame each. Each subscription is to a channel that
  no other client has; the app has 200 other routes in front, and the topic has two dependencies, one in the other, both
  `async`. The time ends with the last reply. A first round on the same server is left out.
- In a storm, each client has one subscription to the same topic (`keep=1000`). All sockets are reset, and all connect
  again at once, without the pause that SDKs make. Each sends connect and subscribe in one frame, with the position of
  the last value that it has received. It has recovered when it has the reply that says so. No client lost a value if
  each ends where the publisher is, by its own count of values and by the offset of the last one.
- Memory is the growth of the resident memory of a fresh server, by the handshake of a browser. Clients subscribe to
  feeds that are already running, a few at a time."""

_CAVEATS = """\
- Wirespeed gathers values while others are written, so a higher CPU cost per frame first shows in the latency: read the
  two together.
- The clients are simpler than SDKs. The cost of a frame for an SDK is not measured here."""
