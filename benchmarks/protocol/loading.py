"""The process of the clients that speak the protocol, seen from outside."""

import contextlib
from collections.abc import Iterator

from benchmarks.feeds.loading import Loading, started


class ProtocolLoading(Loading):
    """Many clients of the multiplexed surface in one process of their own."""

    def subscribe(self, group: str, path: str, count: int, *, first: int = 0, step: int = 0) -> int:
        """Each connection of a group subscribes to so many channels; returns when that began, in monotonic ns.

        A `{number}` in the path is the channel's: from `first` on for the first connection, `step` more for each
        further one.
        """
        return int(self._ask("subscribe", group=group, path=path, count=count, first=first, step=step)["at"])


@contextlib.contextmanager
def loading() -> Iterator[ProtocolLoading]:
    """A process for clients, until the block ends."""
    with started("benchmarks.protocol.load", ProtocolLoading) as clients:
        yield clients
