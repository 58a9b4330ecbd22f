"""A client of the multiplexed surface, in process: it sends commands and receives replies and pushes."""

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
        """Messages received, frame by frame."""
        self._heard: deque[Fields] = deque()
        self._pushes: deque[Fields] = deque()
        self._replies: dict[int, Fields] = {}
        self._last = 0

    # Sending

    async def send(self, frame: Frame) -> None:
        """Send one WebSocket message."""
        if isinstance(frame, str):
            await self.client.send_text(frame)
        else:
            await self.client.send_bytes(frame)

    async def say(self, *commands: Fields) -> list[int]:
        """Send commands in one frame; return their ids. A ``send`` and a pong have none."""
        numbered = [each if not each or "send" in each or "id" in each else self._numbered(each) for each in commands]
        await self.send(self.side.frame(numbered))
        return [each["id"] for each in numbered if "id" in each]

    def _numbered(self, command: Fields) -> Fields:
        self._last += 1
        return {"id": self._last, **command}

    # Receiving

    async def hear(self) -> Fields:
        """Return the next message of any kind."""
        while not self._heard:
            self.frames.append(self.side.framed(await self.client.receive()))
            self._heard.extend(self.frames[-1])
        return self._heard.popleft()

    async def reply(self, id_: int) -> Fields:
        """Return the reply to a command, without its id; messages before it are kept."""
        while id_ not in self._replies:
            await self._sort()
        return self._replies.pop(id_)

    async def push(self) -> Fields:
        """Return the next push; a ping is an empty one."""
        while not self._pushes:
            await self._sort()
        return self._pushes.popleft()

    async def _sort(self) -> None:
        seen = await self.hear()
        if "id" in seen:
            self._replies[seen.pop("id")] = seen
        else:
            self._pushes.append(seen.get("push", seen))

    async def farewell(self) -> tuple[int, str]:
        """Return the close of the connection; messages before it are kept."""
        try:
            while True:
                await self._sort()
        except Closed as closed:
            return closed.code, closed.reason

    # Both

    async def ask(self, command: Fields) -> Fields:
        """Send a command and return its reply."""
        (id_,) = await self.say(command)
        return await self.reply(id_)

    async def connected(self, **fields: Any) -> Fields:
        """Connect and return the reply."""
        seen: Fields = (await self.ask({"connect": fields}))["connect"]
        return seen

    async def subscribe(self, channel: str, **fields: Any) -> Fields:
        """Subscribe and return the reply."""
        return await self.ask({"subscribe": {"channel": channel, **fields}})

    async def subscribed(self, channel: str, **fields: Any) -> Fields:
        """Subscribe, and expect to be admitted."""
        seen = await self.subscribe(channel, **fields)
        assert "error" not in seen, seen
        result: Fields = seen["subscribe"]
        return result

    async def refused(self, channel: str, **fields: Any) -> int:
        """Subscribe, expect a refusal, and return its code."""
        seen = await self.subscribe(channel, **fields)
        assert "subscribe" not in seen, seen
        code: int = seen["error"]["code"]
        return code

    async def pub(self, channel: str) -> Any:
        """Return the data of the next push, which is a publication of a channel."""
        push = await self.push()
        assert push.get("channel") == channel, push
        return push["pub"].get("data")

    async def quiet(self) -> list[Fields]:
        """Return the messages that arrive within some turns of the loop; usually none."""
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
    """Return a client of an app, connected by default.

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
