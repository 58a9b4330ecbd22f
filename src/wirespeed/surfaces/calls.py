"""Calls: one message in, one value out. On the raw WebSocket each message is answered; over HTTP each request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import NoneType
from typing import Any, ClassVar

from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from ..codec import as_json, name_value, plain_type
from ..definitions import Call, Stream, TakesMessages, name_of
from ..frames import BINARY
from ..hub import Hub
from ..runs.outcome import Cancelled, Completed, Failed, Refused, run_in_thread
from .bodies import Octets
from .runs import run_counted
from .websocket import StreamSession
from .whole import WholeResponse


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Values(Stream):
    """A call as a stream: one value for each message."""

    kind: ClassVar[str] = Call.kind

    call: Call

    @property
    def declared(self) -> TakesMessages:
        return self.call


class CallSession(StreamSession):
    """One client of one call, from the accept to the end."""

    failed = "The call failed."
    __slots__ = ()

    async def _pump(self, message: Any, wrote: Callable[[int], None] | None = None) -> None:
        """Answer a message. A client may leave as soon as it has the answer: the call is complete by then."""
        figures, is_answered = self._hub.running.of(self._stream), False

        def answered(messages: int) -> None:
            nonlocal is_answered
            is_answered = is_answered or messages > 0  # a thread that has ended without a value writes nothing
            figures.wrote(messages)

        try:
            await super()._pump(message, answered)
        except asyncio.CancelledError:
            if not is_answered:
                raise


async def serve_calls(websocket: WebSocket, call: Call, hub: Hub, arguments: Mapping[str, Any]) -> None:
    """Accept a client, and answer its messages one after the other until it leaves."""
    await CallSession(websocket, _as_stream(call), hub, arguments).serve(websocket)


def _as_stream(call: Call) -> Stream:
    given = {each.name: getattr(call, each.name) for each in fields(call)} | {"function": _yielding(call)}
    return _Values(call=call, **given)


def _yielding(call: Call) -> Callable[..., AsyncIterator[Any] | Iterator[Any]]:
    """Return a generator of the one value, under the name that the call has in errors and logs."""

    async def value(**arguments: Any) -> AsyncIterator[Any]:
        yield await call.function(**arguments)

    def value_in_thread(**arguments: Any) -> Iterator[Any]:
        yield call.function(**arguments)

    yielding: Callable[..., AsyncIterator[Any] | Iterator[Any]] = value_in_thread if call.synchronous else value
    yielding.__qualname__ = name_of(call.function)
    return yielding


async def called(
    call: Call, hub: Hub, arguments: Mapping[str, Any], is_cancelled: Callable[[], bool] | None = None
) -> bytes:
    """Return the value of a call: JSON, or bytes as they are.

    Raises:
        Exception: The function raised it, or its value cannot be serialised. ``SystemExit``, or a cancellation that
            no one requested, becomes a RuntimeError: it ends one call and not the server.
        CancelledError: The client has left.
    """

    async def run() -> bytes:
        return _payload(call, await _value(call, hub, arguments))

    match await run_counted(hub, call, run, is_cancelled):
        case Completed(payload):
            hub.running.of(call).wrote(1)
            return payload
        case Failed(_, exception):
            raise exception
        case Refused(error) | Cancelled(error):
            raise error


async def _value(call: Call, hub: Hub, arguments: Mapping[str, Any]) -> Any:
    if not call.synchronous:
        return await call.function(**arguments)
    return await run_in_thread(partial(call.function, **arguments), hub.lanes.threads())


def _payload(call: Call, value: Any) -> bytes:
    try:
        return as_json(call.encoder).encode(value)
    except Exception as error:
        name_value(error, value)
        raise


async def respond_once(call: Call, hub: Hub, arguments: Mapping[str, Any]) -> Response:
    """Return the response with a call's value. Arguments and exceptions are those of :func:`called`."""
    media_type = Octets.media_type if call.encoder.opcode == BINARY else JSONResponse.media_type
    answer = await called(call, hub, arguments)
    if plain_type(call.value_type) is NoneType:
        return Response(status_code=204)
    return WholeResponse(hub, (answer,), len(answer), media_type)
