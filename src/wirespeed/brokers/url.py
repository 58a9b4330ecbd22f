"""The broker of a URL."""

from .broker import Broker

NAMESPACE = "wirespeed"
"""Beginning of the names at the broker, for an app that does not name its own."""


def broker_of(url: str, namespace: str) -> Broker:
    """Return the broker of a URL, which is not connected yet.

    Raises:
        ImportError: The extra ``redis`` is not installed.
        ValueError: The URL or the namespace is not valid.
    """
    from .redis.broker import RedisBroker  # an app without a broker has no packages for it

    return RedisBroker(url, namespace)
