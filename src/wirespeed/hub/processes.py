"""The processes of an app: requests of this process to the others, and its answers to theirs.

A message is a word, a number and, after a line break, its body. Whatever is malformed is logged and ignored.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping
from itertools import count
from math import inf
from typing import Any, NamedTuple

from ..brokers.cluster import Control
from ..definitions import Inlet, running
from ..errors import BrokerDown
from ..isolation import Lines, isolated

logger = logging.getLogger("wirespeed")

PATIENCE = 4.0
"""Seconds that the broker, and then a process, has for its answer."""
PAUSE = 1.0
"""Seconds between two looks for processes that are not known."""
MOST_BYTES = 1024 * 1024
"""Bytes of one message."""
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of requests that may wait for their answers, and of those of other processes that may wait for their turn."""
MOST_ANSWERS = 16 * 1024 * 1024
"""Bytes of answers to one request; those beyond it are left out."""
MOST_ANSWERING = 16
"""Requests that are answered at the same time, if their answers take more than one turn of the loop."""

_BESIDE = 512
"""Bytes that a request takes beside its body, about."""
_REPLY = "reply"


class Replies(NamedTuple):
    """The answers of other processes to one request."""

    asked: int
    """Number of processes that are alive, without this one."""
    bodies: Mapping[str, bytes]
    """The answers that came in time, by process."""
    silent: Collection[str] = ()
    """The processes without an answer."""


class _Request(NamedTuple):
    """A request of another process."""

    sender: str
    number: int
    word: str
    body: bytes


