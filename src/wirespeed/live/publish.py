"""POST /live/publish: other languages publish to the topics of an app, with a key and not from pages."""

import asyncio
import hmac
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from functools import cache, lru_cache, partial
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from ..codec import few, plain_type
from ..declare import arguments_of
from ..definitions import Receipt, Tagged, Topic, TopicDefinition, Validated, type_of_row
from ..errors import BrokerRefused, InvalidKey, LogFull, NoSuchRow, TopicComplete, Unavailable
from ..hub import Hub
from ..isolation import log_error
from ..raw import RawJSON, elements, member
from ..routes import LiveRoute
from ..surfaces.authenticator import bearer_of
from ..surfaces.http import BoundedRequest
from ..surfaces.multiplex.channels import ChannelName
from ..surfaces.refusals import RETRY_AFTER
from .entrance import Entrance, entrance_of
from .serving import check_origin, required_serving

logger = logging.getLogger("wirespeed")

MOST = 1000
"""Publications in one request."""

CONFIRMED_WITHIN = 5.0
"""Seconds in which the broker has to confirm the publications of a request."""

AT_ONCE = 100
"""Publications that are checked, or published, before everything else gets its turn."""

SHORT = 16
"""Characters below which a key is easy to guess."""

_LATE = "The broker has not confirmed this in time; it may still be published."


class PublishItem(BaseModel):
    """A publication: a value, text to append to one, or the removal of a table's row."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(max_length=2048, description="Path of the topic, as clients watch it: `/orders/5`.")]
    value: Annotated[Any, Field(description="The value, which the topic validates.")] = None
    remove: Annotated[Any, Field(description="Instead of a value: the key of a table's row to remove.")] = None
    append: Annotated[str, Field(description="Instead of a value: text for the end of a value that grows.")] = ""
    row: Annotated[Any, Field(description="With append, in a table: the key of the row that grows.")] = None
    tags: Annotated[dict[str, str], Field(description="Tags of the value.")] = Field(default_factory=dict)


class PublishAnswer(BaseModel):
    """The outcome of one publication."""

    position: Annotated[str | None, Field(description="Place in the log: `epoch:offset`.")] = None
    error: Annotated[str | None, Field(description="Reason for which it was not published.")] = None


Items = Annotated[
    Annotated[PublishItem, Tag("one")] | Annotated[list[PublishItem], Field(max_length=MOST), Tag("batch")],
    Discriminator(lambda body: "batch" if isinstance(body, list) else "one"),
]


class _Ready(NamedTuple):
    """A publication that was found valid."""

    definition: TopicDefinition[..., Any]
    key: Validated
    what: Literal["publish", "append", "remove"]
    arguments: Sequence[Any]

    def publish(self) -> Receipt:
        topic: Topic[..., Any] = Topic(self.definition, _not_here, _not_here, _not_here)
        receipt: Receipt = getattr(topic, self.what)(*self.arguments, self.key)
        return receipt


class _Invalid(Exception):
    """A publication is not valid; the error for the client."""

    def __init__(self, field: str, problem: str, errors: Sequence[Any] = ()) -> None:
        super().__init__(problem)
        self.errors = few(errors or [{"type": "value_error", "loc": (), "msg": problem}], (field,))


def checked_key(key: str) -> bytes:
    """Return a key as bytes.

    Raises:
        ValueError: It is empty.
    """
    if not key:
        raise ValueError("publish_key is empty; write a long random text, or leave it out")
    if len(key) < SHORT:
        logger.warning("publish_key has only %d characters and can be guessed; use a long random text.", len(key))
    return key.encode()


def add_publish_route(app: FastAPI, path: str, entrance: Entrance, key: bytes) -> None:
    """Add the route, which is in OpenAPI."""

    async def publish(request: Request, body: Items) -> Response:
        """Publish values to topics, and return their positions."""
        text = (await request.body()).decode()
        if isinstance(body, list):
            texts = cache(lambda: list(elements(text)))
            return _batch(await _published(await _ready_all(entrance, body, texts, ("body", "batch"))))
        return _single(await _published(await _ready_all(entrance, [body], lambda: [text], ("body", "one"))))

    class PublishRoute(LiveRoute):
        """The route, which reads no body without the key."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_with_key(request: Request) -> Response:
                await _check(request, key)
                hub = required_serving(request.app).hub
                return await handle(BoundedRequest(request, hub, hub.settings.max_publish_bytes))

            return handle_with_key

    schemes = HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False)
    router = APIRouter()
    router.add_api_route(
        path,
        publish,
        methods=["POST"],
        name="live_publish",
        summary="Publish to topics",
        response_model=PublishAnswer | list[PublishAnswer],
        dependencies=[Depends(each) for each in schemes],
        responses={code: {"description": text} for code, text in _ANSWERS.items()},
        route_class_override=PublishRoute,
    )
    app.include_router(router)


