"""Metrics for Prometheus."""

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest

from wirespeed import Live
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


async def test_collecting_twice_is_an_error() -> None:
    """A registry has the metrics of one app only."""
    live = Live(FastAPI())
    registry = CollectorRegistry()
    collect(live, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        collect(live, registry)
