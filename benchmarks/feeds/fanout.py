"""Fan-out: what one value costs that goes to many, ours and another in turn, and how far ours goes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.attempts import FAILURES
from benchmarks.feeds.party import Party, Sample, meeting, middle
from benchmarks.feeds.roster import FLOOR, OURS, PEERS, Peer
from benchmarks.sampling import Spread


@dataclass(frozen=True)
class Effort:
    """How many clients, values per second, pairs, and seconds for each half of a pair.

    `steps` are the rates at which the highest one is looked for, each for `step_seconds`.
    """

    connections: int
    rates: tuple[int, ...]
    pairs: int
    seconds: float
    steps: tuple[int, ...]
    step_seconds: float


@dataclass
class Comparison:
    """Ours and one other at one rate: the pairs that were measured, or why there are none."""

    peer: Peer
    rate: int
    pairs: list[tuple[Sample, Sample]] = field(default_factory=list)
    missing: str = ""

    @property
    def ours(self) -> Sample:
        return middle([ours for ours, _ in self.pairs])

    @property
    def other(self) -> Sample:
        return middle([other for _, other in self.pairs])

    @property
    def others(self) -> list[Sample]:
        return [other for _, other in self.pairs]

    @property
    def ratio(self) -> Spread:
        """How many times less CPU for each delivery than the other we need, pair by pair."""
        return Spread.of([other.cpu_each / ours.cpu_each for ours, other in self.pairs])

    @property
    def above(self) -> Spread:
        """How many times the CPU of the other we need."""
        return Spread.of([ours.cpu_each / other.cpu_each for ours, other in self.pairs])


@dataclass
class Highest:
    """The rates that were tried, in order; all but the last were sustained, or all."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def sustained(self) -> list[Sample]:
        return [sample for sample in self.samples if not sample.is_saturated]

    @property
    def best(self) -> Sample | None:
        return self.sustained[-1] if self.sustained else None


def compare(
    effort: Effort,
    takes: Callable[..., bool],
    say: Callable[[str], None],
    *,
    ours: Peer = OURS,
    peers: Sequence[Peer] = (FLOOR, *PEERS),
) -> Iterator[Comparison]:
    """All pairs of all peers, the floor among them."""
    wanted = {
        peer: rates
        for peer in peers
        if (rates := [rate for rate in effort.rates if takes("fan-out", peer.name, f"{rate}/s")])
    }
    if not wanted:
        return
    with meeting(ours, effort.connections) as party:
        for peer, rates in wanted.items():
            yield from _compare_with(party, peer, rates, effort, say)


def _compare_with(
    ours: Party, peer: Peer, rates: list[int], effort: Effort, say: Callable[[str], None]
) -> Iterator[Comparison]:
    found = [Comparison(peer, rate) for rate in rates]
    try:
        with meeting(peer, effort.connections) as other:
            for comparison in found:
                for _ in range(effort.pairs):
                    seconds = effort.seconds
                    pair = ours.sample(comparison.rate, seconds), other.sample(comparison.rate, seconds)
                    comparison.pairs.append(pair)
                    say(_told(comparison, *pair))
    except FAILURES as error:
        for comparison in found:
            if len(comparison.pairs) < effort.pairs:
                comparison.pairs.clear()
                comparison.missing = f"{error}" or type(error).__name__
        say(f"{peer.name}: {error}")
    yield from found


def _told(comparison: Comparison, ours: Sample, other: Sample) -> str:
    return (
        f"fan-out, {comparison.rate:>5}/s, {comparison.peer.name:<22}"
        f"  ours {ours.cpu_each:6.2f} µs, p99 {ours.latencies.p99:5.0f} ms"
        f"  other {other.cpu_each:6.2f} µs, p99 {other.latencies.p99:5.0f} ms  {other.cpu_each / ours.cpu_each:6.1f}x"
    )


def climb(effort: Effort, say: Callable[[str], None]) -> Highest:
    """Raise the rate until the server has no more to give."""
    highest = Highest()
    with meeting(OURS, effort.connections) as ours:
        ours.sample(effort.steps[0] / 10, effort.step_seconds / 2)  # what is new is slow
        for rate in effort.steps:
            sample = ours.sample(rate, effort.step_seconds)
            if sample.is_saturated:  # the machine may have been busy with something else
                sample = ours.sample(rate, effort.step_seconds)
            highest.samples.append(sample)
            say(f"highest rate: {rate}/s, {sample.per_second:,.0f} deliveries/s, {sample.share:.0f} % of a core")
            if sample.is_saturated:
                break
    return highest
