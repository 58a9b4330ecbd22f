"""A client of the multiplexed surface, in process: it says commands, and hears replies and pushes."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.centrifuge.sides import JSON_SIDE, Fields, Frame, Side
from tests.lanes.turns import turns
from wirespeed.testing import App, Closed, WebSocketClient, connect


class Speaker:
    """One client.

    Args:
        client: Its WebSocket.
        side: Its format.
    """

    def __init__(self, client: WebSocketClient, side: Side) -> None:
        self.client = client
        self.side = side
        self.frames: list[list[Fields]] = []
        """What came, frame by frame."""
        self._heard: deque[Fields] = deque()
        self._pushes: deque[Fields] = deque()
        self._replies: dict[int, Fields] = {}
        self._last = 0

    # Speaking

    async def send(self, frame: Frame) -> None:
        """Sends one WebSocket message."""
        if isinstance(frame, str):
            await self.client.send_text(frame)
        else:
            await self.client.send_bytes(frame)

    async def say(self, *commands: Fields) -> list[int]:
        """Sends commands in one frame; the ids that they got. A ``send``, and a pong, have none."""
        numbered = [each if not each or "send" in each or "id" in each else self._numbered(each) for each in commands]
        await self.send(self.side.frame(numbered))
        return [each["id"] for each in numbered if "id" in each]

    def _numbered(self, command: Fields) -> Fields:
        self._last += 1
        return {"id": self._last, **command}

    # Hearing

    async def hear(self) -> Fields:
        """The next message, whatever it is."""
        while not self._heard:
            self.frames.append(self.side.framed(await self.client.receive()))
            self._heard.extend(self.frames[-1])
        return self._heard.popleft()

    async def reply(self, id_: int) -> Fields:
        """The reply to a command, less its id; whatever else comes before it waits."""
        while id_ not in self._replies:
            await self._sort()
        return self._replies.pop(id_)

    async def push(self) -> Fields:
        """The next push; a ping is an empty one."""
        while not self._pushes:
            await self._sort()
        return self._pushes.popleft()

    async def _sort(self) -> None:
        told = await self.hear()
        if "id" in told:
            self._replies[told.pop("id")] = told
        else:
            self._pushes.append(told.get("push", told))

    async def farewell(self) -> tuple[int, str]:
        """How the connection is closed; whatever comes before it waits."""
        try:
            while True:
                await self._sort()
        except Closed as closed:
            return closed.code, closed.reason

    # Both

    async def ask(self, command: Fields) -> Fields:
        """Says a command, and hears what comes of it."""
        (id_,) = await self.say(command)
        return await self.reply(id_)

    async def connected(self, **fields: Any) -> Fields:
        """Connects; what it is told."""
        told: Fields = (await self.ask({"connect": fields}))["connect"]
        return told

    async def subscribe(self, channel: str, **fields: Any) -> Fields:
        """Subscribes; what comes of it."""
        return await self.ask({"subscribe": {"channel": channel, **fields}})

    async def subscribed(self, channel: str, **fields: Any) -> Fields:
        """Subscribes, and is admitted."""
        told = await self.subscribe(channel, **fields)
        assert "error" not in told, told
        result: Fields = told["subscribe"]
        return result

    async def refused(self, channel: str, **fields: Any) -> int:
        """Subscribes, and is not admitted; the code."""
        told = await self.subscribe(channel, **fields)
        assert "subscribe" not in told, told
        code: int = told["error"]["code"]
        return code

    async def pub(self, channel: str) -> Any:
        """The data of the next push, which is a publication of a channel."""
        push = await self.push()
        assert push.get("channel") == channel, push
        return push["pub"].get("data")

    async def quiet(self) -> list[Fields]:
        """What comes within some turns of the loop: nothing, if nothing is to come."""
        await turns(50)
        while self.client.waiting:
            self._heard.extend(self.side.framed(await self.client.receive()))
        heard = [*self._pushes, *self._heard]
        self._pushes.clear()
        self._heard.clear()
        return heard


@asynccontextmanager
async def speaking(
    app: App,
    side: Side = JSON_SIDE,
    *,
    at: str = "/live",
    headers: Mapping[str, str] | None = None,
    connects: bool = True,
    **options: Any,
) -> AsyncIterator[Speaker]:
    """A client of an app, connected unless it is not to be.

    Args:
        app: The app.
        side: The client's format.
        at: Where the multiplexed surface is.
        headers: Of the handshake.
        connects: Whether it has connected by the protocol, too.
        options: For the client's WebSocket.
    """
    query = "" if side is JSON_SIDE else "?format=protobuf"
    async with connect(app, f"{at}/websocket{query}", headers=headers, **options) as client:
        speaker = Speaker(client, side)
        if connects:
            await speaker.connected()
        yield speaker
