"""The process of the clients that speak the protocol, seen from outside."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.feeds.loading import Loading, started
from benchmarks.feeds.values import MARK


@dataclass(frozen=True)
class Came:
    """How many are here, how many of them where they were before, how often a connection failed; and how long it took
    for the last one and for half of them, in seconds."""

    here: int
    recovered: int
    failures: int
    seconds: float
    median: float


class ProtocolLoading(Loading):
    """Many clients of the multiplexed surface in one process of their own."""

    def subscribe(self, group: str, path: str, count: int, *, first: int = 0, step: int = 0) -> int:
        """Each connection of a group subscribes to so many channels; returns when that began, in monotonic ns.

        A `{number}` in the path is the channel's: from `first` on for the first connection, `step` more for each
        further one.
        """
        return int(self._ask("subscribe", group=group, path=path, count=count, first=first, step=step)["at"])

    def look_for_values(self) -> None:
        """From now on, values are counted, and no replies."""
        self._ask("look_for", mark=MARK.decode())

    def frames(self, group: str) -> int:
        """How many frames the sampled of a group have received since the mark."""
        return int(self._ask("frames", group=group)["frames"])


class CrowdLoading(Loading):
    """Clients that are cut off and come back; see `Crowd`, whose orders these are."""

    def join(self, port: int, channel: str, count: int, *, at_once: int, timeout: float) -> Came:
        return Came(**self._ask("join", port=port, channel=channel, count=count, at_once=at_once, timeout=timeout))

    def come(self, *, at_once: int, timeout: float) -> Came:
        return Came(**self._ask("come", at_once=at_once, timeout=timeout))

    def listen(self, seconds: float, *, until: int = 0) -> None:
        self._ask("listen", seconds=seconds, until=until)

    def cut(self) -> None:
        self._ask("cut")

    def tally(self, position: int) -> int:
        """How many have recovered, and have got everything up to a position, each value once."""
        return int(self._ask("tally", position=position)["exact"])


@contextlib.contextmanager
def loading() -> Iterator[ProtocolLoading]:
    """A process for clients, until the block ends."""
    with started("benchmarks.protocol.load", ProtocolLoading) as clients:
        yield clients


@contextlib.contextmanager
def crowding() -> Iterator[CrowdLoading]:
    """A process for clients that come back, until the block ends."""
    with started("benchmarks.protocol.crowd", CrowdLoading) as clients:
        yield clients
