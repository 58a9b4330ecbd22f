"""The one report: from what was measured to Markdown tables, and to the page that is kept."""

import textwrap
from collections.abc import Iterator, Sequence

from benchmarks.framework import Benchmark, Found, Metric, Pairing, Results, Side, Spread, Suite

_METHOD = """\
- Every ratio comes from pairs of one run: the first side, the other, the first, the other. While a pair is measured,
  only the two servers of that pair run.
- Each server is a process of its own on 127.0.0.1. CPU time is read from the POSIX clock of the process and of each of
  its children: in nanoseconds, exact at the moment of reading, threads that have ended included.
- Kernel memory is what `ss -tm` reports: waiting to be read, waiting to be sent, and set aside."""

_CAVEATS = """\
- Server and clients share one machine of few cores, and the clients need CPU, too.
- On the loopback interface the network costs nothing, and the kernel delivers a packet in the sender's time: each
  server's CPU includes work that the kernel of a remote client would do."""


def tables(results: Results) -> str:
    """Return all tables, in the order in which they are read."""
    return "\n".join(_section(benchmark, found) for benchmark, found in results)


def page(suite: Suite, results: Results, machine: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            f"# {suite.title}",
            "",
            "Written by `make bench`. Compare the ratios of one run; the absolute figures belong to one machine.",
            "",
            f"![{suite.plot_title}]({suite.name}.svg)",
            "",
            tables(results),
            "## Machine",
            "",
            *(f"- {name}: {value}" for name, value in machine),
            "",
            "## Method",
            "",
            _METHOD,
            suite.method,
            *(f"- {note}." for note in notes),
            "",
            "## Limits of these figures",
            "",
            *(f"- {remark}" for remark in _remarks(results)),
            suite.caveats,
            _CAVEATS,
            "",
        ]
    )


def _section(benchmark: Benchmark, found: Sequence[Found]) -> str:
    header, rows, words = (_tall if benchmark.is_tall else _wide)(benchmark, found)
    return f"## {benchmark.title}\n\n{textwrap.fill(benchmark.explanation, 116)}\n\n{_table(header, rows, words)}\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """Return a table that is also readable as plain text: the first columns are words, the others numbers."""
    used = [at for at, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    columns = [[header[at], *(row[at] for row in rows)] for at in used]
    widths = [max(map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if at < words else cell.rjust(width)
            for at, cell, width in zip(used, cells, widths, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if at < words else "-" * (width - 1) + ":" for at, width in zip(used, widths, strict=True)]
    return "\n".join(map(line, [[column[0] for column in columns], rule, *zip(*(c[1:] for c in columns), strict=True)]))


def _wide(benchmark: Benchmark, found: Sequence[Found]) -> tuple[list[str], list[list[str]], int]:
    """A row for each side, and a column for each metric and each ratio."""
    ratios = [metric for metric in benchmark.metrics if metric.has_ratio]
    header = ["Case", "Side", *(metric.heading for metric in benchmark.metrics)]
    header += [f"{_short(metric)}, ratio to the first side (min to max)" for metric in ratios]
    rows = []
    for each in found:
        for side in each.case.sides:
            pairing = each.pairing(side)
            missing = pairing.missing if pairing else each.missing
            name = f"{side.name}: not available: {_shortened(missing)}" if missing else side.name
            figures = [_value(each.value(metric, side), metric) for metric in benchmark.metrics]
            rows.append([each.case.label, name, *figures, *(_ratio(pairing, metric) for metric in ratios)])
            rows[-1].append(_verdicts(each, benchmark.metrics, side))
    return [*header, "Target"], rows, 2


def _tall(benchmark: Benchmark, found: Sequence[Found]) -> tuple[list[str], list[list[str]], int]:
    """A row for each metric of each case, and a column for each side."""
    names = {tuple(side.name for side in each.case.sides) for each in found}
    sides = names.pop() if len(names) == 1 else ("First side", "Second side")
    has_ratio = len(sides) == 2
    rows = []
    for each in found:
        # Cases with sides of their own name them.
        label = f"{each.case.label}, {each.case.sides[0].name}" if names else each.case.label
        if each.missing:
            missing = f"not available: {_shortened(each.missing)}"
            rows.append([label, missing, *[""] * (len(sides) + has_ratio + 1)])
            continue
        for metric in benchmark.metrics:
            figures = [_value(each.value(metric, side), metric) for side in each.case.sides]
            ratio = [_ratio(each.pairing(each.case.sides[1]), metric)] if has_ratio else []
            rows.append([label, metric.heading, *figures, *ratio, _verdicts(each, (metric,), None)])
    ratio_heading = [f"Ratio to {sides[0]} (min to max)"] if has_ratio else []
    return ["Case", "Figure", *sides, *ratio_heading, "Target"], rows, 2


def _value(spread: Spread | None, metric: Metric) -> str:
    return metric.show(spread.middle) if spread else "-"


def _ratio(pairing: Pairing | None, metric: Metric) -> str:
    if pairing is None or (ratio := pairing.ratio(metric.key)) is None:
        return ""
    return f"{_times(ratio.middle)} ({_times(ratio.low)} to {_times(ratio.high)})"


def _verdicts(found: Found, metrics: Sequence[Metric], side: Side | None) -> str:
    """Return the targets of some metrics; of one side's row, if that is not None."""
    first = found.case.sides[0]
    return "; ".join(
        f"{target.text}: {'met' if is_met else 'missed'}"
        for target, is_met in found.judged(metrics)
        if side is None or (target.versus or first.name) == side.name
    )


def _remarks(results: Results) -> Iterator[str]:
    """Yield what a reader should know before believing the tables; missed targets first."""
    for benchmark, found in results:
        for each in found:
            for target, is_met in each.judged(benchmark.metrics):
                if not is_met:
                    versus = f", {target.versus}" if target.versus else ""
                    yield f"Missed: {benchmark.title}{_of(each)}{versus}: {target.text}."
            for pairing in each.pairings:
                ratio = pairing.ratio(benchmark.metrics[0].key) if pairing.side.kind == "peer" else None
                if benchmark.metrics[0].has_ratio and ratio and ratio.middle < 1:
                    cheaper = f"{pairing.side.name} needs less than {each.case.sides[0].name}{_of(each)}"
                    yield f"{cheaper}: {_times(ratio.middle)}."
    yield from dict.fromkeys(_absent(results))


def _absent(results: Results) -> Iterator[str]:
    for benchmark, found in results:
        for each in found:
            if each.missing:
                yield f"{benchmark.title}{_of(each)} could not be measured: {each.missing}."
            for pairing in each.pairings:
                needs = f"; it needs {pairing.side.needs}" if pairing.side.needs else ""
                if pairing.missing:
                    yield f"{pairing.side.name} was not available: {pairing.missing}{needs}."


def _of(found: Found) -> str:
    return f", {found.case.label}" if found.case.label else ""


def _short(metric: Metric) -> str:
    return metric.heading.partition(" (")[0]


def _shortened(reason: str) -> str:
    return textwrap.shorten(reason, 60, placeholder=" ...")


def _times(value: float) -> str:
    return f"{value:.2f}x" if value < 3 else f"{value:.1f}x" if value < 100 else f"{value:,.0f}x"
