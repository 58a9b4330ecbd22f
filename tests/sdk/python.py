"""The Python SDK, in a thread with an event loop."""

import asyncio
import json
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Self

import centrifuge
from centrifuge import ClientEventHandler, DeltaType, FilterNode, StreamPosition, SubscriptionEventHandler

from tests.waiting import PATIENCE

from .kit import Kit, Told


class Format:
    """Conversion of values: JSON in tests, bytes for Protobuf clients.

    Args:
        is_binary: Whether for a Protobuf client.
        is_raw: Whether values are lists of bytes.
    """

    def __init__(self, *, is_binary: bool, is_raw: bool = False) -> None:
        self.is_binary = is_binary
        self._is_raw = is_raw

    def pack(self, value: Any) -> Any:
        """Return a value for the SDK."""
        if self._is_raw:
            return bytes(value)
        return json.dumps(value).encode() if self.is_binary else value

    def unpack(self, data: Any) -> Any:
        """Return a value from the SDK."""
        if self._is_raw:
            return list(data or b"")
        if not self.is_binary:
            return data
        return json.loads(data) if data else None


def info(form: Format, who: centrifuge.ClientInfo | None) -> Told | None:
    """Return a client's info in the words of a test."""
    if who is None:
        return None
    return asdict(who) | {"conn_info": form.unpack(who.conn_info), "chan_info": form.unpack(who.chan_info)}


def publication(form: Format, pub: centrifuge.Publication) -> Told:
    """Return a publication in the words of a test."""
    return {
        "data": form.unpack(pub.data),
        "offset": pub.offset,
        "tags": dict(pub.tags),
        "info": info(form, pub.info),
    }


def context(form: Format, given: Any) -> Told:
    """Return an event of the SDK in the words of a test."""
    told: Told = {}
    for name, value in vars(given).items():
        match name:
            case "pub":
                told |= publication(form, value)
            case "info":
                told["info"] = info(form, value)
            case "stream_position":
                told |= {"offset": 0, "epoch": ""} if value is None else asdict(value)
            case "data":
                told["data"] = form.unpack(value)
            case "error":
                told["message"] = str(value)
                told["code"] = getattr(value, "code", given.code)
            case _:
                told.setdefault(name, value)
    return told


def hear(handler: Any, tell: Callable[[Told], None], of: str, form: Format) -> Any:
    """Make a handler of the SDK report each event."""

    def told(event: str) -> Callable[[Any], Awaitable[None]]:
        async def on_event(given: Any) -> None:
            tell({"of": of, "event": event, **context(form, given)})

        return on_event

    for name in dir(handler):
        if name.startswith("on_"):
            setattr(handler, name, told(name.removeprefix("on_")))
    return handler


