"""The multiplexed connection, in process: the app's middleware, routing and dependencies decide, as on a server.

::

    async with lifespan(app), multiplexed(app, token="s3cret") as client:
        price = await client.subscribe("price/BTC")
        assert await price.receive() == 100
        assert await client.call("add", [1, 2]) == 3
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic_core import to_json

from ..definitions import Publication, Publications
from ..log.position import Position
from .app import TIMEOUT, App
from .delivered import CommandFailed, Delivered, OtherClient, SubscriptionEnded, explained
from .mailbox import Mailbox
from .subscription import ClientSubscription
from .waiting import wait
from .websocket import MAX_WAITING, Closed, WebSocketClient, connect

PATH = "/live/websocket"

MOST_VALUES = 10_000
"""Values that may wait to be received; at this number, the client reads on only for the answer to a command."""

NAME = "wirespeed"
"""Name of clients that understand refusals with a status and a detail."""


class _Answer(NamedTuple):
    """The answer to a command, which has not arrived yet."""

    future: "asyncio.Future[dict[str, Any]]"
    begins: Delivered | None
    """The subscription that the command makes."""


class MultiplexedClient:
    """One multiplexed connection. :func:`multiplexed` makes it.

    Attributes:
        client: Id of the connection.
        data: Data that the server sent with its answer to the connect command; None if there is none.
        subscriptions: The subscriptions by channel, also those that the server has made.
        timeout: Seconds to wait for anything. New subscriptions wait as long.
    """

    def __init__(self, dial: Callable[[], WebSocketClient], hello: Mapping[str, Any], timeout: float) -> None:
        self.client = ""
        self.data: Any = None
        self.subscriptions: dict[str, ClientSubscription] = {}
        self._dial = dial
        self._hello = dict(hello)
        self.timeout = timeout
        self._socket = dial()
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[int, _Answer] = {}
        self._delivered: dict[str, Delivered] = {}
        self._given: set[str] = set()
        self._messages: Mailbox[Any] = Mailbox()
        self._reads = asyncio.Event()
        self._reads.set()
        self._is_paused = False
        self._id = 0
        self._ended: Exception | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def _open(self) -> None:
        await self._socket.__aenter__()
        self._ended = None
        self._reader = asyncio.create_task(self._read())
        try:
            result = await self._ask("connect", "", **self._hello, **self._positions())
        except BaseException as error:
            await self._leave(error)
            raise
        self.client, self.data = result["client"], result.get("data")

    def _positions(self) -> dict[str, Any]:
        """Return the positions from which the subscriptions resume that the server has made."""
        return {"subs": {name: _resume(self._delivered[name].position) for name in self._given}}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave(error)

    async def _leave(self, error: BaseException | None) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.cancel()
        try:  # a cancellation may come now, too
            await asyncio.wait([reader])
        finally:
            self._end(Closed(1005, "the client has left"))
            await self._socket.__aexit__(type(error) if error else None, error, None)

    # The way in

    async def _read(self) -> None:
        try:
            while True:
                await self._reads.wait()
                frame = await self._socket.receive(forever=True)
                await self._reads.wait()  # it may have been paused meanwhile
                for line in str(frame).splitlines():
                    await self._take(json.loads(line))
                self._look_for_room()
        except Exception as error:
            self._end(error)

    async def _take(self, told: dict[str, Any]) -> None:
        if "push" in told:
            self._push(told["push"])
        elif "id" not in told:
            await self._socket.send_text("{}")
        elif (answer := self._answers.pop(told["id"], None)) is not None:
            # Subscriptions begin now: their publications may follow in the same frame.
            if answer.begins is not None and "subscribe" in told:
                answer.begins.begin(told["subscribe"])
            for channel, result in told.get("connect", {}).get("subs", {}).items():
                self._server_side(channel).begin(result)
            if not answer.future.done():
                answer.future.set_result(told)

    def _push(self, push: dict[str, Any]) -> None:
        match push:
            case {"message": message}:
                self._messages.put(message.get("data"))
            case {"channel": channel, "subscribe": result}:
                self._server_side(channel).begin(result)
            case {"channel": channel, **what} if channel in self._delivered:
                self._delivered[channel].take(channel, what)

    def _server_side(self, channel: str) -> Delivered:
        """Return the state of a subscription that the server has made."""
        self._given.add(channel)
        return self._delivered.get(channel) or self._new(channel)

    def _new(self, channel: str) -> Delivered:
        state = self._delivered[channel] = Delivered()
        self.subscriptions[channel] = ClientSubscription(channel, state, self._ask, self.timeout, self._look_for_room)
        return state

    def _look_for_room(self) -> None:
        is_full = sum(each.waiting for each in self.subscriptions.values()) >= MOST_VALUES
        if self._is_paused or (is_full and not self._answers):  # an answer comes behind the values before it
            self._reads.clear()
        else:
            self._reads.set()

    def _end(self, error: Exception) -> None:
        self._ended = error
        for future, _ in self._answers.values():
            if not future.done():
                future.set_exception(error)
        self._answers.clear()
        self._messages.end(error)
        for each in self._delivered.values():
            each.end(error)

    # Commands

    async def _ask(self, command: str, what: str, *, begins: Delivered | None = None, **fields: Any) -> dict[str, Any]:
        """Send a command, and return its result. A subscription begins as soon as the result arrives.

        Raises:
            CommandFailed: It was refused.
            Closed: The connection has ended.
            TimeoutError: No answer arrived in time.
        """
        if self._ended is not None:
            raise self._ended
        self._id += 1
        id_ = self._id
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[id_] = _Answer(answer, begins)
        self._look_for_room()
        await self._socket.send_text(to_json({"id": id_, command: fields}).decode())
        title = f"{command} {what}".rstrip()
        try:
            await wait([answer], self.timeout)
            if not answer.done():
                raise TimeoutError(f"{title}: no answer within {self.timeout:g} s")
            told = answer.result()
        finally:
            self._answers.pop(id_, None)
        if "error" in told:
            raise CommandFailed(title, told["error"]["code"], *explained(told["error"]["message"]))
        result: dict[str, Any] = told[command]
        return result

    async def subscribe(
        self,
        channel: str,
        message: Any = None,
        *,
        since: Position | None = None,
        token: str = "",
        join_leave: bool = False,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the name that SDKs use
    ) -> ClientSubscription:
        """Subscribe to a feed or topic, or start a run of a stream.

        Args:
            channel: Path of the definition with its key, such as ``price/BTC``.
            message: Message for a stream.
            since: Position from which to resume: what was missed since then comes first.
            token: Token for this channel.
            join_leave: True to learn which clients join and leave.
            filter: Filter of publications by their tags, as in the protocol: ``{"key": ..., "cmp": "eq", "val": ...}``.

        Raises:
            CommandFailed: The app refuses it, with its status and detail.
            Closed: The connection has ended.
            TimeoutError: No answer arrived in time.
        """
        known = self.subscriptions.get(channel)
        if known is not None and known.ended_by is None:
            raise ValueError(
                f"this client is subscribed to {channel} already; for another run of a stream, write {channel}#2"
            )
        fields: dict[str, Any] = {} if since is None else _resume(since)
        if message is not None:
            fields["data"] = message
        options = {"token": token, "join_leave": join_leave, "tf": filter}
        fields |= {name: each for name, each in options.items() if each}
        await self._subscribe(channel, self._new(channel), fields)
        return self.subscriptions[channel]

    async def _subscribe(self, channel: str, state: Delivered, fields: Mapping[str, Any]) -> None:
        try:
            await self._ask("subscribe", channel, begins=state, channel=channel, **fields)
        except CommandFailed as refused:
            state.end(SubscriptionEnded(channel, refused.code, refused.reason, refused.status, refused.detail))
            raise
        except (TimeoutError, asyncio.CancelledError):
            state.end(SubscriptionEnded(channel, 0, "the client has not waited for the server's answer"))
            if self._ended is None:  # the server may subscribe the client yet
                self._id += 1
                await self._socket.send_text(json.dumps({"id": self._id, "unsubscribe": {"channel": channel}}))
            raise

    async def call(self, path: str, message: Any = None) -> Any:
        """Make a call, and return its value. Raise as :meth:`subscribe` does."""
        data = {} if message is None else {"data": message}
        return (await self._ask("rpc", path, method=path, **data)).get("data")

    async def publish(self, channel: str, message: Any) -> None:
        """Send a message to a topic's handler, or to a run of a duplex stream. Raise as :meth:`subscribe` does."""
        await self._ask("publish", channel, channel=channel, data=message)

    async def presence(self, channel: str) -> list[OtherClient]:
        """Return the clients that are subscribed to a feed or topic. Raise as :meth:`subscribe` does."""
        result = await self._ask("presence", channel, channel=channel)
        return [OtherClient.of(each) for each in result["presence"].values()]

    async def history(
        self, channel: str, *, limit: int = -1, since: Position | None = None, reverse: bool = False
    ) -> Publications[Any]:
        """Return the values that a log retains, and its position. Raise as :meth:`subscribe` does.

        Args:
            channel: Path of the feed or topic with its key.
            limit: Highest number of values; with 0, only the position is returned, and with -1 all values.
            since: Position behind which the values begin; with ``reverse``, before which they begin.
            reverse: True for the newest values first.
        """
        fields: dict[str, Any] = {"channel": channel, "limit": limit, "reverse": reverse}
        if since is not None:
            fields["since"] = {"epoch": since.epoch, "offset": since.offset}
        result = await self._ask("history", channel, **fields)
        epoch = result["epoch"]
        entries = (
            Publication(Position(epoch, each["offset"]), each["data"], each.get("tags", {}))
            for each in result["publications"]
        )
        return Publications(entries, Position(epoch, result["offset"]))

    async def refresh(self, token: str) -> None:
        """Renew the token of the connection. Raise as :meth:`subscribe` does."""
        await self._ask("refresh", "", token=token)
        self._hello["token"] = token

    async def receive_message(self) -> Any:
        """Return the next message of the app to this client. Raise as :meth:`ClientSubscription.receive` does."""
        return await self._messages.take(self.timeout, lambda: f"no message came within {self.timeout:g} s")

    # The connection

    def pause(self) -> None:
        """Stop reading, as a client does that hangs or has a bad network: it answers no pings either."""
        self._is_paused = True
        self._look_for_room()

    def resume(self) -> None:
        """Read on after :meth:`pause`."""
        self._is_paused = False
        self._look_for_room()

    def lose(self) -> None:
        """Lose the connection, without a word. Values that have arrived can still be received."""
        if self._reader is not None:
            self._reader.cancel()
        self._socket.lose()
        self._end(Closed(1006, "the client has lost the connection"))

    async def reconnect(self) -> None:
        """Connect again as an SDK does, after the loss of the connection or instead of it.

        All subscriptions that the server had not ended resume where they left off, in the same objects. If the server
        refuses some of them, the others resume nevertheless, and the first refusal is raised. A client that was paused
        reads again. Raise as :meth:`subscribe` does.
        """
        self.lose()
        await self._leave(None)
        resuming = {
            channel: state
            for channel, state in self._delivered.items()
            if channel not in self._given and not isinstance(state.ended_by, SubscriptionEnded)
        }
        self._messages.reopen()
        self._socket = self._dial()
        self.resume()
        await self._open()
        refusals: list[CommandFailed] = []
        for channel, state in resuming.items():
            state.reopen()
            try:
                await self._subscribe(channel, state, _resume(state.position))
            except CommandFailed as refused:
                refusals.append(refused)
        if refusals:
            raise refusals[0]

    async def closed(self) -> Closed:
        """Wait until the server closes the connection, and return how.

        Raises:
            TimeoutError: It stays open.
        """
        if self._ended is None:
            assert self._reader is not None
            await wait([self._reader], self.timeout)
        if isinstance(self._ended, Closed):
            return self._ended
        raise self._ended or TimeoutError(f"the connection has stayed open for {self.timeout:g} s")


