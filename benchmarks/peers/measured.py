"""Apps that are scraped and traced, without a server."""

import asyncio
import time
from contextlib import nullcontext
from typing import Any

from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from wirespeed import Live, Settings
from wirespeed.metrics import collect
from wirespeed.testing import connect, lifespan

_SCRAPES = 7
_PUBLICATIONS = 20_000
_CALLS = 2_000


def scrape(definitions: int, *, observed: bool) -> dict[str, float]:
    """Return the CPU time of a scrape in milliseconds, and its size in KiB."""
    app = FastAPI()
    live = Live(app)
    for number in range(definitions):
        if number % 5:
            live.topic(f"/topic{number}", str)
        else:
            live.call(f"/call{number}")(_double)
    registry = CollectorRegistry()
    collect(live, registry)
    return asyncio.run(_scraped(app, live, registry, observed=observed))


async def _double(message: list[int]) -> int:
    return 2 * message[0]


async def _scraped(app: FastAPI, live: Live, registry: CollectorRegistry, *, observed: bool) -> dict[str, float]:
    async with lifespan(app):
        if observed:
            _observe(live)
        costs, size = [], 0
        for _ in range(_SCRAPES):
            begun = time.process_time()
            size = len(generate_latest(registry))
            costs.append(time.process_time() - begun)
    return {"cpu": 1000 * min(costs), "size": size / 1024}


def _observe(live: Live) -> None:
    """Fill all histograms, as traffic does."""
    hub: Any = live._hub
    for watched in hub._names:
        figures = hub._engine.publishing.figures[watched]
        figures.latency.add(0.01)
        figures.painted.add(0.02)
    for figures in hub.running._figures.values():
        figures._durations.add(1.0)


def publish(*, traced: bool, inside: bool) -> dict[str, float]:
    """Return the CPU time of a publication and of a call, in microseconds."""
    provider = TracerProvider()
    app = FastAPI(telemetry={"tracer_provider": provider} if traced else None)
    live = Live(app, settings=Settings(max_messages_per_second=1_000_000))
    topic = live.topic("/topic", int)
    live.call("/call")(_double)

    async def measured() -> dict[str, float]:
        span: Any = provider.get_tracer("").start_as_current_span("outer") if inside else nullcontext()
        async with lifespan(app):
            with span:
                begun = time.process_time()
                for number in range(_PUBLICATIONS):
                    topic.publish(number)
                    if number % 100 == 0:
                        await asyncio.sleep(0)
                publication = (time.process_time() - begun) / _PUBLICATIONS
            async with connect(app, "/call") as client:
                begun = time.process_time()
                for _ in range(_CALLS):
                    await client.send_text("[1]")
                    await client.receive_text()
                call = (time.process_time() - begun) / _CALLS
        return {"publication": 1e6 * publication, "call": 1e6 * call}

    return asyncio.run(measured())
