"""Prometheus metrics of an app's live data. Install with ``pip install "wirespeed[metrics]"``.

    collect(live)  # and serve them as usual: prometheus_client.make_asgi_app()

The app counts these figures in any case. They are only read when Prometheus asks for them.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from .definitions import BrokerHealth, Histogram, RunStatistics, WatchStatistics
from .live import Live

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
    from prometheus_client.utils import floatToGoString
except ImportError as error:
    raise ImportError('wirespeed.metrics needs prometheus-client: pip install "wirespeed[metrics]"') from error

_CONNECTIONS = {
    "connections": (GaugeMetricFamily, "Open connections"),
    "accepted": (CounterMetricFamily, "Accepted connections"),
    "runs": (GaugeMetricFamily, "Runs of streams that are active"),
    "failed": (CounterMetricFamily, "Runs of streams that ended with an exception"),
    "messages": (CounterMetricFamily, "Messages written"),
    "bytes": (CounterMetricFamily, "Bytes written"),
}

_WATCHED = {
    "keys": (GaugeMetricFamily, "Keys with a log"),
    "watchers": (GaugeMetricFamily, "Watchers"),
    "published": (CounterMetricFamily, "Values published"),
    "delivered": (CounterMetricFamily, "Values written, counted for each watcher"),
    "skipped": (CounterMetricFamily, "Values that watchers skipped because a newer one replaced them"),
    "lost": (CounterMetricFamily, "Values that were removed from a log before a watcher had read them"),
    "bytes": (CounterMetricFamily, "Bytes written to watchers"),
    "flushes": (CounterMetricFamily, "Writes to connections"),
    "flush_time": (CounterMetricFamily, "Seconds spent on writing"),
    "restarts": (CounterMetricFamily, "Restarts of generators"),
    "failing": (GaugeMetricFamily, "Keys whose generator runs in this process and keeps failing"),
    "failed": (CounterMetricFamily, "Values that could not be encoded, and publications that failed"),
}

_HISTOGRAMS = {
    "latency": (
        "wirespeed_feed_latency_seconds",
        "Seconds from the publication of a value to its write, by the path of the feed or topic",
    ),
    "painted": (
        "wirespeed_feed_painted_age_seconds",
        "Seconds from the publication of a value until a page has reported its paint, by the path of the feed or topic",
    ),
}

_OUTCOMES = ("completed", "refused", "failed", "cancelled")


def collect(live: Live, registry: CollectorRegistry = REGISTRY) -> None:
    """Register the metrics of an app.

    Args:
        live: The app's ``Live``.
        registry: Registry for the metrics; by default, the global one of ``prometheus_client``.

    Raises:
        ValueError: The metrics are registered there already.
    """
    registry.register(_LiveCollector(live))


class _LiveCollector(Collector):
    def __init__(self, live: Live) -> None:
        self._live = live

    def describe(self) -> Iterable[Metric]:
        """Return the metrics, so that registering them twice is an error."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """Return all metrics with their current values."""
        yield from self._connections()
        yield from _broker(self._live.health())
        yield from _watched(self._live.watching())
        yield from _running(self._live.running())

    def _connections(self) -> Iterator[Metric]:
        statistics = self._live.statistics()
        for field, (kind, text) in _CONNECTIONS.items():
            yield kind(f"wirespeed_{field}", text, value=getattr(statistics, field))
        lanes = GaugeMetricFamily("wirespeed_lanes", "Connections by lane", labels=["lane"])
        for lane, count in statistics.lanes.items():
            lanes.add_metric([lane], count)
        refused = CounterMetricFamily("wirespeed_refused", "Refusals of clients by reason", labels=["reason"])
        for reason, count in statistics.refused.items():
            refused.add_metric([reason], count)
        yield lanes
        yield refused
        lag = statistics.loop_lag
        yield GaugeMetricFamily(
            "wirespeed_loop_lag_seconds", "Mean lateness of the event loop's timers in the last 10 s", value=lag.mean
        )
        yield GaugeMetricFamily(
            "wirespeed_loop_lag_worst_seconds",
            "Largest lateness of the event loop's timers in the last 10 s",
            value=lag.worst,
        )


def _broker(health: BrokerHealth) -> Iterator[Metric]:
    if health.state != "none":
        yield GaugeMetricFamily("wirespeed_broker_up", "1 if the broker is reachable", value=health.state != "down")
        yield GaugeMetricFamily(
            "wirespeed_broker_stale_seconds", "Seconds for which values may be out of date", value=health.seconds
        )
        yield GaugeMetricFamily(
            "wirespeed_broker_waiting_bytes", "Bytes of publications that wait for the broker", value=health.waiting
        )


def _watched(watched: Mapping[str, WatchStatistics]) -> Iterator[Metric]:
    for field, (kind, text) in _WATCHED.items():
        name = "wirespeed_feed_flush_seconds" if field == "flush_time" else f"wirespeed_feed_{field}"
        family = kind(name, f"{text}, by the path of the feed or topic", labels=["path"])
        for path, statistics in watched.items():
            family.add_metric([path], getattr(statistics, field))
        yield family
    producers = GaugeMetricFamily("wirespeed_feed_producers", "Generators by state", labels=["path", "state"])
    for path, statistics in watched.items():
        for state, count in statistics.producers.items():
            producers.add_metric([path, state], count)
    yield producers
    for field, (name, text) in _HISTOGRAMS.items():
        yield _histograms(name, text, {path: getattr(statistics, field) for path, statistics in watched.items()})


def _running(running: Mapping[str, RunStatistics]) -> Iterator[Metric]:
    about = ", by the path of the stream or call"
    active = GaugeMetricFamily("wirespeed_run_active", f"Runs in progress{about}", labels=["path"])
    ended = CounterMetricFamily("wirespeed_run_ended", f"Runs that have ended{about}", labels=["path", "outcome"])
    messages = CounterMetricFamily("wirespeed_run_messages", f"Values written by runs{about}", labels=["path"])
    for path, statistics in running.items():
        active.add_metric([path], statistics.active)
        messages.add_metric([path], statistics.messages)
        for outcome in _OUTCOMES:
            ended.add_metric([path, outcome], getattr(statistics, outcome))
    yield active
    yield ended
    yield messages
    durations = {path: statistics.durations for path, statistics in running.items()}
    yield _histograms("wirespeed_run_duration_seconds", f"Seconds that runs have taken{about}", durations)


def _histograms(name: str, text: str, histograms: Mapping[str, Histogram]) -> Metric:
    """Return histograms by path. Those without observations are left out: most pages of an app send none, and an empty
    one takes as much room as a full one."""
    family = HistogramMetricFamily(name, text, labels=["path"])
    for path, histogram in histograms.items():
        counts = [*accumulate(histogram.counts)]
        if counts[-1]:
            bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
            family.add_metric([path], [*zip(bounds, counts, strict=True)], histogram.total)
    return family
