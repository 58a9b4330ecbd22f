"""The command line: `python -m benchmarks [SUITE] [--quick] [--only WORD ...] [--against FOLDER]`."""

import argparse
import platform
import signal
import sys
from pathlib import Path

from benchmarks import (
    browser,
    cluster,
    console,
    documents,
    feeds,
    machine,
    metrics,
    plot,
    protocol,
    report,
    roster,
    streams,
)
from benchmarks.framework import Selection, Suite, run
from benchmarks.processes import ROOT, allow_files

RESULTS = ROOT / "benchmarks/results"
SUITES = {
    "streams": streams.suite,
    "feeds": feeds.suite,
    "protocol": protocol.suite,
    "cluster": cluster.suite,
    "browser": browser.suite,
    "console": console.suite,
    "documents": documents.suite,
    "metrics": metrics.suite,
}


def main() -> None:
    """Measure what the command line asks for."""
    options = _parse()
    if platform.system() != "Linux":
        sys.exit("The benchmarks read CPU time and memory in ways that only Linux has.")
    # A signal that ends this program also ends the servers: their context managers are left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    allow_files()
    try:
        for name in [options.suite] if options.suite else SUITES:
            _measure(SUITES[name](quick=options.quick), options)
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _parse() -> argparse.Namespace:
    names = ", ".join(each.name for suite in SUITES.values() for each in suite(quick=True).benchmarks)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Wirespeed against its peers, or against itself in another checkout.",
        epilog=f"The benchmarks: {names}.",
    )
    parser.add_argument("suite", nargs="?", choices=list(SUITES), help="the suite to measure; all if left out")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        default=[],
        help="only benchmarks, cases and sides with one of these words in their names",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="compare with the `src` of another checkout, in pairs, instead of with peers; a ratio above 1 means that "
        "the other checkout has the higher figure",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write the page and the plot; by default benchmarks/results, and only for full runs",
    )
    options = parser.parse_args()
    if options.against and not (options.against / "src" / "wirespeed").is_dir():
        parser.error(f"{options.against} is not a checkout of Wirespeed: it has no src/wirespeed")
    return options


def _measure(suite: Suite, options: argparse.Namespace) -> None:
    """Print the tables of a suite; write the page of a full run, or of any run that names a folder."""
    selection = Selection(tuple(options.only), options.against.resolve() if options.against else None)
    where = [*machine.describe(), *([machine.browser()] if suite.name == "browser" else [])]
    narrowed = [selection.narrow(benchmark) for benchmark in suite.benchmarks]
    results = [(benchmark, run(benchmark)) for benchmark in narrowed if benchmark.cases]
    print(report.tables(results))
    is_full = not (options.quick or options.only or options.against)
    if folder := options.output or (RESULTS if is_full else None):
        folder.mkdir(parents=True, exist_ok=True)
        notes = roster.notes({side.name for _, found in results for each in found for side in each.case.sides})
        (folder / f"{suite.name}.md").write_text(report.page(suite, results, where, notes))
        (folder / f"{suite.name}.svg").write_text(plot.draw(suite, results))


if __name__ == "__main__":
    main()
