"""From results to text: the tables of `feeds` as they are printed, and the page that is kept."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.feeds import rows
from benchmarks.feeds.fanout import Comparison
from benchmarks.feeds.fanout import Effort as FanoutEffort
from benchmarks.feeds.roster import FLOOR, PEERS
from benchmarks.feeds.table import Effort, Results
from benchmarks.report import Section

_METHOD = """\
- Each server is a process of its own on 127.0.0.1 with the asyncio loop; all its clients are one other process.
  While a pair is measured, only the two of that pair are up, each with all its connections.
- The publisher runs inside the server, at the same pace everywhere: each millisecond, or each 10 ms at 100 per
  second, it publishes what is due by then, one value after the other. It stops at the end of its time, whatever it
  has reached by then. Saturated means: less than 95 % of the rate were published, values are missing, or the last
  one came more than 250 ms after the end.
- CPU time is read from the POSIX clock of the process and of each of its children, in nanoseconds, from before the
  first value until the last byte has come: the publisher's work, and what the server still had to write, included.
- Latency goes from publishing to receiving: the time is in the value, the clock is the machine's (`CLOCK_MONOTONIC`).
  It is taken from every value of 20 connections, spread over all; their numbers show whether one is missing.
- Of all other connections the bytes are counted, with `MSG_TRUNC`, by which the kernel does not copy what it throws
  away; of Centrifugo's, whose bytes vary, the values.
- The servers' own pings are off where bytes are counted, and on (and answered) for idle connections.
- The floor joins what is due every 20 ms and calls `send()` once for each socket, without an event loop.
- Kernel memory is what `ss -tm` reports: waiting to be read, waiting to be sent, and set aside."""

_CAVEATS = """\
- Server and clients share one machine of few cores, and the clients need CPU, too: the column says how much. With
  another machine at the other end, latencies would be lower and the highest rate higher.
- On the loopback interface the kernel delivers a packet in the sender's time: each server's CPU includes
  work that a remote client's kernel would do.
