"""Messages to a topic's handler: bounded, one at a time, and answered in order, however each of them ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from tests.lanes.turns import until
from wirespeed import Settings
from wirespeed.codec import decoder
from wirespeed.definitions import Handler
from wirespeed.errors import InboxFull
from wirespeed.hub import Hub
from wirespeed.runs.outcome import Cancelled, Completed, Failed, Refused
from wirespeed.surfaces.handling import Handled, Handling
from wirespeed.surfaces.runs import Invalid

pytestmark = pytest.mark.anyio


class Answers:
    """The answers to one client."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, Handled]] = []

    async def __call__(self, about: Any, ended: Handled) -> None:
        self.given.append((about, ended))

    def broken(self, error: BaseException) -> None:
        """Fail: all messages of these tests are answered."""
        raise AssertionError from error


def handling(function: Callable[..., Any], answers: Answers, *, synchronous: bool = False, room: int = 100) -> Handling:
    """Return the handling of text messages by a function of ``text`` and ``user``."""
    handler = Handler(function, "text", frozenset({"user"}), str, decoder(str), synchronous)
    hub = Hub(Settings(max_inbox_messages=2))
    return Handling(hub, "'/news'", handler, {"user": "me", "key": 1}, room, answers, answers.broken)


@pytest.mark.parametrize("synchronous", [False, True])
async def test_messages_are_handled_in_order(*, synchronous: bool) -> None:
    """Each message reaches the handler with what FastAPI resolved for it, one after the other, and is answered."""
    handled: list[tuple[str, str]] = []

    def take(text: str, user: str) -> None:
        handled.append((text, user))

    async def take_later(text: str, user: str) -> None:
        await asyncio.sleep(0)
        handled.append((text, user))

    answers = Answers()
    messages = handling(take if synchronous else take_later, answers, synchronous=synchronous)
    for number, text in enumerate("abc"):
        messages.offer(text, 1, number)
    await messages.finish()
    assert handled == [(text, "me") for text in "abc"]
    assert answers.given == [(number, Completed(None)) for number in range(3)]


async def test_every_end_is_answered() -> None:
    """A refusal, a failure and a message that does not validate are each answered in turn, and end nothing else."""

    async def take(text: str, user: str) -> None:
        raise HTTPException(418, "Short.") if text == "teapot" else RuntimeError(text)

    answers = Answers()
    messages = handling(take, answers)
    invalid = Invalid(b"not text")
    for item in ("teapot", "bug", invalid):
        messages.offer(item, 1)
    await messages.finish()
    (_, refused), (_, failed), (_, last) = answers.given
    assert isinstance(refused, Refused)
    assert (refused.status, refused.detail) == (418, "Short.")
    assert isinstance(failed, Failed)
    assert last is invalid


async def test_inbox_is_bounded() -> None:
    """A message beyond the bound of messages or bytes is not taken; those before it are handled all the same."""
    gate = asyncio.Event()
    handled: list[str] = []

    async def take(text: str, user: str) -> None:
        await gate.wait()
        handled.append(text)

    messages = handling(take, Answers())
    for text in "abc":  # one goes on, two wait
        messages.offer(text, 60 if text == "b" else 1)
    with pytest.raises(InboxFull):
        messages.offer("d", 1)
    gate.set()
    await messages.finish()
    assert handled == ["a", "b", "c"]


async def test_handler_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has left holds neither its handler for long nor the messages behind it; each is answered."""
    monkeypatch.setattr("wirespeed.surfaces.handling.HANDLING_TIMEOUT", 0.01)
    happened: list[str] = []

    async def take(text: str, user: str) -> None:
        happened.append(text)
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("ended")

    answers = Answers()
    messages = handling(take, answers)
    for number, text in enumerate("abc"):
        messages.offer(text, 1, number)
    await until(lambda: happened)
    await messages.finish()
    assert happened == ["a", "ended"]
    assert [(about, type(ended)) for about, ended in answers.given] == [(number, Cancelled) for number in range(3)]


async def test_handler_that_is_cancelled_before_its_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is answered even if its handling has just begun when the time is over."""

    async def out_of_time(self: Handling) -> None:
        raise TimeoutError

    async def take(text: str, user: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Handling, "idle", out_of_time)
    answers = Answers()
    messages = handling(take, answers)
    messages.offer("a", 1, 0)
    await messages.finish()
    ((about, ended),) = answers.given
    assert about == 0
    assert isinstance(ended, Cancelled)
