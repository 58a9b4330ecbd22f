"""From results to text: the tables of `protocol` as they are printed, and the page that is kept."""

from collections.abc import Iterator, Sequence

from benchmarks.feeds.report import misses, pairs
from benchmarks.protocol import rows
from benchmarks.protocol.roster import CENTRIFUGO
from benchmarks.protocol.table import Effort, Results
from benchmarks.report import Section

_METHOD = """\
- Each server is one process of its own on 127.0.0.1 with the asyncio loop; all its clients are one other process.
  While a pair is measured, only the two of that pair are up, each with all its connections.
- Fan-out is measured as in the table of feeds: the same app, topic (`keep=1000`), values, pace and clocks. What one
  value takes varies in the protocol, so that all clients count values and not bytes, the raw ones, too. Lossless means:
  each connection got as many values as were published, and the last one last; of 20 connections each was looked at.
- The protocol's own pings are off in fan-out and turns, and on (and answered) everywhere else.
- Subscriptions are sent by all connections at once, in one frame each, to channels that nobody else has; the app has
  200 other routes in front, and the topic two dependencies, one in the other, both `async`. The time ends with the last
  reply. A first round on the same server is left out.
- In a storm each client has one subscription to the same topic (`keep=1000`). All sockets are reset, and all connect
  again at once, without the pause that SDKs make. Each sends connect and subscribe in one frame, with the position of
  the last value that it has got. It has recovered when it has the reply that says so. None lost anything means:
  those are where the publisher is in the end, by their own count of values and by the offset of the last one.
- Memory is the difference of the resident memory of a fresh server, by the handshake of a browser. Clients subscribe to
  feeds that run already, a few at a time."""

_CAVEATS = """\
- Server and clients share one machine of few cores, and the clients need CPU, too: the column says how much.
- Ours gathers while others are written, so what costs more CPU for each frame shows in the latency first: the two
  belong together.
- The clients are simpler than SDKs. What an SDK needs for a frame is not measured here."""


def sections(results: Results) -> list[Section]:
    """Everything that was measured, in the order in which it is read."""
    found = (
        _fanout(results),
        _turns(results),
        _subscribing(results),
        _storm(results),
        _memory(results),
    )
    return [section for section in found if section.rows]


def page(results: Results, machine: Sequence[tuple[str, str]], effort: Effort) -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# Protocol: many feeds on one connection",
            "",
            "Written by `make bench`. What counts are the ratios of one run; the microseconds belong to one machine.",
            "",
            "![CPU time of the server for each delivery](protocol.svg)",
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
            f"- {CENTRIFUGO.name}: {CENTRIFUGO.note}.",
            "",
            "## What is weaker",
            "",
            *_remarks(results),
            "",
        ]
    )


def _fanout(results: Results) -> Section:
    header = ("per second", "ours; the other", "our CPU", "its CPU", "CPU ratio (min to max)", "our median", "our p99")
    return Section(
        "Fan-out through the protocol",
        "Values of 100 bytes to all clients. CPU of the server for each delivery in microseconds. The ratio says how\n"
        "many times the CPU of our raw surface the protocol needs, and how many times less than Centrifugo: the\n"
        "median of the pairs, and both ends. Latency in milliseconds, shares of a core in percent.",
        (*header, "its median", "its p99", "our share", "our clients", "aim", "complete"),
        [rows.against(each) for each in sorted(results.fanout, key=lambda each: each.comparison.rate)],
    )


def _turns(results: Results) -> Section:
    return Section(
        "Many feeds on one connection",
        "All topics have news in one turn of the loop, 20 ms apart. Frames that one connection gets for each turn, or\n"
        "all of them where each has one topic; CPU in microseconds for each publication and each delivery, latency\n"
        "in milliseconds.",
        ("topics", "how", "connections", "frames", "CPU/publication", "CPU/delivery", "median", "p99", "aim"),
        [rows.turns(each) for each in results.turns],
    )


def _subscribing(results: Results) -> Section:
    found = results.subscribing
    return Section(
        "Subscribing",
        "To channels behind two dependencies, in an app of 200 more routes. Subscriptions per second of one server\n"
        "process, the median of the rounds and both ends; CPU in microseconds for each, the clients' share of a core.",
        ("subscriptions", "by", "rounds", "per second (min to max)", "CPU", "clients' share", "aim"),
        [rows.subscribing(found)] if found else [],
    )


def _storm(results: Results) -> Section:
    header = ("clients", "publications/s", "the last", "half", "recovered", "CPU", "CPU each", "clients' share")
    return Section(
        "A storm",
        "All clients are cut off at once and come back to their positions at once, while publications go on. Seconds\n"
        "until the last one is back and until half of them are; CPU of the server in seconds and, for each client, in\n"
        "microseconds, deliveries meanwhile included; connections that failed and were tried again.",
        (*header, "failed", "aim"),
        [rows.storm(each) for each in results.storms],
    )


def _memory(results: Results) -> Section:
    found = results.memory
    return Section(
        "Memory",
        "By a browser's handshake. KiB for each connection in the process and in the kernel's buffers, bytes for each\n"
        "subscription beyond the first row's, and CPU of opening and subscribing in microseconds for each connection.",
        ("subscriptions", "", "connections", "process", "kernel", "each further", "CPU", "aim"),
        rows.memory(found) if found else [],
    )


def _remarks(results: Results) -> Iterator[str]:
    """What a reader should know before believing the tables; the misses first."""
    yield from (f"- Missed: {miss}." for miss in misses(sections(results)))
    missing = {each.comparison.peer: each.comparison.missing for each in results.fanout if each.comparison.missing}
    for peer, reason in missing.items():
        needs = f"; it needs {peer.needs}" if peer.needs else ""
        yield f"- {peer.name} was not available: {reason}{needs}."
    yield from (f"- {name} could not be measured: {reason}." for name, reason in results.missing.items())
    yield _CAVEATS
