"""Fan-out: the cost of one value that goes to many clients, for the suites `feeds` and `protocol`."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.framework import Case, Metric, Sample, Sampler, Side, Target
from benchmarks.peers.centrifugo import KEY
from benchmarks.processes import Server
from benchmarks.roster import CENTRIFUGO, Peer
from benchmarks.sampling import LATENCIES, SHARES, Clients, Meter, Received, Usage, meeting, micros, number, yes_or_no
from benchmarks.values import stamped
from benchmarks.websocket import HOST, ProtocolError

SAMPLED = 20
_SETTLE_SECONDS = 15.0
_QUIET_SECONDS = 0.4
# The conditions under which a rate counts as reached.
_REACHED = 0.95
_BEHIND_SECONDS = 0.25

METRICS = (
    Metric("cpu", "CPU per delivery (µs)", micros, has_ratio=True),
    Metric("published", "Published per second", number),
    Metric("delivered", "Deliveries per second", number),
    *LATENCIES,
    *SHARES,
    Metric("complete", "Lossless", yes_or_no, combine=min),
    Metric("saturated", "Saturated", yes_or_no, combine=max),
)
LOSSLESS = Target("complete", 1, "lossless", is_least=True)
REACHED = Target("saturated", 0, "the rate reached in every run")


class Effort(NamedTuple):
    """The number of clients and of pairs, and the seconds of each half of a pair."""

    clients: int
    rounds: int
    seconds: float


def case(rate: int, peers: tuple[Peer, ...], effort: Effort, targets: tuple[Target, ...]) -> Case:
    """Return the case of one rate; the first peer is compared with the others."""
    sides = (
        Side(peer.name, partial(party, peer, rate, effort.clients, effort.seconds), peer.kind, peer.needs)
        for peer in peers
    )
    return Case(f"{rate:,} per second", tuple(sides), effort.rounds, (*targets, LOSSLESS, REACHED))


@contextlib.contextmanager
def party(peer: Peer, rate: float, clients: int, seconds: float, source: Path | None) -> Iterator[Sampler]:
    """Run a peer with connected clients. A sample publishes for some seconds; the first one, to warm up, is short."""
    with meeting(peer, source) as (server, load):
        gathered = Party(peer, server, load, clients)
        gathered.sample(rate, min(0.3, seconds))
        yield partial(gathered.sample, rate, seconds)


class Party:
    """A peer with connected clients."""

    def __init__(self, peer: Peer, server: Server, clients: Clients, count: int) -> None:
        self._peer, self._server, self._clients = peer, server, clients
        self._count = count
        self._is_connected = False

    def sample(self, rate: float, seconds: float) -> Sample:
        """Publish for some seconds. Clients that were closed in the last run are connected again before."""
        if not self._is_connected:
            self._connect()
        self._clients.ask("mark")
        meter = Meter(self._server, self._clients.process)
        published, publishing = _publish(self._peer, self._server, rate, seconds)
        hoped = published * self._count * self._peer.frame
        self._clients.ask("wait", total=hoped, quiet=_QUIET_SECONDS, timeout=_SETTLE_SECONDS)
        usage, received = meter.read(), self._clients.report()
        self._is_connected = not received.closed
        passed = max((received.last - meter.begun) / 1e9, publishing)
        is_complete = self._is_complete(published, received)
        is_behind = passed - publishing > _BEHIND_SECONDS or published < _REACHED * rate * publishing
        figures = self._figures(usage, received, passed)
        return figures | {
            "published": published / publishing,
            "complete": is_complete,
            "saturated": is_behind or not is_complete,
        }

    def _figures(self, usage: Usage, received: Received, passed: float) -> dict[str, float]:
        if not (deliveries := received.total // self._peer.frame):
            raise ProtocolError("nothing was delivered")
        return {
            "cpu": usage.each(deliveries),
            "delivered": deliveries / passed,
            **usage.shares(passed),
            **received.latencies(),
        }

    def _is_complete(self, published: int, received: Received) -> bool:
        """Return True if each client got as many values as were published and, if that was looked at, the last one
        last."""
        is_exact = received.least // self._peer.frame == published
        if self._peer.mode == "values":
            is_exact &= received.total == published * self._count and received.newest == published
        return is_exact and not received.closed and not received.gaps

    def _connect(self) -> None:
        self._clients.ask("close", group="all")
        if self._peer.has_clients:
            self._server.await_clients(0)
        every = max(1, self._count // SAMPLED)
        for port, count in self._server.shares(self._count):
            self._clients.connect("all", self._peer.endpoint(port), count, mode=self._peer.mode, every=every)
        if self._peer.has_clients:
            self._server.await_clients(self._count)
        self._is_connected = True


def _publish(peer: Peer, server: Server, rate: float, seconds: float) -> tuple[int, float]:
    """Return how many values were published, and in how many seconds."""
    if peer is CENTRIFUGO:
        return _publish_by_api(server, rate, seconds)
    ran = server.get("/run", rate=rate, seconds=seconds)
    return int(ran["published"]), ran["seconds"]


def _publish_by_api(server: Server, rate: float, seconds: float) -> tuple[int, float]:
    """Publish from here, with one request for all that is due: the pace of `values.pace`, for a server without code."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=120)
    begun = time.perf_counter()
    number, total = 0, round(rate * seconds)
    try:
        while number < total and (passed := time.perf_counter() - begun) < seconds:
            due = min(total, int(passed * rate) + 1)
            _post(connection, [stamped(each) for each in range(number + 1, due + 1)])
            number = due
            time.sleep(max(0.001, number / rate - (time.perf_counter() - begun)))
    except (OSError, http.client.HTTPException) as error:
        raise ProtocolError(f"publishing failed: {error}") from None
    finally:
        connection.close()
    return number, time.perf_counter() - begun


def _post(connection: http.client.HTTPConnection, values: list[str]) -> None:
    commands = [{"publish": {"channel": "fan", "data": value}} for value in values]
    headers = {"Content-Type": "application/json", "X-API-Key": KEY}
    connection.request("POST", "/api/batch", json.dumps({"commands": commands}), headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or b'"error"' in answer:
        raise ProtocolError(f"publishing was answered with {response.status}: {answer[:100]!r}")
