"""The command line: `python -m benchmarks [TABLE] [--quick] [--only WORD ...]`."""

import argparse
import platform
import signal
import sys
from pathlib import Path

from benchmarks import machine, plot, report, streams
from benchmarks.browser import chromium
from benchmarks.browser import plot as browser_plot
from benchmarks.browser import report as browser_report
from benchmarks.browser import table as browser
from benchmarks.feeds import plot as feeds_plot
from benchmarks.feeds import report as feeds_report
from benchmarks.feeds import table as feeds
from benchmarks.processes import ROOT, UnavailableError
from benchmarks.protocol import plot as protocol_plot
from benchmarks.protocol import report as protocol_report
from benchmarks.protocol import table as protocol

RESULTS = ROOT / "benchmarks/results"
TABLES = ("streams", "feeds", "protocol", "browser")


def main() -> None:
    options = _parse()
    if platform.system() != "Linux":
        sys.exit("The benchmarks read CPU time and memory in ways that only Linux has.")
    # Whatever ends this program also ends the servers: their context managers are left on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        for table, run in zip(TABLES, (_streams, _feeds, _protocol, _browser), strict=True):
            if options.table in (None, table):
                run(options)
    except UnavailableError as error:
        sys.exit(f"Nothing can be measured: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours against the others, in one run.")
    parser.add_argument("table", nargs="?", choices=TABLES, help="what to measure; all if left out")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under 90 seconds")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        default=[],
        help="only rows with one of these in the name of their case or peer; also 'floor' and 'memory', and of feeds "
        "'fan-out', 'highest', 'small', 'burst', 'conflation', 'slow' and 'idle', and of protocol 'fan-out', 'turns', "
        "'subscribing', 'storm' and 'memory', and of browser 'values', 'minute' and 'blocked'",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write the page and the plot; the default is benchmarks/results, for full runs only",
    )
    return parser.parse_args()


def _streams(options: argparse.Namespace) -> None:
    effort = streams.QUICK if options.quick else streams.FULL
    where = machine.describe()
    results = streams.measure(effort, streams.Selection(tuple(options.only)))
    print("\n".join(section.render() for section in report.sections(results)))
    _keep(options, "streams", report.page(results, where, effort), plot.draw(results))


def _feeds(options: argparse.Namespace) -> None:
    effort = feeds.QUICK if options.quick else feeds.FULL
    where = machine.describe()
    results = feeds.measure(effort, streams.Selection(tuple(options.only)))
    print("\n".join(section.render() for section in feeds_report.sections(results)))
    _keep(options, "feeds", feeds_report.page(results, where, effort), feeds_plot.draw(results))


def _protocol(options: argparse.Namespace) -> None:
    effort = protocol.QUICK if options.quick else protocol.FULL
    where = machine.describe()
    results = protocol.measure(effort, streams.Selection(tuple(options.only)))
    print("\n".join(section.render() for section in protocol_report.sections(results)))
    _keep(options, "protocol", protocol_report.page(results, where, effort), protocol_plot.draw(results))


def _browser(options: argparse.Namespace) -> None:
    effort = browser.QUICK if options.quick else browser.FULL
    where = [*machine.describe(), chromium.describe()]
    results = browser.measure(effort, streams.Selection(tuple(options.only)))
    print("\n".join(section.render() for section in browser_report.sections(results)))
    _keep(options, "browser", browser_report.page(results, where, effort), browser_plot.draw(results))


def _keep(options: argparse.Namespace, table: str, page: str, drawing: str) -> None:
    """Writes what full runs have found, and any run that says where to."""
    output = options.output or (None if options.quick or options.only else RESULTS)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{table}.md").write_text(page)
        (output / f"{table}.svg").write_text(drawing)


if __name__ == "__main__":
    main()
