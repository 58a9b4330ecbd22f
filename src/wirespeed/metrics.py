"""Prometheus metrics of an app's live data; needs ``pip install wirespeed[metrics]``.

    collect(live)  # and serve them as you always do: prometheus_client.make_asgi_app()

The figures are counted anyway; they are read when somebody asks, and cost nothing in between.
"""

from collections.abc import Iterable, Iterator, Mapping

from .definitions import WatchStatistics
from .live import Live

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError('wirespeed.metrics needs prometheus-client: pip install "wirespeed[metrics]"') from error

_CONNECTIONS = {
    "connections": (GaugeMetricFamily, "Connections that are open"),
    "accepted": (CounterMetricFamily, "Connections that were accepted"),
    "runs": (GaugeMetricFamily, "Runs of streams that go on"),
    "failed": (CounterMetricFamily, "Runs of streams that ended with an exception"),
    "messages": (CounterMetricFamily, "Messages written"),
    "bytes": (CounterMetricFamily, "Bytes written"),
}

_WATCHED = {
    "keys": (GaugeMetricFamily, "Keys that are live"),
    "watchers": (GaugeMetricFamily, "Watchers"),
    "published": (CounterMetricFamily, "Values that came"),
    "delivered": (CounterMetricFamily, "Values written, to each watcher for itself"),
    "skipped": (CounterMetricFamily, "Values that watchers were not sent, since a newer one stands for them"),
    "lost": (CounterMetricFamily, "Values that fell off a log before a watcher had read them"),
    "bytes": (CounterMetricFamily, "Bytes written to watchers"),
    "flushes": (CounterMetricFamily, "Writes to connections"),
    "flush_time": (CounterMetricFamily, "Seconds spent on writing"),
    "restarts": (CounterMetricFamily, "Times that a generator was started again"),
    "failed": (CounterMetricFamily, "Values that could not be encoded, and publications that failed"),
}


def collect(live: Live, registry: CollectorRegistry = REGISTRY) -> None:
    """Registers the metrics of an app.

    Args:
        live: The app's ``Live``.
        registry: Where they are registered; Prometheus' own by default.

    Raises:
        ValueError: They are registered there already.
    """
    registry.register(_LiveCollector(live))


class _LiveCollector(Collector):
    def __init__(self, live: Live) -> None:
        self._live = live

    def describe(self) -> Iterable[Metric]:
        """What there will be; so that nobody registers it twice."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        yield from self._connections()
        yield from _watched(self._live.watching())

    def _connections(self) -> Iterator[Metric]:
        statistics = self._live.statistics()
        for field, (kind, text) in _CONNECTIONS.items():
            yield kind(f"wirespeed_{field}", text, value=getattr(statistics, field))
        lanes = GaugeMetricFamily("wirespeed_lanes", "Connections by their lane", labels=["lane"])
        for lane, count in statistics.lanes.items():
            lanes.add_metric([lane], count)
        refused = CounterMetricFamily("wirespeed_refused", "What clients were refused", labels=["reason"])
        for reason, count in statistics.refused.items():
            refused.add_metric([reason], count)
        yield lanes
        yield refused


def _watched(watched: Mapping[str, WatchStatistics]) -> Iterator[Metric]:
    for field, (kind, text) in _WATCHED.items():
        name = "wirespeed_feed_flush_seconds" if field == "flush_time" else f"wirespeed_feed_{field}"
        family = kind(name, f"{text}, by the path of the feed or topic", labels=["path"])
        for path, statistics in watched.items():
            family.add_metric([path], getattr(statistics, field))
        yield family
    producers = GaugeMetricFamily("wirespeed_feed_producers", "Generators by what they do", labels=["path", "state"])
    for path, statistics in watched.items():
        for state, count in statistics.producers.items():
            producers.add_metric([path, state], count)
    yield producers
