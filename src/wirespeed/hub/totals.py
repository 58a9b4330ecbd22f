"""Totals: the figures of all processes, added up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from ..definitions import Histogram, LoopLag, RunStatistics, WatchStatistics
from ..isolation import isolated
from .processes import MOST_BYTES
from .sessions import Statistics

F = TypeVar("F", Statistics, WatchStatistics, RunStatistics)


class ClusterStatistics(NamedTuple):
    """The figures of all processes of an app together, as ``live.all_statistics()`` returns them."""

    processes: int
    """Number of processes that are alive, this one included."""
    answered: int
    """Number of processes whose figures are part of the sums, this one included."""
    connections: Statistics
    """Figures of the connections."""
    watching: Mapping[str, WatchStatistics]
    """Figures of each feed and topic, by path."""
    running: Mapping[str, RunStatistics]
    """Figures of each stream and call, by path."""


class _Figures(NamedTuple):
    """The figures of one process."""

    connections: Statistics
    watching: dict[str, WatchStatistics]
    running: dict[str, RunStatistics] = {}  # noqa: RUF012 - a process of an earlier version sends none


_FIGURES = TypeAdapter(_Figures)


def figures_json(
    connections: Statistics, watching: Mapping[str, WatchStatistics], running: Mapping[str, RunStatistics]
) -> bytes:
    """Return the figures of one process, as they travel; without histograms, if they would be too large."""
    watched = {path: each._replace(producers=dict(each.producers)) for path, each in watching.items()}
    travelling = _FIGURES.dump_json(_Figures(connections, watched, dict(running)))
    if len(travelling) <= MOST_BYTES:
        return travelling
    none = Histogram((), (), 0.0)
    watched = {path: each._replace(latency=none, painted=none) for path, each in watched.items()}
    runs = {path: each._replace(durations=none) for path, each in running.items()}
    return _FIGURES.dump_json(_Figures(connections, watched, runs))


def figures_together(processes: int, travelled: Sequence[bytes]) -> ClusterStatistics:
    """Return the sums of the figures of some processes; those that are malformed are logged and left out."""
    figures: list[_Figures] = []
    for each in travelled:
        with isolated("A process has sent figures that are malformed."):
            figures.append(_FIGURES.validate_json(each))
    connections = _sum([each.connections for each in figures])
    watching = _sums([each.watching for each in figures])
    return ClusterStatistics(processes, len(figures), connections, watching, _sums([each.running for each in figures]))


def _sums(figures: Sequence[Mapping[str, F]]) -> Mapping[str, F]:
    paths = dict.fromkeys(path for each in figures for path in each)
    return {path: _sum([each[path] for each in figures if path in each]) for path in paths}


def _sum(figures: list[F]) -> F:
    return type(figures[0])(*map(_total, zip(*figures, strict=True)))


def _total(figures: Sequence[Any]) -> Any:
    """Return the sum of numbers, of mappings to numbers, or of histograms; of lags, the mean and the worst."""
    if isinstance(figures[0], Histogram):
        return _histogram(figures)
    if isinstance(figures[0], LoopLag):
        return LoopLag(sum(each.mean for each in figures) / len(figures), max(each.worst for each in figures))
    if not isinstance(figures[0], Mapping):
        return sum(figures)
    total: Counter[str] = Counter()
    for each in figures:
        total.update(each)
    return dict(total)


def _histogram(figures: Sequence[Histogram]) -> Histogram:
    """Return the sum of histograms; those with other bounds, of processes of another version, are left out."""
    bounds = figures[0].bounds
    same = [each for each in figures if each.bounds == bounds and len(each.counts) == len(bounds) + 1]
    counts = tuple(map(sum, zip(*(each.counts for each in same), strict=True)))
    return Histogram(bounds, counts, sum(each.total for each in same))