def _resume(position: Position | None) -> dict[str, Any]:
    """Return the fields of a command that resumes from a position."""
    return {} if position is None else {"recover": True, "epoch": position.epoch, "offset": position.offset}


def multiplexed(
    app: App,
    *,
    token: str = "",
    data: Any = None,
    headers: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
    path: str = PATH,
    max_waiting: int = MAX_WAITING,
    timeout: float = TIMEOUT,
) -> MultiplexedClient:
    """Return a client of an app's multiplexed connection. Use it with ``async with``, which connects and disconnects.

    It speaks the JSON form of the protocol, which does not carry values of ``bytes``.

    Args:
        app: The ASGI app.
        token: Token by which ``Live(authenticate=...)`` identifies the client.
        data: Data of the connect command.
        headers: Headers of the handshake, such as cookies.
        state: State that the app's startup left for its connections; :func:`lifespan` returns it.
        path: Path of the multiplexed connection, if ``Live`` has another prefix.
        max_waiting: Number of frames that may wait while the client does not read, see :meth:`MultiplexedClient.pause`.
        timeout: Seconds to wait for anything.

    Raises:
        HandshakeRefused: On entering, the app did not accept the connection.
        CommandFailed: On entering, the app refused the client.
        Closed: On entering, the app closed the connection.
    """
    hello = {"name": NAME} | ({"token": token} if token else {}) | ({} if data is None else {"data": data})

    def dial() -> WebSocketClient:
        return connect(app, path, headers=headers, state=state, max_waiting=max_waiting, timeout=timeout)

    return MultiplexedClient(dial, hello, timeout)
