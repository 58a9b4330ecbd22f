"""The producers of an app: the generators of its feeds that run now."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio import CapacityLimiter

from ..definitions import FeedDefinition, Watched, copied
from ..log.base import size_of
from ..runs.outcome import Refusal, Refused
from ..runs.produce import produce, produce_from_thread
from .live_key import LiveKey
from .output import Output
from .producer import Failures, Producer
from .traces import Traces, path_of

logger = logging.getLogger("wirespeed")

STOP_TIMEOUT = 5.0
"""Seconds that generators have to end when the app stops."""


@dataclass
class Producers:
    """Starts the generators of live keys, and stops them all."""

    _threads: CapacityLimiter
    _failed: Callable[[LiveKey, Output, BaseException, int], None]
    """Called with a key whose generator has raised, the way of its values, the error, and the number of errors since
    the last healthy run."""
    _completed: Callable[[LiveKey], None]
    """Called with a key whose generator has ended by itself."""
    _over: Callable[[LiveKey], None]
    """Called with a key whose generator does not run any more, however it has ended."""
    _refused: Callable[[LiveKey, Refused], None]
    """Called with a key whose generator has refused its watchers."""
    _refusal: Refusal
    """Returns the refusal that an exception of a generator stands for."""
    traces: Traces = field(default_factory=Traces)
    _failures: dict[Watched[Any, Any], Failures] = field(default_factory=dict)
    _running: dict[asyncio.Task[None], Producer] = field(default_factory=dict)

    def start(self, key: LiveKey, values: Mapping[str, Any], output: Output | None = None) -> None:
        """Start the generator of a feed, unless it runs already; a topic has none.

        Args:
            output: The way of its values; None for the log of this process.
        """
        feed = key.watched
        if not isinstance(feed, FeedDefinition) or key.producer is not None:
            return
        key.begin()
        failures = self._failures.setdefault(feed, Failures(feed.title))
        output = output or key.output
        run = partial(self._run, output, feed, values)
        noted = partial(self._failed, key, output), partial(self._completed, key), partial(self._refused, key)
        trace = partial(self.traces.run, feed.kind, path_of(key.name), feed.function)
        producer = Producer(failures, run, *noted, self._refusal, trace, key.figures.producers)
        key.runs(producer)
        self._running[producer.task] = producer
        producer.task.add_done_callback(partial(self._ended, key))

    async def _run(self, output: Output, feed: FeedDefinition[..., Any], arguments: Mapping[str, Any]) -> None:
        try:
            await self._produce(output, feed, arguments)
        except Exception:
            await output.settled()
            raise
        await output.finish()

    async def _produce(self, output: Output, feed: FeedDefinition[..., Any], arguments: Mapping[str, Any]) -> None:
        output.begin()
        arguments = copied(arguments)  # for each run: the app's code may change them
        if feed.synchronous:
            start, taken = partial(feed.function, **arguments), output.taken
            await produce_from_thread(
                start, output.publish_taken, self._threads, taken=taken, size=size_of, room=output.room
            )
        else:
            await produce(feed.function(**arguments), output.publish, output.room)

    def _ended(self, key: LiveKey, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._over(key)

    async def stop(self) -> None:
        """Stop all generators, and wait for their ``finally`` blocks for a while."""
        for producer in list(self._running.values()):
            producer.stop()
        if self._running:
            _, pending = await asyncio.wait(list(self._running), timeout=STOP_TIMEOUT)
            if pending:
                logger.warning(
                    "%d generators of feeds keep running after the app's end: they do not end.", len(pending)
                )
