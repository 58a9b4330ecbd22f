"""Totals: the figures of all processes, added up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from ..definitions import WatchStatistics
from ..isolation import isolated
from .sessions import Statistics

F = TypeVar("F", Statistics, WatchStatistics)


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


class _Figures(NamedTuple):
    """The figures of one process."""

    connections: Statistics
    watching: dict[str, WatchStatistics]


_FIGURES = TypeAdapter(_Figures)


def figures_json(connections: Statistics, watching: Mapping[str, WatchStatistics]) -> bytes:
    """Return the figures of one process, as they travel."""
    figures = _Figures(
        connections, {path: each._replace(producers=dict(each.producers)) for path, each in watching.items()}
    )
    return _FIGURES.dump_json(figures)


def figures_together(processes: int, travelled: Sequence[bytes]) -> ClusterStatistics:
    """Return the sums of the figures of some processes; those that are malformed are logged and left out."""
    figures: list[_Figures] = []
    for each in travelled:
        with isolated("A process has sent figures that are malformed."):
            figures.append(_FIGURES.validate_json(each))
    paths = dict.fromkeys(path for each in figures for path in each.watching)
    watching = {path: _sum([each.watching[path] for each in figures if path in each.watching]) for path in paths}
    return ClusterStatistics(processes, len(figures), _sum([each.connections for each in figures]), watching)


def _sum(figures: list[F]) -> F:
    return type(figures[0])(*map(_total, zip(*figures, strict=True)))


def _total(figures: Sequence[Any]) -> Any:
    """Return the sum of numbers, or of mappings to numbers."""
    if not isinstance(figures[0], Mapping):
        return sum(figures)
    total: Counter[str] = Counter()
    for each in figures:
        total.update(each)
    return dict(total)