_ANSWERS = {
    401: "The key is missing or wrong.",
    404: "Text was not appended, because there is no such row.",
    409: "Something was not published, because the topic is complete.",
    413: "The body is too large.",
    503: "Something was not published, because the broker cannot take it now; try again.",
    507: "Something was not published: a table has no room for another row, or the broker does not take the value.",
}


async def _check(request: Request, key: bytes) -> None:
    """Refuse pages of other origins, and clients without the key.

    Raises:
        HTTPException: 401 or 403.
    """
    await check_origin(request)
    given = bearer_of(request.headers.get("authorization", "")) or request.headers.get("x-api-key", "")
    if not hmac.compare_digest(given.encode("latin-1"), key):
        required_serving(request.app).hub.refused("publish key", request.scope["path"])
        raise HTTPException(401, "The key is missing or wrong.", {"www-authenticate": "Bearer"})


# Finding out whether all of a request is valid


async def _ready_all(
    entrance: Entrance, items: Sequence[PublishItem], texts: Callable[[], Sequence[str]], place: tuple[str, ...]
) -> list[_Ready]:
    """Return the publications of a request.

    Args:
        texts: Returns the JSON of each item.

    Raises:
        RequestValidationError: One of them is not valid, so that none is published.
    """
    ready, errors = [], []
    found = cache(partial(_found, entrance))
    for number, item in enumerate(items):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            ready.append(_ready(item, partial(_value_of, texts, number), *found(item.path)))
        except _Invalid as error:
            at = (*place, number) if place[-1] == "batch" else place
            errors += [{**each, "loc": [*at, *each["loc"]]} for each in error.errors]
    if errors:
        raise RequestValidationError(errors)
    return ready


def _ready(
    item: PublishItem, raw: Callable[[], RawJSON], definition: TopicDefinition[..., Any], key: Validated
) -> _Ready:
    if len({"value", "remove", "append"} & item.model_fields_set) != 1:
        raise _Invalid("value", "Either a value, text to append or the key of a row to remove is needed.")
    if "remove" in item.model_fields_set:
        return _Ready(definition, key, "remove", [_row("remove", definition, item.remove)])
    if "append" in item.model_fields_set:
        if definition.options.grows is False:
            raise _Invalid("append", "Nothing of this topic grows.")
        rows = [] if definition.options.by is None else [_row("row", definition, item.row)]
        return _Ready(definition, key, "append", [*rows, item.append])
    is_raw = plain_type(definition.value_type) is RawJSON
    value = raw() if is_raw else _valid("value", definition.adapter, item.value)
    return _Ready(definition, key, "publish", [Tagged(value, item.tags) if item.tags else value])


def _row(field: str, definition: TopicDefinition[..., Any], row: Any) -> Any:
    if definition.options.by is None:
        raise _Invalid(field, "This topic is not a table.")
    return _valid(field, _type_of_row(definition.value_type, definition.options.by), row)


def _value_of(texts: Callable[[], Sequence[str]], number: int) -> RawJSON:
    """Return the value of an item as its client wrote it."""
    return RawJSON(member(texts()[number], "value"))


