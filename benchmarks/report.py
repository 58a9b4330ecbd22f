"""From results to text: the tables as they are printed, and the page that is kept."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.cases import CASES
from benchmarks.memory import Findings, Growth, Stall
from benchmarks.roster import OURS, PEERS, PLAIN, Peer
from benchmarks.sampling import Spread
from benchmarks.streams import Comparison, Effort, Results

FLOOR_AIM = 2.0
STALL_AIM_KIB = 130.0
GROWTH_AIM_KIB = 1024.0
_KIB = 1024

_METHOD = """\
- Each server is a process of its own on 127.0.0.1, started without options but the port and the loop. While
  a pair is measured, only the two of that pair are up.
- CPU time is read from the POSIX clock of the process and of each of its children: in nanoseconds, exact at
  the moment of reading, threads that have ended included. 20 ms after the last byte belong to it.
- The client is one blocking socket that offers no extensions. Before anything is timed it reads one run
  frame by frame, compares every value, and counts the bytes; a timed run ends with exactly as many.
- One value a frame, everywhere. JSON is encoded as the users of each peer do it, spaces or not.
- The floor's encoder is `str.encode` for text and Pydantic's serializer of the annotation for JSON.
- Kernel memory is what `ss -tm` reports: waiting to be read, waiting to be sent, and set aside."""

_CAVEATS = """\
- Client and server share one machine: a server that wakes the client for each value is also slowed down by
  it. The CPU ratio says more than the time ratio.
- On the loopback interface the kernel delivers a packet in the sender's time: each server's CPU includes
  work that a remote client's kernel would do.
