"""A Python client for scripts and services: a thin typed layer over the official ``centrifuge-python``.

::

    async for price in watch("http://localhost:8000", "price/BTC", float):
        print(price)

Install with ``pip install "wirespeed[client]"``. A lost connection is made again, with growing delays. The values that
were missed meanwhile come first.
"""

try:
    import centrifuge as _sdk
except ImportError as error:  # pragma: no cover - the extra is missing
    raise ImportError('wirespeed.client needs centrifuge-python: pip install "wirespeed[client]"') from error

from ..definitions import SourceHealth
from .bound import Bound, bind
from .connection import ClientConnection, PresentClient
from .errors import ServerRefused, TooSlow, ValuesLost
from .options import ConnectionChange, GetToken, OnConnection, Options, SubscribeOptions
from .server import address_of, changes, connect, watch

__all__ = [
    "Bound",
    "ClientConnection",
    "ConnectionChange",
    "GetToken",
    "OnConnection",
    "Options",
    "PresentClient",
    "ServerRefused",
    "SourceHealth",
    "SubscribeOptions",
    "TooSlow",
    "ValuesLost",
    "address_of",
    "bind",
    "changes",
    "connect",
    "watch",
]