class _Question:
    """A request that waits for answers."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.size = 0
        self.expected: set[str] | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, process: str, body: bytes) -> None:
        """Take the answer of a process."""
        self.size += len(body)
        if self.size <= MOST_ANSWERS:
            self.bodies[process] = body
        self.look()

    def look(self) -> None:
        """End the wait if no answer is missing."""
        if self.expected is not None and self.expected <= self.bodies.keys() and not self.done.done():
            self.done.set_result(None)


class Processes:
    """The processes of an app, for one of them. It does nothing until it is open.

    Args:
        inlet: The way of messages from other threads than the loop's.

    Attributes:
        answers: Functions that answer the requests of other processes, by their words. They are called in the event
            loop with the body, and return None if they have nothing to reply.
        slow: Functions whose answers take more than one turn of the loop. Beyond :data:`MOST_ANSWERING` of them,
            requests wait for their turn.
    """

    def __init__(self, inlet: Inlet | None = None) -> None:
        self._inlet = inlet or Inlet()
        self.answers: dict[str, Callable[[bytes], bytes | None]] = {}
        self.slow: dict[str, Callable[[bytes], Coroutine[Any, Any, bytes]]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._due: deque[_Request] = deque()
        self._due_size = 0
        self._lines = Lines()
        self._control: Control | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._questions: dict[int, _Question] = {}
        self._numbers = count(1)
        self._waiting = 0
        self._known: set[str] = set()
        """The processes that were alive when the broker was asked last."""
        self._next_look: asyncio.Task[None] | None = None
        """A look that has not begun: all that come before that share it."""
        self._looked_at = -inf

    def open(self, control: Control) -> None:
        """Take part; the broker has not been entered yet."""
        self._control, self._loop = control, asyncio.get_running_loop()
        self._next_look, self._looked_at = None, -inf
        control.receive = self._receive

    def close(self) -> None:
        """Take part no longer."""
        self._control = self._loop = None
        self._due.clear()
        self._due_size = 0
        for task in self._answering:
            task.cancel()

    @property
    def process(self) -> str:
        """Name of this process; empty if it takes no part."""
        return "" if self._control is None else self._control.process

    def tell(self, word: str, body: bytes, process: str | None = None) -> None:
        """Send a message to one process, or to all others, from any thread; nothing happens if there are none.

        Raises:
            ValueError: The message is too large.
            BrokerDown: The broker cannot be reached. In another thread than that of the event loop, this is logged.
            BacklogFull: Too much waits for the event loop, which other threads have asked for.
        """
        _check(body)
        control, loop = self._control, self._loop
        if control is None or loop is None or loop.is_closed():
            return
        message = _message(word, 0, body)
        if loop is running():
            control.tell(message, process)
        else:
            self._inlet.call(loop, "A message to other processes", control.tell, message, process)

    async def ask(self, word: str, body: bytes, process: str) -> bytes | None:
        """Return the answer of one process; None if it is gone, or does not answer in time.

        Raises:
            ValueError: The request is too large.
            BrokerDown: The broker cannot be reached, or too many requests wait for their answers.
        """
        control = self._control
        _check(body)
        if control is None or not await self._is_known(control, process):
            return None
        question = _Question()
        question.expected = {process}
        await self._wait(control, question, word, body, process, PATIENCE)
        if process not in question.bodies:
            self._known.discard(process)  # it may be gone
        return question.bodies.get(process)

    async def _is_known(self, control: Control, process: str) -> bool:
        """Return True if a process is alive, as far as this one knows.

        A client may write any name. So the broker is asked about unknown ones once in a while, for all that wait.
        """
        if process not in self._known:
            look = self._next_look = self._next_look or asyncio.get_running_loop().create_task(self._look(control))
            await asyncio.wait([look])
            look.result()
        return process in self._known

    async def _look(self, control: Control) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._looked_at + PAUSE - clock())
        if self._control is not control:  # the app has stopped
            return
        self._next_look, self._looked_at = None, clock()
        self._known = {*await _alive(control)}

    async def ask_all(self, word: str, body: bytes, timeout: float = PATIENCE) -> Replies:
        """Return the answers of all other processes that answer in time.

        Raises:
            BrokerDown: The broker cannot be reached, or too many requests wait for their answers.
        """
        control = self._control
        if control is None:
            return Replies(0, {})
        question = _Question()
        self._known = {*await _alive(control)}
        question.expected = self._known - {control.process}
        if question.expected:
            await self._wait(control, question, word, body, None, timeout)
        return Replies(len(question.expected), question.bodies, question.expected - question.bodies.keys())

    async def _wait(
        self, control: Control, question: _Question, word: str, body: bytes, process: str | None, timeout: float
    ) -> None:
        if self._waiting and self._waiting + len(body) > MOST_WAITING:
            raise BrokerDown(f"{self._waiting} bytes of requests wait for other processes already")
        number = next(self._numbers)
        self._questions[number] = question
        self._waiting += len(body)
        try:
            control.tell(_message(word, number, body), process)
            await asyncio.wait([question.done], timeout=timeout)
        finally:
            self._waiting -= len(body)
            del self._questions[number]

    def _receive(self, sender: str, message: bytes) -> None:
        head, _, body = message.partition(b"\n")
        _check(body)
        word, number = head.decode().split(" ")
        if word == _REPLY:
            if (question := self._questions.get(int(number))) is not None:
                question.take(sender, body)
            return
        if word in self.slow:
            self._put(_Request(sender, int(number), word, body))
            return
        answer = self.answers.get(word)  # None if the sender is of a newer version
        reply = None if answer is None else answer(body)
        if reply is not None:
            self._reply(sender, int(number), reply)

    def _put(self, request: _Request) -> None:
        size = _BESIDE + len(request.body)
        if len(self._answering) < MOST_ANSWERING:
            self._begin(request)
        elif self._due_size + size <= MOST_WAITING:
            self._due.append(request)
            self._due_size += size
        elif (more := self._lines.next("full")) is not None:
            logger.warning("A request of another process has no answer: too many wait already%s", more)

    def _begin(self, request: _Request) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._answering.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._answering.discard(task)
        if self._due:
            request = self._due.popleft()
            self._due_size -= _BESIDE + len(request.body)
            self._begin(request)

    async def _answer(self, request: _Request) -> None:
        with isolated("The request of another process could not be answered."):
            self._reply(request.sender, request.number, await self.slow[request.word](request.body))

    def _reply(self, sender: str, number: int, reply: bytes) -> None:
        if number and self._control is not None:
            _check(reply)
            self._control.tell(_message(_REPLY, number, reply), sender)


def _check(body: bytes) -> None:
    if len(body) > MOST_BYTES:
        raise ValueError(f"a message between processes has {len(body)} bytes; at most {MOST_BYTES} are possible")


async def _alive(control: Control) -> Collection[str]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await control.processes()
    except TimeoutError:
        raise BrokerDown("the broker does not answer") from None


def _message(word: str, number: int, body: bytes) -> bytes:
    return f"{word} {number}\n".encode() + body
