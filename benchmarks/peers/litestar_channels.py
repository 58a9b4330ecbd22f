"""Litestar's channels with their two backends for Redis, and the WebSocket routes that the plugin makes."""

import os

from litestar import Litestar, get
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.base import ChannelsBackend
from litestar.channels.backends.redis import RedisChannelsPubSubBackend, RedisChannelsStreamBackend
from redis.asyncio import Redis

from benchmarks.values import pace


async def run(rate: float, seconds: float, channels: ChannelsPlugin) -> dict[str, float]:
    def publish(value: str) -> None:
        channels.publish(value, "fan")

    return await pace(rate, seconds, publish)


def made(backend: ChannelsBackend) -> Litestar:
    plugin = ChannelsPlugin(backend, channels=["fan"], create_ws_route_handlers=True)
    return Litestar([get("/run")(run)], plugins=[plugin])


redis = Redis.from_url(os.environ["REDIS_URL"])
streams = made(RedisChannelsStreamBackend(history=1000, redis=redis))
pubsub = made(RedisChannelsPubSubBackend(redis=redis))
