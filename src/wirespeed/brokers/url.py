"""The broker of a URL."""

import os
from collections.abc import Callable
from functools import partial
from types import EllipsisType

from .broker import Broker

NAMESPACE = "wirespeed"
"""Beginning of the names at the broker, for an app that does not name its own."""


Made = Broker | Callable[[], Broker] | None
"""A broker, a function that makes one, or None for an app that has none."""


def named(broker: str | Broker | EllipsisType | None, namespace: str) -> Made:
    """Return the broker that an app names by a URL or as an object; for ``...``, the environment may have the URL."""
    found = os.environ.get("WIRESPEED_BROKER") or None if broker is ... else broker
    return partial(broker_of, found, namespace) if isinstance(found, str) else found


def broker_of(url: str, namespace: str) -> Broker:
    """Return the broker of a URL, which is not connected yet.

    Raises:
        ImportError: The extra ``redis`` is not installed.
        ValueError: The URL or the namespace is not valid.
    """
    from .redis.broker import RedisBroker  # an app without a broker has no packages for it

    return RedisBroker(url, namespace)