def _valid(field: str, adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_json(to_json(value))
    except ValidationError as error:
        raise _Invalid(field, "", error.errors(include_url=False)) from None


@lru_cache(maxsize=1000)
def _type_of_row(value_type: Any, by: str) -> TypeAdapter[Any]:
    """Return the type of the field that identifies a row: a UUID, for example, is text in JSON."""
    return TypeAdapter(type_of_row(value_type, by))


def _found(entrance: Entrance, name: str) -> tuple[TopicDefinition[..., Any], Validated]:
    """Return the topic at a path, and the values of its key, as they are read for those who watch it."""
    path, query = ChannelName.parse(name)
    way = entrance.way(path)
    while way is not None and isinstance(way.route.original_route, Mount):
        inner = entrance_of(way.route.app)
        path = path.removeprefix(way.child_scope["root_path"])
        way = None if inner is None else inner.way(path)
    definition = None if way is None else way.found.definition
    if way is None or not isinstance(definition, TopicDefinition) or "#" in name:
        raise _Invalid("path", "There is no topic at this path.")
    key = definition.key
    for each in () if key.takes_more else parse_qs(query, keep_blank_values=True).keys() - key.by_spelling.keys():
        raise _Invalid("path", f"got an unexpected keyword argument {each!r}")
    try:
        in_path = way.child_scope["path_params"]
        values = arguments_of(definition.title, way.route.dependant, key.names, in_path, query)
    except InvalidKey as error:
        raise _Invalid("path", error.problem) from None
    return definition, Validated(values)


def _not_here(function: Callable[..., Any]) -> None:
    """Do nothing: a topic is declared by the app's code."""


# Publishing


async def _published(ready: Sequence[_Ready]) -> list[PublishAnswer | Exception]:
    """Publish, and return the results in their order. After a failure, nothing more is published."""
    for hub in {hub for each in ready for hub in each.definition.hubs()}:
        if isinstance(hub, Hub):
            await hub.engine()  # that of a mounted app starts when it is first used
    receipts: list[Receipt] = []
    results: list[PublishAnswer | Exception] = []
    refused: Exception | None = None
    for each in ready:
        try:
            receipts.append(each.publish())
        except Unavailable as error:
            refused = error
            break
        if len(receipts) % AT_ONCE == 0:
            await asyncio.sleep(0)
    until = asyncio.get_running_loop().time() + CONFIRMED_WITHIN
    for receipt in receipts:
        try:
            async with nullcontext() if receipt.done() else asyncio.timeout_at(until):
                results.append(PublishAnswer(position=str(await receipt)))
        except Exception as error:
            results.append(error)
    if refused is not None:
        results += [refused] * (len(ready) - len(results))
    return results


def _single(results: Sequence[PublishAnswer | Exception]) -> Response:
    (result,) = results
    if isinstance(result, PublishAnswer):
        return JSONResponse(result.model_dump(exclude_none=True))
    status, said = _failure(result)
    return JSONResponse({"detail": said}, status, RETRY_AFTER if status == 503 else None)


def _batch(results: Sequence[PublishAnswer | Exception]) -> Response:
    shown: list[dict[str, Any]] = []
    status, detail = 200, ""
    for each in results:
        if isinstance(each, PublishAnswer):
            shown.append(each.model_dump(exclude_none=True))
            continue
        code, said = _failure(each)
        shown.append({"error": said})
        if status == 200:
            status, detail = code, said
    if status == 200:
        return JSONResponse(shown)
    return JSONResponse({"detail": detail, "results": shown}, status, RETRY_AFTER if status == 503 else None)


def _failure(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence for a publication that failed."""
    match error:
        case TimeoutError():
            return 503, _LATE
        case Unavailable():
            return 503, error.advice
        case TopicComplete():
            return 409, "The topic is complete."
        case NoSuchRow():
            return 404, f"{error}."
        case LogFull():
            return 507, f"{error}."
        case BrokerRefused():
            return 507, "The broker does not take this value: it is too large, or the broker is set up otherwise."
        case _:
            log_error(error, "A publication by POST failed.")
            return 500, "The value could not be published."
