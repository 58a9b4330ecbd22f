"""The suite `cluster`: several workers of one app, joined by Valkey."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import fanout, outages
from benchmarks.framework import Benchmark, Case, Metric, Sample, Sampler, Side, Suite, Target, alone
from benchmarks.processes import Process, Server, working
from benchmarks.roster import CHANNELS, QUIET_WEBSOCKET, REDIS_PEERS, WIRESPEED, Peer, subscribe
from benchmarks.sampling import LATENCIES, Clients, meeting, micros, millis, number, percent, yes_or_no
from benchmarks.valkey_costs import costs
from benchmarks.values import FRAME_SIZE, MARK
from benchmarks.websocket import Endpoint
from benchmarks.workers import Team, joined, storing

_SETTLE_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0
_LOSSLESS = Target("complete", 1, "lossless", is_least=True)


def suite(*, quick: bool) -> Suite:
    """Return all benchmarks of this suite."""
    return Suite(
        "cluster",
        "Cluster: several workers, joined by Valkey",
        "Fan-out with two workers: CPU time for each delivery",
        ("workers", "cpu", ""),
        (
            _receiving(quick=quick),
            _latest(quick=quick),
            _many(quick=quick),
            _fan_out(quick=quick),
            outages.cut(quick=quick),
            outages.takeover(quick=quick),
            outages.recovery(quick=quick),
            costs(quick=quick),
        ),
        _METHOD,
        _CAVEATS,
    )


class Costs:
    """The CPU time of some processes from now on."""

    def __init__(self, **processes: Process) -> None:
        self._begun = {name: (process, process.cpu_ns()) for name, process in processes.items()}

    def read(self, count: float, seconds: float) -> dict[str, float]:
        """Return the microseconds of each process for one of `count`, and its share of a core in percent."""
        used = {name: process.cpu_ns() - begun for name, (process, begun) in self._begun.items()}
        each = {name: cpu / max(1, count) / 1000 for name, cpu in used.items()}
        return each | {f"{name} share": cpu / seconds / 1e7 for name, cpu in used.items()}


_ROLES = ("publisher", "Valkey", "receiver")
_EACH = tuple(Metric(name, f"{name.capitalize()}, CPU per publication (µs)", micros) for name in _ROLES)
_SHARES = tuple(Metric(f"{name} share", f"{name.capitalize()}, share of a core", percent) for name in _ROLES)
_COMPLETE = Metric("complete", "Lossless", yes_or_no, combine=min)


def _costs(team: Team) -> Costs:
    """Return the costs of a worker that publishes, the store, and a worker that receives."""
    publisher, receiver = team.workers
    return Costs(publisher=publisher, Valkey=team.store, receiver=receiver)


# Publish to receive


def _receiving(*, quick: bool) -> Benchmark:
    seconds, rounds = (1.0, 1) if quick else (5.0, 3)
    fast = Target("added", 5, "under 5 ms")
    cheap = tuple(Target(name, 5, "under 5 %") for name in ("publisher alone", "receiver share"))
    targets = {100: (fast,), 1_000: (), 10_000: cheap}
    return Benchmark(
        "receiving",
        "From publishing to receiving",
        "One topic (`keep=1000`). One worker publishes, the other has one watcher. In the same round, a worker without "
        "a broker publishes as many values to a watcher of its own: memory. The pace is the loop that decides when to "
        "publish; its cost is measured without publishing, and is part of the publisher's.",
        (
            *LATENCIES,
            Metric("memory median", "Latency in memory, median (ms)", millis),
            Metric("memory p99", "Latency in memory, p99 (ms)", millis),
            Metric("added", "Added to memory's p99 (ms)", millis),
            *_EACH,
            Metric("memory", "Worker without a broker, CPU per publication (µs)", micros),
            Metric("pace", "Pace, CPU per publication (µs)", micros),
            *_SHARES,
            Metric("publisher alone", "Publisher without the pace, share of a core", percent),
            Metric("behind", "From the end of publishing to the last value (ms)", millis, combine=max),
            _COMPLETE,
        ),
        tuple(
            alone(
                partial(_meet_receiver, rate, seconds),
                *(*kept, Target("behind", 100, "no backlog"), _LOSSLESS),
                label=f"{rate:,} per second",
                rounds=rounds,
            )
            for rate, kept in targets.items()
        ),
    )


@contextlib.contextmanager
def _meet_receiver(rate: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    with (
        storing() as store,
        joined(WIRESPEED, source, store, [store.port] * 2) as team,
        working("benchmarks.clients") as worker,
        meeting(WIRESPEED, source) as (memory, local),
    ):
        remote = Clients(worker)
        for server, clients in ((team.workers[1], remote), (memory, local)):
            clients.connect("all", Endpoint(server.port, "/fan"), 1, every=1)
            server.await_clients(1)

        def sample(seconds: float) -> Sample:
            here = _published(team, remote, _costs(team), rate, seconds)
            there = _published(memory, local, Costs(memory=memory), rate, seconds)
            pacing = Costs(pace=memory)
            ran = memory.get("/pace", rate=rate, seconds=seconds)
            paced = pacing.read(ran["published"], ran["seconds"])
            return {
                **here,
                **paced,
                "publisher alone": here["publisher share"] - paced["pace share"],
                "memory": there["memory"],
                "memory median": there["median"],
                "memory p99": there["p99"],
                "added": here["p99"] - there["p99"],
            }

        sample(0.3)  # code that runs for the first time is slow
        yield partial(sample, seconds)


def _published(server: Server, clients: Clients, costs: Costs, rate: int, seconds: float) -> dict[str, float]:
    """Publish for some seconds, wait until everything was received, and return what that took."""
    clients.ask("mark")
    ran = server.get("/run", rate=rate, seconds=seconds)
    ended, hoped = time.monotonic_ns(), int(ran["published"]) * FRAME_SIZE
    received = clients.wait(hoped, quiet=2.0, timeout=_SETTLE_SECONDS)
    return {
        **costs.read(ran["published"], ran["seconds"]),
        **received.latencies(),
        "behind": max(0, received.last - ended) / 1e6,
        "complete": received.total == hoped and not received.gaps,
    }


# The newest value


def _latest(*, quick: bool) -> Benchmark:
    rate, seconds = 100_000, 1.5 if quick else 5.0
    return Benchmark(
        "latest",
        "A feed of newest values",
        f'One feed with `keep="latest"` and `max_rate=60`, {rate:,} changes per second, and a watcher at each of two '
        "workers. The feed runs in the first one, the publisher.",
        (
            Metric("produced", "Changes per second", number),
            Metric("stored", "Publications per second at the broker", millis),
            *_SHARES,
            Metric("newest", "Watchers that end with the newest value", number, combine=min),
        ),
        (
            alone(
                partial(_change, rate, seconds),
                Target("stored", 61, "at most `max_rate`"),
                Target("newest", 2, "both", is_least=True),
                rounds=1 if quick else 3,
            ),
        ),
    )


@contextlib.contextmanager
def _change(rate: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    with _meeting(WIRESPEED, source) as (team, clients):
        for each in team.workers:  # the first one is alone when the feed starts, and runs it
            clients.connect("all", Endpoint(each.port, "/price"), 1, mode="tail")
            each.await_clients(1)
            team.get("/price-run", rate=rate, seconds=0.5)  # code that runs for the first time is slow

        def sample() -> Sample:
            before, costs = team.store.published(), _costs(team)
            ran = team.get("/price-run", rate=rate, seconds=seconds)
            stored, figures = team.store.published() - before, costs.read(ran["published"], ran["seconds"])
            time.sleep(0.5)
            return {
                "produced": int(ran["published"]) / ran["seconds"],
                "stored": stored / ran["seconds"],
                "newest": clients.ask("tails", group="all").get(ran["last"], 0),
                **figures,
            }

        yield sample


@contextlib.contextmanager
def _meeting(peer: Peer, source: Path | None) -> Iterator[tuple[Team, Clients]]:
    """Run two workers of a peer, and a process for their clients."""
    with (
        storing() as store,
        joined(peer, source, store, [store.port] * 2) as team,
        working("benchmarks.clients") as worker,
    ):
        yield team, Clients(worker)


# Many topics


def _many(*, quick: bool) -> Benchmark:
    topics, seconds = (1000, 2.0) if quick else (10_000, 5.0)
    return Benchmark(
        "many topics",
        "Many topics",
        f"{topics:,} topics with one publication per second each. One worker publishes, one after the other; the other "
        f"has a watcher of each topic, on {topics // 100} multiplexed connections.",
        (
            Metric("published", "Publications per second", number),
            *LATENCIES,
            *_EACH,
            *_SHARES,
            Metric("behind", "From the end of publishing to the last value (ms)", millis, combine=max),
            _COMPLETE,
        ),
        (alone(partial(_spread, topics, seconds), _LOSSLESS, rounds=1 if quick else 3),),
    )


@contextlib.contextmanager
def _spread(topics: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    with _meeting(CHANNELS, source) as (team, clients):
        endpoint = Endpoint(team.workers[1].port, QUIET_WEBSOCKET, '{"id":1,"connect":{}}', '"id":1')
        clients.connect("all", endpoint, topics // 100, mode="values", every=max(1, topics // 2000))
        clients.ask("look_for", mark='"subscribe":{')
        clients.ask("mark")
        clients.ask("send", group="all", line=subscribe("many/<number>"), count=100, step=100)
        clients.expect(topics, quiet=10.0, timeout=_PATIENCE_SECONDS)
        clients.ask("look_for", mark=MARK.decode())

        def sample(seconds: float) -> Sample:
            clients.ask("mark")
            costs = _costs(team)
            ran = team.get("/spread", topics=topics, rate=topics, seconds=seconds)
            ended, hoped = time.monotonic_ns(), int(ran["published"])
            received = clients.wait(hoped, quiet=2.0, timeout=_SETTLE_SECONDS)
            return {
                **costs.read(hoped, ran["seconds"]),
                **received.latencies(),
                "published": hoped / ran["seconds"],
                "behind": max(0, received.last - ended) / 1e6,
                "complete": received.total == hoped,
            }

        sample(1.0)  # code that runs for the first time is slow
        yield partial(sample, seconds)


# Fan-out


def _fan_out(*, quick: bool) -> Benchmark:
    effort = fanout.Effort(200, 1, 0.5) if quick else fanout.Effort(1000, 3, 5 / 3)
    cases = []
    for rate in (100, 1000):
        sides = (
            Side("Wirespeed", partial(_party, WIRESPEED, 2, rate, effort), "wirespeed"),
            Side("Wirespeed, one worker", partial(_party, WIRESPEED, 1, rate, effort)),
            *(Side(peer.name, partial(_party, peer, 2, rate, effort), needs=peer.needs) for peer in REDIS_PEERS),
        )
        targets = [Target("cpu", 5, "at least 5 times", is_least=True, versus=peer.name) for peer in REDIS_PEERS]
        kept = (*targets, fanout.LOSSLESS, fanout.REACHED)
        cases.append(Case(f"{rate:,} per second", sides, effort.rounds, kept))
    return Benchmark(
        "workers",
        f"Fan-out to {effort.clients:,} clients of two workers",
        "Values of 100 bytes to all clients, half of them at each worker; one of the workers publishes. CPU of the "
        "workers and of Valkey for each delivery; each ratio divides it by the CPU of Wirespeed in the same pair: the "
        "median of the pairs, and both ends. One worker has all clients, and no broker. A saturated server did not "
        "keep up with the rate.",
        (*fanout.METRICS[:-2], Metric("Valkey share", "Valkey's share of a core", percent), *fanout.METRICS[-2:]),
        tuple(cases),
        is_tall=False,
    )


@contextlib.contextmanager
def _party(peer: Peer, workers: int, rate: float, effort: fanout.Effort, source: Path | None) -> Iterator[Sampler]:
    if workers == 1:
        with fanout.party(peer, rate, effort.clients, effort.seconds, source) as sample:
            yield sample
            return
    with _meeting(peer, source) as (team, clients):
        gathered = fanout.Party(peer, team, clients, effort.clients)

        def sample_with_store(seconds: float) -> Sample:
            costs, begun = Costs(Valkey=team.store), time.monotonic()
            figures = gathered.sample(rate, seconds)
            return {**figures, "Valkey share": costs.read(1, time.monotonic() - begun)["Valkey share"]}

        sample_with_store(0.3)
        yield partial(sample_with_store, effort.seconds)


_METHOD = """\
- Valkey, each worker and all clients are processes of their own on one machine; Valkey keeps nothing on disk. Workers
  run on the asyncio loop, with the same program as without a broker: the environment names Valkey's URL.
- The pace is that of the other pages: each millisecond, or each 10 ms at 100 per second, a worker publishes what is due
  by then. The time is in each value, so the latency goes from `publish()` in one process to the socket of a client of
  the other one. It is taken from every value.
- Publications at the broker are the calls of PUBLISH that Valkey has counted, by scripts, too.
- Fan-out is measured as in the page of feeds: the same app, topic, values, pace and clocks. The publisher is one of the
  two workers. All connections are sampled as they are there.
- A cut connection: all connections to Valkey go through a pipe. It breaks them and each new one for a second. Each
  client's values are checked one by one. Clients have until 3 s without a value, and 10 s at most, after the end.
- Takeover: the feed's values have the number of the worker in them. Cut off means that packets are lost: the
  connections to Valkey stay open, and nothing arrives.
- Recovery is measured as the storm in the page of the protocol, except that a client whose connection ends tries the
  other worker after 0.2 s. Each client ends where the publisher is, by its own count of values and by the offset of
  the last one."""

_CAVEATS = """\
- Two workers, Valkey and the clients share the cores of one machine: rates that need more than one core per worker are
  not measured here. Compare the CPU time.
- The CPU time of a worker includes waking up, which depends on how much else the machine does. At low rates it is most
  of the cost of a publication."""
