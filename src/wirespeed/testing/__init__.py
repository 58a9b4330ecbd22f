"""The test kit: clients that connect to an app in process, without a server; a fake clock; assertions; crowds.

The clients behave as over a server, in the test's own event loop and with a server's bounds: messages that a client
does not receive hold the app back, as on a real connection. Every wait has a timeout, so no test hangs.

    async with connect(app, "/count") as client:
        await client.send_json({"message": "hello"})
        assert await client.receive_json() == {"message": "hello - 1", "number": 1}

    async with lifespan(app), multiplexed(app) as client:
        price = await client.subscribe("price/BTC")
        await assert_next(price, 100, 101)
"""

from .app import App, lifespan
from .crowd import Crowd, CrowdFigures
from .delivered import Arrival, CommandFailed, OtherClient, SubscriptionEnded
from .expecting import assert_next
from .fake_clock import FakeClock, clock
from .multiplex import MultiplexedClient, multiplexed
from .subscription import ClientSubscription
from .websocket import Closed, HandshakeRefused, WebSocketClient, connect

__all__ = [
    "App",
    "Arrival",
    "ClientSubscription",
    "Closed",
    "CommandFailed",
    "Crowd",
    "CrowdFigures",
    "FakeClock",
    "HandshakeRefused",
    "MultiplexedClient",
    "OtherClient",
    "SubscriptionEnded",
    "WebSocketClient",
    "assert_next",
    "clock",
    "connect",
    "lifespan",
    "multiplexed",
]
