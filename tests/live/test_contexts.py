"""Context variables: whatever a client's commands do runs in the context of its own connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextvars import Context, ContextVar
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import AfterValidator
from starlette.types import Receive, Scope, Send

from tests.centrifuge.sides import Fields
from tests.lanes.turns import turns, until
from tests.live.multiplexing import speaking
from tests.live.posting import Posted
from wirespeed import Live, Message
from wirespeed.definitions import reached
from wirespeed.surfaces.multiplex.session import MultiplexSession
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

user: ContextVar[str] = ContextVar("user", default="")


def as_user(name: str, function: Callable[[], object]) -> None:
    """Call a function as another user's request does."""
    context = Context()
    context.run(user.set, name)
    context.run(function)


class Scene:
    """An app whose code notes its user, behind middleware that knows the user from a header."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.live = live = Live(self.app)
        self.seen: list[tuple[str, str]] = []
        """Pieces of code that have run, each with the user that it has seen."""

        def validated(text: str) -> str:
            self.note(f"validator of {text}")
            return text

        async def take(message: Annotated[str, AfterValidator(validated), Message()]) -> None:
            self.note(f"handler of {message}")

        for path in ("/chat", "/elsewhere"):
            live.topic(path, str, dependencies=[Depends(self.guard)]).on_message(take)

        @live.call("/call")
        async def call() -> None:
            self.note("call")

        @live.stream("/stream")
        async def stream() -> AsyncIterator[str]:
            self.note("stream")
            yield ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            user.set(dict(scope["headers"])[b"x-user"].decode())
        await self.app(scope, receive, send)

    def note(self, what: str) -> None:
        """Note the user that some code sees."""
        self.seen.append((what, user.get()))

    async def guard(self) -> None:
        """Note the user, and change it, as only the rest of this command may see."""
        self.note("guard")
        user.set("changed")

    def session(self) -> MultiplexSession:
        """Return the only session."""
        (client,) = self.live.clients()
        session = reached(client)
        assert isinstance(session, MultiplexSession)
        return session


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A running app."""
    scene = Scene()
    async with lifespan(scene.app):
        yield scene


COMMANDS: list[Fields] = [
    {"rpc": {"method": "call"}},
    {"publish": {"channel": "chat", "data": "here"}},
    {"publish": {"channel": "elsewhere", "data": "there"}},
    {"subscribe": {"channel": "stream"}},
]

EXPECTED = {
    "call": "ada", "validator of here": "ada", "handler of here": "ada", "guard": "ada", "stream": "ada",
    "validator of there": "changed", "handler of there": "changed",
}  # fmt: skip
"""The users that the code of these commands sees: what a guard changes holds for the handler in its block."""


async def test_commands_that_waited_for_room(scene: Scene) -> None:
    """Commands that waited for room see their own client's variables, whatever has made the room."""
    async with speaking(scene, headers={"x-user": "ada"}) as ada:
        await ada.subscribed("chat")
        scene.seen.clear()
        lane = scene.session().link.outlet.lane
        lane.writable = lambda: False  # type: ignore[method-assign]
        ids = await ada.say(*COMMANDS)
        await turns(20)
        assert scene.seen == []
        del lane.writable
        assert lane.on_writable is not None
        as_user("bob", lane.on_writable)
        for id_ in ids:
            await ada.reply(id_)
        await until(lambda: len(scene.seen) == len(EXPECTED))
        assert dict(scene.seen) == EXPECTED


@pytest.mark.parametrize("in_thread", [False, True])
async def test_subscriptions_that_the_app_adds(scene: Scene, in_thread: bool) -> None:
    """The guards, and the run, of a subscription that a request adds see the variables of the client's connection."""
    async with speaking(scene, headers={"x-user": "ada"}):
        (client,) = scene.live.clients()

        def add() -> None:
            client.subscribe("chat")
            client.subscribe("stream")

        tasks = list[asyncio.Task[None]]()
        adding = (lambda: tasks.append(asyncio.create_task(asyncio.to_thread(add)))) if in_thread else add
        as_user("bob", adding)
        await until(lambda: len(scene.seen) == 2)
        await asyncio.gather(*tasks)
        assert dict(scene.seen) == {"guard": "ada", "stream": "ada"}


async def test_commands_that_are_posted(scene: Scene) -> None:
    """Commands beside a response see the variables of that connection, and not of the request that brings them."""
    connect = b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"chat"}}'
    async with Posted(scene, "/live/http_stream", connect, {"x-user": "ada"}) as ada:
        connected = json.loads((await ada.lines(2))[0])["connect"]
        scene.seen.clear()
        commands = "\n".join(json.dumps({"id": 10 + number, **each}) for number, each in enumerate(COMMANDS))
        body: dict[str, Any] = {"session": connected["session"], "node": connected["node"], "data": commands}
        async with Posted(scene, "/live/emulation", json.dumps(body).encode(), {"x-user": "bob"}) as posted:
            assert await posted.status() == 204
        await until(lambda: len(scene.seen) == len(EXPECTED))
        assert dict(scene.seen) == EXPECTED


async def test_messages_that_waited_for_a_guard(scene: Scene) -> None:
    """A message that comes while guards decide is handled as any later one: what they change is not for it."""
    async with speaking(scene, headers={"x-user": "ada"}) as ada:
        publish = COMMANDS[1]
        for id_ in await ada.say({"subscribe": {"channel": "chat"}}, publish):
            await ada.reply(id_)
        await ada.ask(publish)
        taken = [("validator of here", "ada"), ("handler of here", "ada")]
        assert scene.seen == [("guard", "ada"), *taken, *taken]
