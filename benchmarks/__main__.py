"""The command line: `python -m benchmarks [TABLE] [--quick] [--only WORD ...]`."""

import argparse
import platform
import signal
import sys
from pathlib import Path

from benchmarks import machine, plot, report, streams
from benchmarks.processes import ROOT, UnavailableError

RESULTS = ROOT / "benchmarks/results"
TABLES = ("streams",)


def main() -> None:
    options = _parse()
    if platform.system() != "Linux":
        sys.exit("The benchmarks read CPU time and memory in ways that only Linux has.")
    # Whatever ends this program also ends the servers: their context managers are left on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        _streams(options)
    except UnavailableError as error:
        sys.exit(f"Nothing can be measured: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours against the others, in one run.")
    parser.add_argument("table", nargs="?", choices=TABLES, default="streams", help="what to measure")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under a minute")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        default=[],
        help="only rows with one of these in the name of their case or peer; also 'floor' and 'memory'",
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
    output = options.output or (None if options.quick or options.only else RESULTS)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / "streams.md").write_text(report.page(results, where, effort))
        (output / "streams.svg").write_text(plot.draw(results))


if __name__ == "__main__":
    main()
