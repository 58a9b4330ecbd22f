"""From a function's signature to a call, and to the endpoints that FastAPI gets for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import params
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import decoder, encoder
from ..definitions import Call, title
from ..errors import DeclarationError
from .dependencies import check_guards
from .endpoints import built, check_path, post_endpoint, websocket_endpoint
from .signature import Signature

ServeCall = Callable[[WebSocket, Call, Mapping[str, Any]], Awaitable[None]]
"""Serves one client, once FastAPI has resolved the arguments."""

Answer = Callable[[Request, Call, Mapping[str, Any]], Awaitable[Response]]
"""Answers one request, once FastAPI has resolved the arguments, the message among them."""


@dataclass(frozen=True, slots=True)
class DeclaredCall:
    """A call and the endpoints that FastAPI gets for it."""

    call: Call
    endpoint: Callable[..., Awaitable[None]]
    post: Callable[..., Awaitable[Response]] | None
    """Answers one HTTP request, whose body is the message; None where that cannot be."""
    item: Any
    """The type of what it gives."""


def declare_call(
    path: str,
    function: Callable[..., Any],
    serve: ServeCall,
    *,
    answer: Answer | None,
    dependencies: Sequence[params.Depends],
) -> DeclaredCall:
    """Makes a call of a function.

    Args:
        path: Its path.
        function: The function: async or sync, a method or a ``partial`` too.
        serve: Serves one client.
        answer: Answers one request over HTTP; None for a call that is not to be had there.
        dependencies: What guards it beside its own parameters.

    Raises:
        DeclarationError: It cannot work as declared; the text says what to write instead.
    """
    what = title(Call.kind, path, function)
    check_path(what, path)
    signature = Signature(what, function, Call.kind)
    item, synchronous = signature.returns()
    if many := signature.duplex():
        raise DeclarationError(
            what, f"{many[0]!r} would be many messages, and a call takes one: use live.stream, or take a list[...]"
        )
    _, parameter, message = signature.message(path, synchronous=synchronous)
    check_guards(what, path, dependencies)
    call = Call(
        path=path,
        function=function,
        encoder=built(what, encoder, item, "what it gives"),
        parameter=parameter,
        decoder=None if parameter is None else built(what, decoder, message, f"the message {parameter!r}"),
        synchronous=synchronous,
    )
    endpoint = websocket_endpoint(call, signature.parameters_without(parameter), serve)
    post = post_endpoint(call, signature.parameters_without(None), answer)
    return DeclaredCall(call, endpoint, post, item)
