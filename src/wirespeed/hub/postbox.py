"""The postbox: brings publications of threads, and those from before the start, into the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from ..definitions import Receipt, Watched, settle
from ..definitions.inlet import BESIDE
from ..errors import BacklogFull, Stopped
from ..isolation import isolated
from ..log.base import State, size_of

_SLICE = 0.002

Post = tuple[Watched[Any, Any], str, State | None, Receipt]
Handle = Callable[[Watched[Any, Any], str, State | None, Receipt], None]


class Errand(NamedTuple):
    """Something else than a publication that a thread wants of the loop, in the order of its publications."""

    run: Callable[[], None]
    refuse: Callable[[], None]
    """Called instead if the loop has ended."""
    size: int
    """Bytes of its texts."""


def ignored(since: float | None) -> None:
    """Do nothing: no one measures how long publications have waited."""


class Postbox:
    """A bounded queue into the event loop; however many threads post, the loop is woken once.

    Args:
        most: Bytes of publications and errands that may wait; one of them always may.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._counting = Lock()
        self._waiting: deque[Post | Errand] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: Handle | None = None
        self._is_woken = False
        self._is_over = False
        self._since: float | None = None
        # The publications that were there at the mark, of which there are some left; all others are younger than it.
        self._mark, self._marked = 0.0, 0
        self.on_take: Callable[[float | None], None] = ignored
        """Called before publications are taken with the time at which the first was posted, or shortly before that, in
        seconds of ``perf_counter``; and with None after that."""

    def post(self, watched: Watched[Any, Any], key: str, value: State | None) -> Receipt:
        """Leave a publication for the loop; from any thread.

        Args:
            value: The state of the value; None to complete the key behind all that was posted before.

        Raises:
            BacklogFull: Too many publications wait.
        """
        self._admit(watched.title, size_of(value) + len(key))
        receipt = Receipt(watched.title, has_started=self._has_started)
        self._put((watched, key, value, receipt))
        return receipt

    def send(self, what: str, errand: Errand) -> None:
        """Leave an errand for the loop, behind everything that was posted before; from any thread.

        Raises:
            BacklogFull: Too much waits.
        """
        self._admit(what, _size(errand))
        self._put(errand)

    def _admit(self, what: str, size: int) -> None:
        with self._counting:
            if self._size and self._size + size > self._most:
                raise BacklogFull(what, self._size)
            self._size += size

    def _put(self, post: Post | Errand) -> None:
        if not self._waiting:
            self._since = perf_counter()
        self._waiting.append(post)
        if self._is_over:  # checked after the append: refuse() either sees this post, or was seen here
            self._refuse_all()
        # Woken after the append: a drain in progress either sees this post, or has reset the flag before.
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._wake(self._loop)

    def _next(self) -> Post | Errand:
        post = self._waiting.popleft()
        size = _size(post)
        with self._counting:
            self._size -= size
        return post

    def _has_started(self) -> bool:
        return self._loop is not None

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed
            self.refuse()

    def open(self, loop: asyncio.AbstractEventLoop, handle: Handle) -> None:
        """Hand over everything that waits now and later; in the loop."""
        self._loop, self._handle, self._is_over = loop, handle, False
        # All at once: later publications of the loop itself do not pass through here, and must not overtake these.
        for _ in range(len(self._waiting)):
            self._take(handle)
        self._drain()

    def empty(self) -> None:
        """Hand over everything that waits, now; in the loop."""
        while self._waiting and self._handle is not None:
            self._take(self._handle)

    def _take(self, handle: Handle) -> None:
        post = self._next()
        if isinstance(post, Errand):
            with isolated("What a thread has asked for failed."):
                post.run()
        else:
            handle(*post)

    def refuse(self) -> None:
        """Fail everything that waits now and later: the loop has ended."""
        self._loop = self._handle = None
        self._is_woken = False
        self._is_over = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        with suppress(IndexError):  # another thread may do the same
            while True:
                post = self._next()
                if isinstance(post, Errand):
                    post.refuse()
                else:
                    watched, _, _, receipt = post
                    settle(receipt, None, Stopped(watched.title))

    def _drain(self) -> None:
        begun = perf_counter()
        if self._marked <= 0:
            self._mark, self._marked = begun, len(self._waiting)
        self.on_take(self._since)
        self._is_woken = False
        try:
            self._drain_until(begun + _SLICE)
        finally:
            self.on_take(None)

    def _drain_until(self, end: float) -> None:
        """Hand over what waits, until a time; the loop continues with the rest."""
        while self._waiting and self._handle is not None:
            self._take(self._handle)
            self._marked -= 1
            if perf_counter() >= end and self._loop is not None:
                if self._marked <= 0:
                    self._since = self._mark
                self._is_woken = True
                self._loop.call_soon(self._drain)
                return
        self._marked = 0


def _size(post: Post | Errand) -> int:
    if isinstance(post, Errand):
        return BESIDE + post.size
    return size_of(post[2]) + len(post[1])