- One client, and values that are ready at once, are the best case for gathering frames. A generator that
  waits between its values pays one write for each, as everybody does."""


@dataclass(frozen=True)
class Section:
    """A heading, what its columns mean, and a table."""

    title: str
    explanation: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def render(self, level: str = "##") -> str:
        return f"{level} {self.title}\n\n{self.explanation}\n\n{table(self.header, self.rows)}\n"


def sections(results: Results) -> list[Section]:
    """Everything that was measured, in the order in which it is read."""
    found = (_speed(results), _floor(results), _growth(results), _stalls(results))
    return [section for section in found if section.rows]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that can be read as plain text, too: the first two columns are words, the rest numbers."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if at < 2 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def page(results: Results, machine: Sequence[tuple[str, str]], effort: Effort) -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# Streams: 10,000 values to one client",
            "",
            "Written by `make bench`. What counts are the ratios of one run; the microseconds belong to one machine.",
            "",
            "![CPU time of the server for each value](streams.svg)",
            "",
            *(section.render() for section in sections(results)),
            "## Measured on",
            "",
            *(f"- {name}: {value}" for name, value in machine),
            "",
            "## How it was measured",
            "",
            *_method(effort),
            "",
            "## What is weaker",
            "",
            *_remarks(results),
            "",
        ]
    )


def _speed(results: Results) -> Section:
    header = ("case", "the other", "its CPU", "its time", "our CPU", "our time", "CPU ratio (min to max)")
    return Section(
        "Ours against the others",
        "Microseconds for each value: CPU time of the server with all its threads and children, and time until\n"
        "the client has it. The ratio says how many times less CPU we need: the median of the pairs, and both ends.",
        (*header, "time ratio", "aim"),
        [_speed_row(comparison) for case in CASES for comparison in results.of(case)],
    )


def _speed_row(comparison: Comparison) -> Sequence[str]:
    case, name = comparison.way.case, f"{comparison.peer.name}, {comparison.way.how}"
    if comparison.missing:
        return (case.title, f"{name}: {unavailable(comparison.missing)}", *["-"] * 7)
    other, ours, ratio = comparison.other, comparison.ours, comparison.cpu_ratio
    is_aim = comparison.peer is PLAIN
    return (
        case.title,
        name,
        *map(micros, (other.cpu, other.wall, ours.cpu, ours.wall)),
        f"{times(ratio.middle)} ({times(ratio.low)} to {times(ratio.high)})",
        times(comparison.wall_ratio.middle),
        verdict(ratio.middle >= case.aim, f"at least {case.aim:g}") if is_aim else "",
    )


def _floor(results: Results) -> Section:
    return Section(
        "Ours against the floor",
        "The floor is the same generator and the encoder alone, without a socket. Microseconds of CPU for each\n"
        "value; the ratio says how many times the floor we need.",
        ("case", "", "floor CPU", "our CPU", "ratio (min to max)", "aim"),
        [_floor_row(floor) for floor in results.floors],
    )


def _floor_row(floor: Comparison) -> Sequence[str]:
    if floor.missing:
        return (floor.way.case.title, unavailable(floor.missing), *["-"] * 4)
    ratio = above_floor(floor)
    return (
        floor.way.case.title,
        "",
        micros(floor.other.cpu),
        micros(floor.ours.cpu),
        f"{times(ratio.middle)} ({times(ratio.low)} to {times(ratio.high)})",
        verdict(ratio.middle <= FLOOR_AIM, f"at most {FLOOR_AIM:g}"),
    )


def above_floor(floor: Comparison) -> Spread:
    """How many times the floor ours needs."""
    return Spread.of([ours.cpu / alone.cpu for ours, alone in floor.pairs])


def _growth(results: Results) -> Section:
    header = ("server", "values", "first look", "second look", "peak", "grown by", "socket buffers", "aim")
    return Section(
        "Memory while streaming",
        "KiB. Resident memory of the server at two moments of one endless stream of values of 100 bytes to a\n"
        "client that reads all the time, its peak, and what the kernel holds for the server's socket.",
        header,
        [row for findings in results.findings for row in _growth_rows(findings)],
    )


def _growth_rows(findings: Findings) -> Iterator[Sequence[str]]:
    growth = findings.growth
    if growth is None:
        yield (findings.peer.name, unavailable(findings.missing), *["-"] * 6)
        return
    values = f"{growth.effort.first:,} and {growth.effort.second:,}"
    numbers = (growth.after_first, growth.after_second, growth.peak, growth.grown, growth.kernel)
    aim = verdict(is_steady(growth), "does not grow") if findings.peer is OURS else ""
    yield (findings.peer.name, values, *map(kib, numbers), aim)


def _stalls(results: Results) -> Section:
    header = ("server", "connections", "idle", "stalled: process", "stalled: kernel", "their sum")
    return Section(
        "Memory for clients that stop reading",
        "KiB for each connection. An idle connection's share of the process, then what a stalled one needs on\n"
        "top of it: in the process and in the kernel's buffers of the server's socket. The buffers at the client\n"
        "are told apart, for it is the client's machine that pays for them.",
        (*header, "client's kernel", "aim"),
        [row for findings in results.findings for row in _stall_rows(findings)],
    )


def _stall_rows(findings: Findings) -> Iterator[Sequence[str]]:
    if (stall := findings.stall) is None:
        return
    numbers = (stall.idle, stall.process, stall.kernel, stall.total, stall.client)
    aim = verdict(is_light(stall), f"under {STALL_AIM_KIB:g}") if findings.peer is OURS else ""
    yield (findings.peer.name, str(stall.connections), *map(kib, numbers), aim)


def _method(effort: Effort) -> Iterator[str]:
    yield (
        f"- Every ratio comes from {effort.rounds} pairs in one run: ours, the other, ours, the other. A sample "
        f"lasts at least {effort.seconds:g} s: whole runs of 10,000 values, after one that does not count."
    )
    yield _METHOD
    yield from (f"- {peer.name}: {peer.note}." for peer in PEERS if peer.note)


def _remarks(results: Results) -> Iterator[str]:
    """What a reader should know before believing the tables; the misses first."""
    yield from (f"- {miss}" for miss in _misses(results))
    yield from (f"- {peer.name} was not available: {reason}." for peer, reason in _absent(results).items())
    yield _CAVEATS


def _absent(results: Results) -> dict[Peer, str]:
    """Who could not be measured and why, with what it needs."""
    measured: list[Comparison | Findings] = [*results.comparisons, *results.floors, *results.findings]
    return {
        each.peer: f"{each.missing}; it needs {each.peer.needs}" if each.peer.needs else each.missing
        for each in measured
        if each.missing
    }


def _misses(results: Results) -> Iterator[str]:
    for case in CASES:
        for comparison in results.of(case):
            ratio = comparison.cpu_ratio.middle if comparison.pairs else math.inf
            if comparison.peer is PLAIN and ratio < case.aim:
                yield f"Missed: {case.title} against {comparison.way.how}: {times(ratio)}, aim {case.aim:g}x."
            elif ratio < 1 and not comparison.peer.is_ours:
                yield f"{comparison.peer.name} needs less CPU than we do for {case.title}."
    for floor in results.floors:
        if floor.pairs and (above := above_floor(floor).middle) > FLOOR_AIM:
            yield f"Missed: {floor.way.case.title} at {times(above)} the floor, aim {FLOOR_AIM:g}x."
    for findings in results.findings:
        if findings.peer is OURS and findings.stall and not is_light(findings.stall):
            yield f"Missed: a stalled client costs {kib(findings.stall.total)} KiB, aim {STALL_AIM_KIB:g} KiB."


def unavailable(reason: str) -> str:
    """Short, for a table; the remarks at the end of the page have the whole reason."""
    return f"not available: {textwrap.shorten(reason, 60, placeholder=' ...')}"


def is_steady(growth: Growth) -> bool:
    return growth.grown < GROWTH_AIM_KIB * _KIB


def is_light(stall: Stall) -> bool:
    return stall.total < STALL_AIM_KIB * _KIB


def verdict(is_met: bool, aim: str) -> str:
    return f"{aim}: {'met' if is_met else 'missed'}"


def micros(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value: float) -> str:
    return f"{value:.2f}x" if value < 3 else f"{value:.1f}x"


def kib(value: float) -> str:
    return f"{value / _KIB:,.0f}"
