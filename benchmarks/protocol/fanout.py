"""Fan-out through the protocol: the same topic, values and clients as raw, and next to it in the same run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.feeds import fanout
from benchmarks.feeds.fanout import Comparison, Effort
from benchmarks.feeds.roster import Peer
from benchmarks.protocol.roster import CENTRIFUGO, JSON, PROTOBUF, RAW


@dataclass(frozen=True)
class Against:
    """One format of ours, and what it is compared with."""

    ours: Peer
    comparison: Comparison


def compare(effort: Effort, takes: Callable[..., bool], say: Callable[[str], None]) -> Iterator[Against]:
    """All pairs: both formats next to our raw surface, JSON next to Centrifugo as well."""
    for ours, peers in ((JSON, (RAW, CENTRIFUGO)), (PROTOBUF, (RAW,))):
        say(f"fan-out: {ours.name}")
        for comparison in fanout.compare(effort, takes, say, ours=ours, peers=peers):
            yield Against(ours, comparison)
