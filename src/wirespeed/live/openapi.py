"""OpenAPI's view of definitions: the arguments with which ``add_api_route`` documents one."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from types import GenericAlias, NoneType
from typing import Any, TypedDict, cast

from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..codec import plain_type
from ..definitions import Description
from ..raw import RawJSON
from ..routes import LiveRoute


class Documentation(TypedDict, total=False):
    """The options by which documents describe a definition, as for any FastAPI route."""

    summary: str | None
    description: str | None
    response_description: str
    tags: Sequence[str | Enum] | None
    deprecated: bool | None
    include_in_schema: bool
    responses: Mapping[int | str, dict[str, Any]] | None


class _Lines(JSONResponse):
    media_type = "application/jsonl"


class _Octets(Response):
    media_type = "application/octet-stream"


class _Events(Response):
    media_type = "text/event-stream"


_TEXT = {"schema": {"type": "string"}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_ANY_BODY = {"required": True, "content": {"application/json": {"schema": {"description": "Any JSON."}}}}
_NEWEST = "The newest value; as Server-Sent Events, all values from now on."
_DESCRIPTIONS = {"stream": "The values, as they come.", "call": "The value.", "feed": _NEWEST, "topic": _NEWEST}
_WITHHELD = "Earlier values are withheld: accept Server-Sent Events."
_OTHERS: dict[str, dict[int, Any]] = {
    "feed": {503: {"description": "No value was available in time; try again."}},
    "topic": {404: {"description": "The topic has no value."}},
}


def checked(options: Mapping[str, Any], kind: str, known: type = Documentation) -> dict[str, Any]:
    """Return options that were given by name.

    Raises:
        TypeError: There is no such option.
    """
    unknown = sorted(options.keys() - known.__annotations__.keys())
    if unknown:
        raise TypeError(f"live.{kind}() has no option {unknown[0]!r}")
    return dict(options)


def documented(definition: Description, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that describe the message and the answers of a definition's HTTP route.

    Args:
        options: The options of the definition; those of :class:`Documentation` take precedence.
    """
    given = {name: each for name, each in options.items() if name in Documentation.__annotations__}
    if given.get("tags") is not None:
        given["tags"] = list(given["tags"])
    answers = _answers(definition)
    if (responses := given.pop("responses", None)) is not None:
        given["responses"] = _together(answers.get("responses", {}), responses)
    takes_raw = definition.kind in ("stream", "call") and plain_type(definition.message_type) is RawJSON
    return answers | ({"openapi_extra": {"requestBody": _ANY_BODY}} if takes_raw else {}) | given


def _together(own: Mapping[int | str, Any], given: Mapping[int | str, dict[str, Any]]) -> dict[int | str, Any]:
    """Return the responses of a definition; what the app says of one takes precedence."""
    made = dict(own)
    for status, each in given.items():
        number = int(status) if str(status).isdigit() else status
        made[number] = made.get(number, {}) | each
    return made


def note(endpoint: object, router: APIRouter, options: Mapping[str, Any]) -> None:
    """Note the documentation of a definition, together with that of its router, at the endpoint of its WebSocket
    route, which FastAPI does not document."""
    given: dict[str, Any] = {name: each for name, each in options.items() if name in Documentation.__annotations__}
    given["tags"] = [*router.tags, *(given.get("tags") or ())]
    given["deprecated"] = bool(given.get("deprecated") or router.deprecated)
    given["include_in_schema"] = router.include_in_schema and given.get("include_in_schema", True)
    given["responses"] = {**router.responses, **(given.get("responses") or {})}
    endpoint.__wirespeed_documentation__ = given  # type: ignore[attr-defined]


def noted(endpoint: object) -> Documentation:
    """Return the documentation that :func:`note` has noted."""
    return cast("Documentation", getattr(endpoint, "__wirespeed_documentation__", {}))


def show_errors(app: FastAPI) -> None:
    """Let OpenAPI say that errors are JSON: FastAPI gives the media type of a route's values to all that it answers."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        for route, operation in operations_of(app, document):
            if isinstance(route.original_route, LiveRoute):
                _show_errors_as_json(route, operation["responses"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _show_errors_as_json(route: RouteContext, shown: Mapping[str, Any]) -> None:
    response_class = getattr(route.response_class, "value", route.response_class)  # FastAPI marks its default
    for status, given in route.responses.items():
        content = shown.get(str(status).upper(), {}).get("content", {})
        if "model" in given and response_class.media_type in content:
            content["application/json"] = content.pop(response_class.media_type)


def operations_of(app: FastAPI, document: Mapping[str, Any]) -> Iterator[tuple[RouteContext, dict[str, Any]]]:
    """Yield the operations of an OpenAPI document, each with its route."""
    for route in iter_route_contexts(app.routes):
        for method in (isinstance(route.original_route, Route) and route.methods) or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                yield route, operation


def _answers(definition: Description) -> dict[str, Any]:
    """Return the response class, the response model and the responses."""
    kind = definition.kind
    model = Any if plain_type(definition.value_type) is RawJSON else definition.value_type
    if kind == "call" and plain_type(model) is NoneType:
        return {"response_model": None, "status_code": HTTPStatus.NO_CONTENT}
    if kind == "call" and definition.encoding != "bytes":
        return {"response_model": model}  # FastAPI's own words for it
    is_watched = kind in _OTHERS
    content = {"text/event-stream": _TEXT} if "sse" in definition.surfaces else {}
    response_class: type[Response] = _Lines if kind == "stream" else JSONResponse
    if definition.encoding == "bytes":
        response_class, model, content = _Octets, None, {"application/octet-stream": _BYTES}
    elif definition.encoding == "text" and is_watched:  # streams and calls answer with JSON
        response_class, model, content = PlainTextResponse, None, content | {"text/plain": _TEXT}
    elif definition.options.get("by") is not None:
        model = GenericAlias(list, model)
    words = _DESCRIPTIONS[kind]
    responses: dict[int, Any] = {200: {"content": content}}
    if is_watched and "get" not in definition.surfaces:
        response_class, model, words = _Events, None, "All values from now on."
        responses = {200: {"content": {"text/event-stream": _TEXT}}, 406: {"description": _WITHHELD}}
    elif is_watched:
        responses |= {304: {"description": "The client has the newest value already."}} | _OTHERS[kind]
    return {
        "response_class": response_class,
        "response_model": model,
        "response_description": words,
        "responses": responses,
    }
