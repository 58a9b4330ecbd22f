"""Metrics for Prometheus."""

from typing import Annotated

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.brokers.valkey import Valkey
from tests.waiting import until
from wirespeed import BrokerHealth, Live, Message
from wirespeed.metrics import collect
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


async def test_figures_of_feeds_and_connections_are_told() -> None:
    """The exposition has the statistics, by path."""
    app = FastAPI()
    live = Live(app)
    news = live.topic("/news", str)
    registry = CollectorRegistry()
    collect(live, registry)
    async with lifespan(app), connect(app, "/news") as client:
        news.publish("hello")
        assert await client.receive_text() == "hello"
        text = generate_latest(registry).decode()
    lines = text.splitlines()
    assert 'wirespeed_feed_watchers{path="/news"} 1.0' in lines
    assert 'wirespeed_feed_delivered_total{path="/news"} 1.0' in lines
    assert 'wirespeed_feed_published_total{path="/news"} 1.0' in lines
    assert "wirespeed_connections 1.0" in lines
    assert 'wirespeed_lanes{lane="asgi"} 1.0' in lines


async def test_histograms_are_those_of_prometheus() -> None:
    """Buckets are cumulative and end with the number of all observations; the bounds are those of the statistics."""
    app = FastAPI()
    live = Live(app)
    news, quiet = live.topic("/news", str), live.topic("/quiet", str)

    @live.call("/shout")
    async def shout(text: Annotated[str, Message()]) -> str:
        return text.upper()

    registry = CollectorRegistry()
    collect(live, registry)
    async with lifespan(app), connect(app, "/news") as one, connect(app, "/news") as two, connect(app, "/shout") as run:
        for client in (one, two):
            news.publish("hello")
            assert await client.receive_text() == "hello"
        await until(lambda: sum(news.statistics().latency.counts) == 4)
        for text in ("a", "b", "c"):
            await run.send_text(text)
            assert await run.receive_text() == text.upper()
        await until(lambda: live.running()["/shout"].completed == 3)
        exposed = samples(registry)
        latency, durations = news.statistics().latency, live.running()["/shout"].durations
    assert sum(durations.counts) == 3
    for name, path, histogram in (
        ("wirespeed_feed_latency_seconds", "/news", latency),
        ("wirespeed_run_duration_seconds", "/shout", durations),
    ):
        bounds = [*map(str, histogram.bounds), "+Inf"]
        buckets = [exposed[f"{name}_bucket", path, bound] for bound in bounds]
        assert buckets == [sum(histogram.counts[: at + 1]) for at in range(len(bounds))]
        assert exposed[f"{name}_count", path] == buckets[-1] == sum(histogram.counts)
        assert exposed[f"{name}_sum", path] == pytest.approx(histogram.total)
    assert not any("/quiet" in key for key in exposed if key[0].startswith("wirespeed_feed_latency"))
    assert exposed["wirespeed_feed_published_total", "/quiet"] == 0
    assert exposed["wirespeed_run_ended_total", "/shout", "completed"] == 3
    assert exposed["wirespeed_run_messages_total", "/shout"] == 3
    assert ("wirespeed_loop_lag_worst_seconds",) in exposed
    assert quiet.statistics().latency.total == 0


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Return all samples by their names, paths and the values of other labels."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found = {}
    for each in (sample for family in families for sample in family.samples):
        others = [value for name, value in sorted(each.labels.items()) if name != "path"]
        found[each.name, *(each.labels[name] for name in ("path",) if name in each.labels), *others] = each.value
    return found


async def test_state_of_the_broker_is_told(valkey: Valkey) -> None:
    """An app with a broker has figures of it; an app without one has none."""
    registry = CollectorRegistry()
    app = FastAPI()
    live = Live(app, broker=f"redis://127.0.0.1:{valkey.port}")
    collect(live, registry)
    assert live.health() == BrokerHealth("none")
    async with lifespan(app):
        assert live.health() == BrokerHealth("ok")
        assert {"wirespeed_broker_up 1.0", "wirespeed_broker_stale_seconds 0.0"} <= lines_of(registry)
        valkey.kill()
        await until(lambda: live.health().state == "down")
        live.topic("/news", str).publish("x")
        assert live.health().problem
        lines = lines_of(registry)
        assert "wirespeed_broker_up 0.0" in lines
        assert {"wirespeed_broker_stale_seconds 0.0", "wirespeed_broker_waiting_bytes 0.0"}.isdisjoint(lines)
        valkey.start()
        await until(lambda: live.health() == BrokerHealth("ok"))


def lines_of(registry: CollectorRegistry) -> set[str]:
    """Return the lines about the broker."""
    return {line for line in generate_latest(registry).decode().splitlines() if line.startswith("wirespeed_broker")}


async def test_collecting_twice_is_an_error() -> None:
    """A registry has the metrics of one app only."""
    live = Live(FastAPI())
    registry = CollectorRegistry()
    collect(live, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        collect(live, registry)
