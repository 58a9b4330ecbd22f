"""Metrics for Prometheus."""

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest

from tests.brokers.valkey import Valkey
from tests.waiting import until
from wirespeed import BrokerHealth, Live
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
