"""From a function's signature to a stream or call, and to the endpoints that FastAPI gets for it.

FastAPI itself decides which parameter is which: the parameter that it would treat as the body takes the message. The
WebSocket endpoint has the function's signature without that parameter, so that FastAPI resolves all others as usual.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from fastapi import params
from fastapi.exceptions import RequestValidationError
from pydantic import Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import FEW_ERRORS, adapter, decoder, encoder, plain_type
from ..definitions import Call, Intake, Overlap, Stream, by_spelling, title
from ..errors import DeclarationError
from ..raw import RawJSON
from .dependencies import check_guards
from .endpoints import Declared, Serve, built, check_path, endpoint_of
from .keeping import RECHECK, is_number, is_recheck
from .signature import Signature

Taking = TypeVar("Taking", Stream, Call)

MOST_RESUME = 3600
"""Seconds that a run may stay without a connection, at most."""


class Message(params.Body):  # type: ignore[misc]  # FastAPI's own Body does as much with Pydantic's FieldInfo
    """Marks the parameter that takes a client's message, for types that FastAPI does not treat as a body.

    ``text: Annotated[str, Message()]`` takes text messages, ``data: Annotated[bytes, Message()]`` binary ones. It takes
    the constraints that ``Body`` takes: ``Message(max_length=100)``.
    """


def declare_stream(
    path: str,
    function: Callable[..., Any],
    serve: Serve[WebSocket, Stream, None],
    *,
    respond: Serve[Request, Stream, Response] | None = None,
    overlap: Overlap = "queue",
    resume: float | None = None,
    recheck: float | None = None,
    dependencies: Sequence[params.Depends] = (),
) -> Declared[Stream]:
    """Make a stream of a generator function.

    Raises:
        DeclarationError: The function cannot be a stream; the text says what to write instead.
    """
    what = title(Stream.kind, path, function)
    check_path(what, path)
    if overlap not in ("queue", "replace"):
        raise DeclarationError(what, f"overlap must be 'queue' or 'replace', not {overlap!r}")
    signature = Signature(what, function)
    types = _types(what, path, signature, signature.yields(), "what it yields")
    if overlap == "replace" and types["intake"] is not Intake.EACH:
        raise DeclarationError(
            what, "overlap='replace' needs a stream that runs once per message, and this one does not"
        )
    check_guards(what, path, dependencies)
    stream = Stream(path=path, function=function, overlap=overlap, resume=resume, recheck=recheck, **types)
    if not is_recheck(recheck):
        raise DeclarationError(what, RECHECK)
    _check_resume(what, stream)
    return _declared(stream, signature, serve, respond)


def _check_resume(what: str, stream: Stream) -> None:
    resume = stream.resume
    if resume is None:
        return
    if not is_number(resume) or not 0 < resume <= MOST_RESUME:
        problem = f"resume must be a number of seconds above 0, up to {MOST_RESUME}"
        raise DeclarationError(what, f"{problem}; leave it out for runs that end with their connection")
    taken = sorted({"resume", "run", "since"} & by_spelling(stream.url_parameters).keys())
    if taken:
        raise DeclarationError(what, f"clients resume with the query parameter {taken[0]!r}: give yours another name")


def declare_call(
    path: str,
    function: Callable[..., Any],
    serve: Serve[WebSocket, Call, None],
    *,
    respond: Serve[Request, Call, Response] | None = None,
    dependencies: Sequence[params.Depends] = (),
) -> Declared[Call]:
    """Make a call of a function.

    Raises:
        DeclarationError: The function cannot be a call; the text says what to write instead.
    """
    what = title(Call.kind, path, function)
    check_path(what, path)
    signature = Signature(what, function, Call.kind)
    returned = signature.returns()
    if many := signature.duplex():
        raise DeclarationError(
            what, f"{many[0]!r} would be many messages, and a call takes one: use live.stream, or take a list[...]"
        )
    types = _types(what, path, signature, returned, "what it returns")
    check_guards(what, path, dependencies)
    return _declared(Call(path=path, function=function, **types), signature, serve, respond)


def _types(what: str, path: str, signature: Signature, value: tuple[Any, bool], place: str) -> dict[str, Any]:
    """Return the fields of a definition that its signature decides."""
    value_type, synchronous = value
    intake, parameter, message_type = signature.message(path, synchronous=synchronous)
    return {
        "url_parameters": signature.url_parameters(path, parameter),
        "value_type": value_type,
        "encoder": built(what, encoder, value_type, place),
        "intake": intake,
        "parameter": parameter,
        "message_type": message_type,
        "decoder": None if parameter is None else built(what, decoder, message_type, f"the message {parameter!r}"),
        "synchronous": synchronous,
    }


def _declared(
    definition: Taking,
    signature: Signature,
    serve: Serve[WebSocket, Taking, None],
    respond: Serve[Request, Taking, Response] | None,
) -> Declared[Taking]:
    without_message = signature.parameters_without(definition.parameter)
    endpoint = endpoint_of(WebSocket, definition, without_message, serve)
    if respond is None or not _fits_http(definition):
        return Declared(definition, endpoint, None)
    parameters = [
        _of_body(each) if each.name == definition.parameter else each for each in signature.parameters_without(None)
    ]
    return Declared(definition, endpoint, endpoint_of(Request, definition, parameters, respond))


def _of_body(parameter: Parameter) -> Parameter:
    """Return the parameter of an HTTP endpoint that takes the message.

    FastAPI would decode raw JSON, which is the body as it is, and describe any number of errors in other types.
    """
    if plain_type(parameter.annotation) is not RawJSON:
        annotation, default = parameter.annotation, parameter.default
        if isinstance(default, params.Body):  # FastAPI would take the bare type
            annotation, default = Annotated[annotation, default], Parameter.empty
        return parameter.replace(annotation=_with_few_errors(annotation), default=default)
    read = partial(_raw_body, adapter(parameter.annotation))
    return parameter.replace(annotation=Annotated[RawJSON, params.Depends(read)], default=Parameter.empty)


def _with_few_errors(annotation: Any) -> Any:
    """Return the type of a body, whose errors are limited.

    Pydantic applies the discriminator of a field last, and would describe each member of the union as the whole union:
    there, the members have the limit.
    """
    type_, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    has_discriminator = any(isinstance(each, FieldInfo) and each.discriminator for each in metadata)
    if not has_discriminator or get_origin(type_) not in (Union, UnionType):
        return Annotated[annotation, FEW_ERRORS]
    members = [each if each is NoneType else _member_with_few_errors(each) for each in get_args(type_)]
    return Annotated[Union[tuple(members)], *metadata]  # noqa: UP007 - of a tuple


def _member_with_few_errors(member: Any) -> Any:
    """Return a member of a union, whose errors are limited. Pydantic looks for its tag outside of the rest."""
    type_, *metadata = get_args(member) if get_origin(member) is Annotated else (member,)
    tags = [each for each in metadata if isinstance(each, Tag)]
    return Annotated[type_, *(each for each in metadata if not isinstance(each, Tag)), FEW_ERRORS, *tags]


async def _raw_body(checks: TypeAdapter[Any], request: Request) -> Any:
    """Return the body, as a dependency.

    Raises:
        RequestValidationError: It is not JSON, or does not validate.
    """
    body = await request.body()
    try:
        return checks.validate_python(RawJSON(body))
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
    except ValueError as error:  # as FastAPI describes it
        said = {"error": str(error)}
        errors = [{"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error", "input": {}, "ctx": said}]
    raise RequestValidationError(errors)


def _fits_http(definition: Stream | Call) -> bool:
    """Return whether a request can carry the message: one message of JSON or text, as FastAPI reads it."""
    takes_bytes = definition.decoder is not None and definition.decoder.kind is bytes
    return definition.intake is not Intake.ALL and not takes_bytes