class PythonKit(Kit):
    """A thread that has clients of the Python SDK."""

    def __init__(self) -> None:
        super().__init__()
        self._told: queue.Queue[Told] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._problems: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, problem: self._problems.append(problem))
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[str, tuple[Any, Format]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert self._problems == []

    async def _finish(self) -> None:
        for each, _ in list(self._known.values()):
            if isinstance(each, centrifuge.Client):
                await each.disconnect()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest, timeout=PATIENCE)

    def _send(self, message: Told) -> None:
        self._loop.call_soon_threadsafe(self._begin, message)

    def _begin(self, message: Told) -> None:
        task = self._loop.create_task(self._take(**message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _receive(self, timeout: float) -> list[Told]:
        try:
            told = [self._told.get(timeout=timeout)]
        except queue.Empty:
            return []
        while not self._told.empty():
            told.append(self._told.get())
        return told

    async def _take(self, number: int, does: str, **given: Any) -> None:
        """Execute one command, and report its result under its number."""
        try:
            self._told.put({"number": number, "value": await getattr(self, f"_do_{does}")(**given)})
        except Exception as error:
            refusal = {"code": getattr(error, "code", 0), "message": str(error)}
            self._told.put({"number": number, "error": refusal})

    def _one_of(self, of: str, event: str, values: Sequence[Any]) -> Callable[..., Awaitable[Any]]:
        """Return a callback for the SDK that returns the values one by one, and the last one from then on."""
        rest = list(values)

        async def give(*_: object) -> Any:
            self._told.put({"of": of, "event": event})
            return rest.pop(0) if len(rest) > 1 else rest[0]

        return give

    async def _do_client(
        self,
        of: str,
        url: str,
        transport: str,
        format: str,  # noqa: A002 - the name that all kits use
        token: str = "",
        tokens: Sequence[str] | None = None,
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        form = Format(is_binary=format == "protobuf")
        client = centrifuge.Client(
            f"{url}/{transport}".replace("http", "ws", 1),
            hear(ClientEventHandler(), self._told.put, of, form),
            token=token,
            get_token=None if tokens is None else self._one_of(of, "token", tokens),
            use_protobuf=form.is_binary,
            data=None if data is None else form.pack(data),
            headers=headers,
            timeout=PATIENCE,  # the SDK's five seconds may pass on a slow machine
            min_reconnect_delay=0.01,
            max_reconnect_delay=0.1,
            proxy=None,
        )
        self._known[of] = client, form

    async def _do_subscription(
        self,
        of: str,
        client: str,
        channel: str,
        *,
        raw: bool = False,
        token: str = "",
        tokens: Sequence[str] | None = None,
        data: Any = None,
        states: Sequence[Told] | None = None,
        delta: str | None = None,
        tagsFilter: Told | None = None,  # noqa: N803 - the name in the JavaScript SDK
    ) -> None:
        owner, form = self._known[client]
        form = Format(is_binary=form.is_binary, is_raw=raw)
        positions = None if states is None else [StreamPosition(**each) for each in states]
        subscription = owner.new_subscription(
            channel,
            hear(SubscriptionEventHandler(), self._told.put, of, form),
            token=token,
            get_token=None if tokens is None else self._one_of(of, "token", tokens),
            data=None if data is None else form.pack(data),
            get_state=None if positions is None else self._one_of(of, "state", positions),
            delta=None if delta is None else DeltaType(delta),
            tags_filter=None if tagsFilter is None else FilterNode(tagsFilter),
            min_resubscribe_delay=0.01,
            max_resubscribe_delay=0.1,
        )
        self._known[of] = subscription, form

    async def _do_connect(self, of: str) -> None:
        await self._known[of][0].connect()

    async def _do_disconnect(self, of: str) -> None:
        await self._known[of][0].disconnect()

    async def _do_subscribe(self, of: str) -> None:
        await self._known[of][0].subscribe()

    async def _do_unsubscribe(self, of: str) -> None:
        await self._known[of][0].unsubscribe()

    async def _do_remove(self, of: str, client: str) -> None:
        self._known[client][0].remove_subscription(self._known[of][0])

    async def _do_rpc(self, of: str, method: str, data: Any) -> Any:
        client, form = self._known[of]
        return form.unpack((await client.rpc(method, form.pack(data))).data)

    async def _do_publish(self, of: str, data: Any, channel: str | None = None) -> None:
        each, form = self._known[of]
        await each.publish(*_named(channel), form.pack(data))

    async def _do_history(
        self, of: str, channel: str | None = None, *, limit: int = 0, since: Told | None = None, reverse: bool = False
    ) -> Told:
        each, form = self._known[of]
        position = None if since is None else StreamPosition(**since)
        told = await each.history(*_named(channel), limit=limit, since=position, reverse=reverse)
        return asdict(told) | {"publications": [publication(form, pub) for pub in told.publications]}

    async def _do_presence(self, of: str, channel: str | None = None) -> Told:
        each, form = self._known[of]
        told = await each.presence(*_named(channel))
        return {id_: info(form, who) for id_, who in told.clients.items()}

    async def _do_presence_stats(self, of: str, channel: str | None = None) -> Told:
        told = await self._known[of][0].presence_stats(*_named(channel))
        return {"clients": told.num_clients, "users": told.num_users}


def _named(channel: str | None) -> tuple[str, ...]:
    """Return the channel as an argument, unless the command belongs to a subscription."""
    return () if channel is None else (channel,)
