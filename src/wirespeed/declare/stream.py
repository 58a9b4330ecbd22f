"""From a function's signature to a stream and to the endpoint that FastAPI gets for it.

FastAPI's own machinery says which parameter is what: what it would call the body is the message. The endpoint has the
function's signature without the message, so that FastAPI resolves everything else as it always does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import params
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import decoder, encoder
from ..definitions import Intake, Overlap, Stream, title
from ..errors import DeclarationError
from .dependencies import check_guards
from .endpoints import built, check_path, post_endpoint, websocket_endpoint
from .signature import Signature

Serve = Callable[[WebSocket, Stream, Mapping[str, Any]], Awaitable[None]]
"""Serves one client, once FastAPI has resolved the arguments."""

Respond = Callable[[Request, Stream, Mapping[str, Any]], Awaitable[Response]]
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
    check_path(what, path)
    if overlap not in ("queue", "replace"):
        raise DeclarationError(what, f"overlap is 'queue' or 'replace', not {overlap!r}")
    signature = Signature(what, function)
    item, synchronous = signature.yields()
    intake, parameter, message = signature.message(path, synchronous=synchronous)
    if overlap == "replace" and intake is not Intake.EACH:
        raise DeclarationError(what, "overlap='replace' is for streams that run once per message, and this one is not")
    check_guards(what, path, dependencies)
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
    endpoint = websocket_endpoint(stream, signature.parameters_without(parameter), serve)
    post = post_endpoint(stream, signature.parameters_without(None), respond)
    return Declared(stream, endpoint, post, item)
