"""A publisher for processes that do not serve the app: task queues, cron jobs, scripts."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from types import EllipsisType, TracebackType
from typing import Any, Self, TypeVar, overload
from weakref import WeakSet

from fastapi import FastAPI

from .brokers.broker import Broker
from .brokers.url import NAMESPACE, named
from .definitions import Declaration, Receipt, Topic, topic_of
from .errors import BindingError, BrokerDown
from .hub import Hub
from .hub.directory import Directory
from .live.inventory import bind_all
from .live.serving import required_serving
from .settings import Settings

T = TypeVar("T")

_FORKED = (
    "this process was forked from the one that opened the Publisher. Open one in each process: with Celery, in a "
    "handler of worker_process_init"
)

_open: WeakSet["Publisher"] = WeakSet()


class Publisher:
    """Publishes to the topics of an app from a process that does not serve the app.

    With the app, its own topics publish as long as the publisher is open. Otherwise, topics are named by their paths::

        with Publisher(app):
            orders.publish(order, user_id=5)

        async with Publisher("redis://localhost") as publisher:
            await publisher.publish("/orders/{user_id}", order, user_id=5)

    Used with ``with``, it has an event loop in a thread of its own, and all threads may publish; used with ``async
    with``, it uses the running loop. Leaving the block waits until the broker has everything.

    Args:
        source: The app, whose ``Live`` names the broker and the namespace; or a broker's URL. By default, the URL in
            the environment's ``WIRESPEED_BROKER``.
        namespace: The app's namespace at the broker; an app names its own.
        timeout: Seconds that leaving may wait for the broker.

    Raises:
        BindingError: The app has no broker, or the environment names none.
        ImportError: The extra ``redis`` is missing.
        ValueError: The URL or the namespace is not valid.
    """

    def __init__(
        self, source: FastAPI | str | Broker | EllipsisType = ..., *, namespace: str = NAMESPACE, timeout: float = 10.0
    ) -> None:
        self._app = source if isinstance(source, FastAPI) else None
        if isinstance(source, FastAPI):
            self._hub = required_serving(source).hub
        else:
            self._hub = Hub(Settings(), named(source, namespace), takes_part=False)
        if not self._hub.has_broker():
            raise BindingError(
                "A Publisher needs a broker: write Publisher(app) for an app with Live(app, broker=...), or name the "
                "URL, or set WIRESPEED_BROKER."
            )
        self._timeout = timeout
        self._directory: Directory | None = None
        self._topics: dict[tuple[str, Any], tuple[bytes | None, Topic[..., Any]]] = {}
        self._thread: threading.Thread | None = None
        self._leave: Callable[[], object] | None = None
        self._stack: AsyncExitStack | None = None

    @overload
    def topic(self, path: str) -> Topic[..., Any]: ...

    @overload
    def topic(self, path: str, type: type[T]) -> Topic[..., T]: ...

    @overload
    def topic(self, path: str, type: Any) -> Topic[..., Any]: ...

    def topic(self, path: str, type: Any = None) -> Topic[..., Any]:  # noqa: A002
        """Return a topic by its path, as the app declares it.

        Args:
            path: The path with the prefixes of routers, such as ``"/orders/{user_id}"``.
            type: The type of its values, which are validated then.

        Raises:
            BindingError: No app has declared such a topic at this broker, in this namespace; or the publisher is not
                open.
            DeclarationError: The topic's key has a type that only the app knows.
        """
        declared = None if self._directory is None else self._directory.declared.get(path)
        known = self._topics.get((path, type))
        if known is None or known[0] != declared:  # a new version of the app may declare it otherwise
            known = self._topics[path, type] = declared, self._found(path, type)
        return known[1]

    def publish(self, path: str, value: Any, /, *args: Any, **key: Any) -> Receipt:
        """Publish a value to a topic by its path; never waits.

        Args:
            path: The path, see :meth:`topic`.
            value: The value, or ``Tagged(value, tags)``. It is not validated, unless the app is known.
            *args: The values of the key.
            **key: The values of the key by name.

        Returns:
            A receipt. To get the position, await it, or call its ``result()`` in a thread.

        Raises:
            BindingError: See :meth:`topic`.
            DeclarationError: See :meth:`topic`.
            InvalidKey: The key does not validate.
            BacklogFull: Too many publications wait for the broker.
        """
        return self.topic(path).publish(value, *args, **key)

    def _found(self, path: str, type_: Any) -> Topic[..., Any]:
        if self._app is not None:
            definition = self._hub.topic(path)
            if definition is None:
                raise BindingError(f"The app has no topic {path!r}; write the path with the prefixes of its routers.")
            return Topic(definition, _declared_elsewhere, _declared_elsewhere, _declared_elsewhere)
        if self._directory is None:
            raise BindingError("The Publisher is not open: write with Publisher(...) as publisher")
        declared = self._directory.declared
        if path not in declared:
            raise BindingError(
                f"No app has declared a topic {path!r} at this broker in this namespace; it does so when it starts. "
                f"Topics there: {', '.join(sorted(declared)) or 'none'}."
            )
        definition = topic_of(path, Declaration.model_validate_json(declared[path]), type_)
        self._hub.adopt(definition)
        return Topic(definition, _declared_elsewhere, _declared_elsewhere, _declared_elsewhere)

    # In the running event loop

    async def __aenter__(self) -> Self:
        self._check_closed()
        stack = AsyncExitStack()
        await stack.enter_async_context(self._opened())
        self._stack = stack
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()
            self._check_sent(error)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        hub = self._hub
        if hub.is_running():
            raise BindingError("The app runs in this process, so that its topics publish without a Publisher.")
        hub.send_timeout = self._timeout
        if self._app is not None:
            bind_all(self._app, hub)
        async with hub:
            hub.why_stopped = "the Publisher is closed"
            if (health := hub.health()).state == "down":
                raise BrokerDown(f"The broker cannot be reached: {health.problem}")
            if self._app is None:
                self._directory = hub.directory()
                await self._directory.open()
            _open.add(self)
            try:
                yield
            finally:
                _open.discard(self)

    def _check_closed(self) -> None:
        if self._thread is not None or self._stack is not None:
            raise BindingError("This Publisher is open already.")

    def _check_sent(self, error: BaseException | None) -> None:
        if error is None and self._hub.unsent:
            raise BrokerDown(
                f"{self._hub.unsent} bytes of publications did not reach the broker within {self._timeout:g} s"
            )

    # In a thread

    def __enter__(self) -> Self:
        self._check_closed()
        opened: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=self._serve, args=(opened,), name="wirespeed-publisher", daemon=True)
        thread.start()
        try:
            self._leave = opened.result()
        except BaseException:  # Ctrl-C, while the thread opens the connection
            if not opened.cancel() and opened.exception() is None:
                opened.result()()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._leave is not None:
            self._leave()
            thread.join()
            self._check_sent(error)

    def open(self) -> None:
        """Do what entering a ``with`` block does, for publishers whose life is not a block.

        Raises:
            BrokerDown: The broker cannot be reached.
            BindingError: The publisher is open, or the app runs in this process.
        """
        self.__enter__()

    def close(self) -> None:
        """Do what leaving a ``with`` block does; nothing happens if it is closed.

        Raises:
            BrokerDown: The broker did not get everything in time.
        """
        self.__exit__(None, None, None)

    def _serve(self, opened: "Future[Callable[[], object]]") -> None:
        try:
            asyncio.run(self._stay(opened))
        except BaseException as error:
            if opened.cancelled():
                return
            if opened.done():
                raise
            opened.set_exception(error)

    async def _stay(self, opened: "Future[Callable[[], object]]") -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        async with self._opened():
            if opened.set_running_or_notify_cancel():
                opened.set_result(lambda: loop.call_soon_threadsafe(over.set))
                await over.wait()

    def _abandon(self) -> None:
        """Leave the connection to the process from which this one was forked."""
        self._hub.abandon(_FORKED)
        self._thread = self._leave = self._stack = None


def _declared_elsewhere(function: Callable[..., Any]) -> None:
    raise BindingError("This topic is declared by an app elsewhere, which also declares its key and its handler.")


def _forked() -> None:
    for publisher in list(_open):
        publisher._abandon()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
