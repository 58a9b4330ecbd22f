"""Feeds: generators that are run once, for all who watch."""

from collections.abc import Callable
from typing import Any

from .watched import P, T, Watched


class Feed(Watched[P, T]):
    """A generator that is run once, shared by all who watch it; made by ``@live.feed``.

    Args:
        function: The generator function.
        synchronous: Whether it runs in a worker thread.
        linger: Seconds for which it goes on after its last watcher has left.
        **declared: What :class:`Watched` takes.
    """

    kind = "feed"

    def __init__(
        self, function: Callable[..., Any], *args: Any, synchronous: bool, linger: float, **declared: Any
    ) -> None:
        super().__init__(*args, **declared)
        self.function = function
        self.synchronous = synchronous
        self.linger = linger
