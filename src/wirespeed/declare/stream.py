"""From a function's signature to a stream and to the endpoint that FastAPI gets for it.

FastAPI's own machinery says which parameter is what: what it would call the body is the message. The endpoint has the
function's signature without the message, so that FastAPI resolves everything else as it always does.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from fastapi import params
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import decoder, encoder, plain_type
from ..definitions import Intake, Overlap, Stream, title
from ..errors import DeclarationError
from .dependencies import check_dependencies, guard_of
from .endpoints import HIDDEN, built, hidden, named
from .signature import Signature

Serve = Callable[[WebSocket, Stream, Mapping[str, Any]], Awaitable[None]]
"""Serves one client, once FastAPI has resolved the arguments."""

Respond = Callable[[Request, Stream, Mapping[str, Any]], Response]
"""Answers one request, once FastAPI has resolved the arguments, the message among them."""


class Message(params.Body):  # type: ignore[misc]  # FastAPI's own Body does as much with Pydantic's FieldInfo
    """Marks the parameter that takes a client's message, for types that FastAPI would not take for a body.

    ``text: Annotated[str, Message()]`` takes text messages, ``data: Annotated[bytes, Message()]`` binary ones. It takes
    the constraints that ``Body`` takes: ``Message(max_length=100)``.
    """


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream and the endpoints that FastAPI gets for it."""

    stream: Stream
    endpoint: Callable[..., Awaitable[None]]
    post: Callable[..., Awaitable[Response]] | None
    """Runs it for one HTTP request, whose body is the message; None where that cannot be."""
    item: Any
    """The type of what it yields."""


def declare_stream(
    path: str,
    function: Callable[..., Any],
    serve: Serve,
    *,
    respond: Respond | None = None,
    overlap: Overlap = "queue",
    dependencies: Sequence[params.Depends] = (),
) -> Declared:
    """Makes a stream of a generator function.

    Args:
        path: Its path.
        function: The generator function: async or sync, a method or a ``partial`` too.
        serve: Serves one client.
        respond: Answers one request over HTTP; None for a stream that is not to be had there.
        overlap: What a message does that comes during a run.
        dependencies: What guards it beside its own parameters.

    Raises:
        DeclarationError: It cannot work as declared; the text says what to write instead.
    """
    what = title("stream", path, function)
    _check_arguments(what, path, overlap)
    signature = Signature(what, function)
    item, synchronous = signature.yields()
    intake, parameter, message = signature.message(path, synchronous=synchronous)
    if overlap == "replace" and intake is not Intake.EACH:
        raise DeclarationError(what, "overlap='replace' is for streams that run once per message, and this one is not")
    for guard in dependencies:
        check_dependencies(what, guard_of(what, path, guard))
    stream = Stream(
        path=path,
        function=function,
        encoder=built(what, encoder, item, "what it yields"),
        intake=intake,
        parameter=parameter,
        decoder=None if parameter is None else built(what, decoder, message, f"the message {parameter!r}"),
        synchronous=synchronous,
        overlap=overlap,
    )
    endpoint = _endpoint(stream, signature.parameters_without(parameter), serve)
    post = None
    if respond is not None and _fits_http(stream):
        post = _post(stream, signature.parameters_without(None), respond)
    return Declared(stream, endpoint, post, item)


def _check_arguments(what: str, path: str, overlap: str) -> None:
    if overlap not in ("queue", "replace"):
        raise DeclarationError(what, f"overlap is 'queue' or 'replace', not {overlap!r}")
    if not isinstance(path, str) or not path.startswith("/"):
        raise DeclarationError(what, f"a path starts with '/': write {f'/{path}'!r}")


def _is_websocket(annotation: Any) -> bool:
    annotation = plain_type(annotation)
    return inspect.isclass(annotation) and issubclass(annotation, WebSocket)


def _fits_http(stream: Stream) -> bool:
    """Whether a request can carry what a stream takes: one message, which FastAPI takes for JSON or text."""
    takes_bytes = stream.decoder is not None and stream.decoder.kind is bytes
    return stream.intake is not Intake.ALL and not takes_bytes


def _endpoint(stream: Stream, parameters: list[Parameter], serve: Serve) -> Callable[..., Awaitable[None]]:
    """What FastAPI calls with the resolved parameters, and with the connection, however the user calls that."""
    own = next((each.name for each in parameters if _is_websocket(each.annotation)), None)
    if own is None:
        parameters = [*parameters, hidden(WebSocket)]

    async def endpoint(**arguments: Any) -> None:
        websocket = arguments.pop(HIDDEN) if own is None else arguments[own]
        await serve(websocket, stream, arguments)

    return named(endpoint, stream, stream.function, parameters)


def _post(stream: Stream, parameters: list[Parameter], respond: Respond) -> Callable[..., Awaitable[Response]]:
    """What FastAPI calls with the resolved parameters and the request."""

    async def endpoint(**arguments: Any) -> Response:
        request = arguments.pop(HIDDEN)
        return respond(request, stream, arguments)

    return named(endpoint, stream, stream.function, [*parameters, hidden(Request)])
