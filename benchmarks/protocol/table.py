"""The table `protocol`: all rows, one after the other."""

from dataclasses import dataclass, field

from benchmarks.attempts import Attempts, allow_files, say
from benchmarks.feeds.fanout import Effort as FanoutEffort
from benchmarks.protocol import fanout, memory, storm, subscribing, turns
from benchmarks.protocol.fanout import Against
from benchmarks.protocol.memory import Memory
from benchmarks.protocol.storm import Storm
from benchmarks.protocol.subscribing import Subscribing
from benchmarks.protocol.turns import Turns
from benchmarks.streams import Selection


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    fanout: FanoutEffort
    turns: turns.Effort
    subscribing: subscribing.Effort
    storm: storm.Effort
    memory: memory.Effort


FULL = Effort(
    FanoutEffort(1000, (100, 1000, 3000), pairs=3, seconds=5 / 3, steps=(), step_seconds=0),
    turns.Effort(100, turns=100, connections=(1, 100)),
    subscribing.Effort(connections=100, channels=100, rounds=5),
    storm.Effort(5000, rate=100, runs=2),
    memory.Effort(1000, (1, 10, 100)),
)
QUICK = Effort(
    FanoutEffort(200, (100, 1000, 3000), pairs=2, seconds=0.4, steps=(), step_seconds=0),
    turns.Effort(100, turns=30, connections=(1, 20)),
    subscribing.Effort(connections=20, channels=100, rounds=2),
    storm.Effort(500, rate=100, runs=1),
    memory.Effort(400, (1, 10)),
)


@dataclass
class Results:
    """Everything that one run has found; `missing` says why a row is not there."""

    fanout: list[Against] = field(default_factory=list)
    turns: list[Turns] = field(default_factory=list)
    subscribing: Subscribing | None = None
    storms: list[Storm] = field(default_factory=list)
    memory: Memory | None = None
    missing: dict[str, str] = field(default_factory=dict)


def measure(effort: Effort, selection: Selection) -> Results:
    """Run the whole table. What fails is reported as missing."""
    allow_files()
    attempts = Attempts(selection)
    row = attempts.row
    results = Results(missing=attempts.missing)
    results.fanout = list(fanout.compare(effort.fanout, selection.takes, say))
    results.turns = row("turns", lambda: turns.measure(effort.turns, say)) or []
    results.subscribing = row("subscribing", lambda: subscribing.measure(effort.subscribing, say))
    results.storms = row("storm", lambda: storm.measure(effort.storm, say)) or []
    results.memory = row("memory", lambda: memory.measure(effort.memory, say))
    return results