- What makes ours cheap is that values gather while others are written; it costs the latency that is shown, and at
  a rate at which nothing gathers there is little to gain."""


def sections(results: Results) -> list[Section]:
    """Everything that was measured, in the order in which it is read."""
    found = (
        _fanout(results),
        _ours(results),
        _floor(results),
        _highest(results),
        _many(results),
        _burst(results),
        _conflation(results),
        _slow(results),
        _neighbours(results),
        _idle(results),
        _flat(results),
    )
    return [section for section in found if section.rows]


def page(results: Results, machine: Sequence[tuple[str, str]], effort: Effort) -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# Feeds: what many watch at once",
            "",
            "Written by `make bench`. What counts are the ratios of one run; the microseconds belong to one machine.",
            "",
            "![CPU time of the server for each delivery](feeds.svg)",
            "",
            *(section.render() for section in sections(results)),
            "## Measured on",
            "",
            *(f"- {name}: {value}" for name, value in machine),
            "",
            "## How it was measured",
            "",
            pairs(effort.fanout),
            _METHOD,
            *(f"- {peer.name}: {peer.note}." for peer in PEERS if peer.note),
            "",
            "## What is weaker",
            "",
            *_remarks(results),
            "",
        ]
    )


def pairs(effort: FanoutEffort) -> str:
    """How often, and for how long."""
    return (
        f"- Every ratio comes from {effort.pairs} pairs in one run: ours, the other, ours, the other, "
        f"{effort.seconds:.1f} s each."
    )


def _fanout(results: Results) -> Section:
    header = ("per second", "the other", "its CPU", "our CPU", "CPU ratio (min to max)", "its deliveries/s")
    return Section(
        "Fan-out: ours against the others",
        "Values of 100 bytes to all clients, none left out. CPU of the server for each delivery in microseconds; the\n"
        "ratio says how many times less we need: the median of the pairs, and both ends. What the other has reached,\n"
        "its latency in milliseconds from publishing to receiving, and the CPU of its server and of its clients in\n"
        "percent of a core.",
        (*header, "its median", "its p99", "its share", "its clients", "aim"),
        [rows.against(each) for each in _by_rate(results) if each.peer is not FLOOR],
    )


def _ours(results: Results) -> Section:
    header = ("per second", "clients", "published/s", "deliveries/s", "CPU", "median", "p99", "share", "clients' share")
    return Section(
        "Fan-out: ours",
        "The same runs from our side: medians over all runs of a rate. CPU in microseconds for each delivery, latency\n"
        "in milliseconds, shares in percent of a core.",
        (*header, "aim"),
        rows.ours(results.comparisons),
    )


def _floor(results: Results) -> Section:
    return Section(
        "Fan-out: ours against the floor",
        "The floor is the same bytes by bare `send()` calls. Microseconds of CPU for each delivery; the ratio says\n"
        "how many times the floor we need.",
        ("per second", "", "floor CPU", "our CPU", "ratio (min to max)"),
        [rows.floor(each) for each in _by_rate(results) if each.peer is FLOOR],
    )


def _highest(results: Results) -> Section:
    highest = results.highest
    return Section(
        "The highest rate that one core sustains",
        "The rate is raised until not every client gets every value, or the last one more than 250 ms after it was\n"
        "published, twice. Shares in percent of a core, latency in milliseconds. The last row is what was too much,\n"
        "if anything was.",
        ("per second", "", "deliveries/s", "CPU", "share", "clients' share", "median", "p99", "aim"),
        rows.highest(highest) if highest else [],
    )


def _many(results: Results) -> Section:
    small = results.small
    return Section(
        "Many small feeds",
        "As many feeds as watchers, each with one value per second. CPU in microseconds for each value, its making\n"
        "included; shares in percent of a core, latency in milliseconds.",
        ("feeds", "", "values/s", "CPU", "share", "clients' share", "median", "p99"),
        [rows.small(small)] if small else [],
    )


def _burst(results: Results) -> Section:
    burst = results.burst
    return Section(
        "Many topics at once",
        "All topics have news in one turn of the loop. Milliseconds: that turn, which publishes and nothing else; the\n"
        "longest gap of a 1 ms ticker from then on, while the news is delivered; latency. Medians of the bursts.",
        ("topics", "clients", "bursts", "the turn", "longest gap (min to max)", "latency p99", "aim"),
        [rows.burst(burst)] if burst else [],
    )


def _conflation(results: Results) -> Section:
    found = results.conflation
    return Section(
        "Conflation",
        'One feed with `keep="latest"` and `max_rate=60`. Shares in percent of a core; the last column says how many\n'
        "watchers ended with the newest value.",
        ("changes/s", "watchers", "reached", "values/s each", "share", "clients' share", "aim", "with the newest"),
        [rows.conflation(found)] if found else [],
    )


def _slow(results: Results) -> Section:
    slow = results.slow
    return Section(
        "Memory for clients that stop reading",
        "KiB for each, everything that it takes: its share of the process (before it stalled: idle), the kernel's\n"
        "buffers at our end and at the client's. Then seconds from vanishing until our statistics show them gone,\n"
        "with bytes unsent, by RST and by FIN.",
        ("stalled", "idle", "process", "our kernel", "ours", "client's kernel", "all", "aims", "RST", "FIN", "aim"),
        [rows.slow(slow)] if slow else [],
    )


def _neighbours(results: Results) -> Section:
    slow = results.slow
    return Section(
        "Those beside clients that stop reading",
        "Latency of the healthy in milliseconds, the median of the parts of each run and both ends. Within noise\n"
        "means: in the middle not above the highest p99 without them.",
        ("healthy", "beside", "seconds", "median", "p99 (min to max)", "aim"),
        rows.neighbours(slow) if slow else [],
    )


def _made_of(parts: Mapping[str, float]) -> str:
    if not parts:
        return ""
    largest = sorted(parts.items(), key=lambda part: -part[1])
    told = ", ".join(f"{owner} {size / 1024:.1f}" for owner, size in largest if size >= 100)
    return (
        f"What one of ours is made of: {sum(parts.values()) / 1024:.1f} KiB of objects, by the package whose line has\n"
        f"made them: {told}. What the process takes more is the allocator's slack."
    )


def _idle(results: Results) -> Section:
    made_of = _made_of(results.idle_parts)
    return Section(
        "Idle connections",
        "By a browser's handshake, which offers compression. KiB for each in the process and in the kernel's buffers,\n"
        "connections opened per second and CPU for each in microseconds, and CPU of the server at rest in percent of\n"
        "a core, the server's pings included." + (f"\n\n{made_of}" if made_of else ""),
        ("server", "connections", "process", "kernel", "opened/s", "CPU", "at rest", "lost", "aim"),
        [rows.idle(each) for each in results.idle],
    )


def _flat(results: Results) -> Section:
    return Section(
        "Memory over a long run",
        "KiB of resident memory of the server after a tenth of the values and after all of them, with one watcher.",
        ("what", "values", "after a tenth", "after all", "grown by", "lost", "aim"),
        [rows.flat(each) for each in results.flat],
    )


def _by_rate(results: Results) -> list[Comparison]:
    return sorted(results.comparisons, key=lambda comparison: comparison.rate)


def _remarks(results: Results) -> Iterator[str]:
    """What a reader should know before believing the tables; the misses first."""
    yield from (f"- Missed: {miss}." for miss in misses(sections(results)))
    yield from (f"- {name}." for name in _cheaper(results))
    for peer, reason in {each.peer: each.missing for each in results.comparisons if each.missing}.items():
        needs = f"; it needs {peer.needs}" if peer.needs else ""
        yield f"- {peer.name} was not available: {reason}{needs}."
    yield from (f"- {name} could not be measured: {reason}." for name, reason in results.missing.items())
    yield _CAVEATS


def misses(told: Sequence[Section]) -> Iterator[str]:
    """Every verdict in the tables that says so."""
    for section in told:
        for row in section.rows:
            yield from (
                f"{section.title}, {_named(row)}: {part.removesuffix(': missed')}"
                for cell in row
                for part in cell.split("; ")
                if part.endswith(": missed")
            )


def _named(row: Sequence[str]) -> str:
    """What a row is about: its first column, and the second one where that has words."""
    return f"{row[0]} ({row[1]})" if any(map(str.isalpha, row[1])) else row[0]


def _cheaper(results: Results) -> Iterator[str]:
    for each in results.comparisons:
        if each.pairs and each.peer is not FLOOR and (ratio := each.ratio.middle) < 1:
            yield f"{each.peer.name} needs less CPU than we do at {each.rate:,} per second ({ratio:.2f}x)"
