"""Declarations of streams: the role of each parameter, and mistakes that are refused before anything is served."""

import functools
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, File, Form, Header, Path, Query, Request
from fastapi.params import Depends as DependsMarker
from fastapi.security import APIKeyHeader, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket
from typing_extensions import TypeAliasType, TypedDict

from wirespeed import DeclarationError, Live, LiveRouter, Message
from wirespeed.declare import declare_stream
from wirespeed.definitions import Intake, Overlap, Stream
from wirespeed.errors import InvalidMessage

F = TypeVar("F", bound=Callable[..., Any])


class Hello(BaseModel):
    message: str


class Bye(BaseModel):
    reason: str


@dataclass
class Point:
    x: int


class Row(TypedDict):
    name: str


class Side(Enum):
    BUY = "buy"


class Page(BaseModel):
    size: int = 10


async def serve(websocket: WebSocket, stream: Stream, arguments: Mapping[str, Any]) -> None:
    """Serve no one."""


def declared(
    function: Callable[..., Any],
    path: str = "/x",
    overlap: Overlap = "queue",
    dependencies: list[DependsMarker] | None = None,
) -> Stream:
    """Return the stream that a function becomes."""
    return declare_stream(path, function, serve, overlap=overlap, dependencies=dependencies or []).definition


def taking(annotation: Any, default: Any = ...) -> Callable[..., AsyncIterator[str]]:
    """Return a function of a stream whose parameter ``it`` has this annotation and this default."""

    async def function(it: Any) -> AsyncIterator[str]:
        yield ""

    function.__annotations__ = {"it": annotation, "return": AsyncIterator[str]}
    if default is not ...:
        function.__defaults__ = (default,)
    return function


# Which parameter is the message


@pytest.mark.parametrize(
    ("annotation", "message", "value"),
    [
        pytest.param(Hello, '{"message": "hi"}', Hello(message="hi"), id="model"),
        pytest.param(Point, '{"x": 1}', Point(1), id="dataclass"),
        pytest.param(Row, '{"name": "a"}', {"name": "a"}, id="TypedDict"),
        pytest.param(list[int], "[1, 2]", [1, 2], id="list"),
        pytest.param(dict[str, int], '{"a": 1}', {"a": 1}, id="dict"),
        pytest.param(Hello | Bye, '{"reason": "late"}', Bye(reason="late"), id="union of models"),
        pytest.param(Hello | str, '"hi"', "hi", id="union with a model"),
        pytest.param(Hello | None, "null", None, id="optional model"),
        pytest.param(Annotated[Hello, "a note"], '{"message": "hi"}', Hello(message="hi"), id="annotated model"),
        pytest.param(Annotated[Hello, Message()], '{"message": "hi"}', Hello(message="hi"), id="marked model"),
        pytest.param(Annotated[Hello, Body()], '{"message": "hi"}', Hello(message="hi"), id="Body"),
        pytest.param(Annotated[str, Message()], "hi", "hi", id="text"),
        pytest.param(Annotated[bytes, Message()], b"\xff", b"\xff", id="bytes"),
        pytest.param(Annotated[int, Message()], "42", 42, id="int"),
        pytest.param(Annotated[Side, Message()], '"buy"', Side.BUY, id="enum"),
        pytest.param(Annotated[Literal["a", "b"], Message()], '"b"', "b", id="literal"),
        pytest.param(TypeAliasType("Text", Annotated[str, Message()]), "hi", "hi", id="alias"),
    ],
)
def test_message_is_what_fastapi_calls_the_body(annotation: Any, message: str | bytes, value: Any) -> None:
    """The message is the parameter that would be the body, or is marked with ``Message()``."""
    stream = declared(taking(annotation))
    assert (stream.intake, stream.parameter) == (Intake.EACH, "it")
    assert stream.decoder is not None
    assert stream.decoder.decode(message) == value


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        int,
        bool,
        bytes,
        Side,
        Literal["a"],
        str | None,
        Annotated[str, Query(max_length=3)],
        Annotated[list[str], Query()],
        Annotated[Page, Query()],
        Annotated[str, Header()],
        Annotated[str, Cookie()],
        Annotated[Hello, Depends(Hello)],
        WebSocket,
        HTTPConnection,
        SecurityScopes,
        Annotated[str, Depends(APIKeyHeader(name="key"))],
    ],
)
def test_scalars_and_dependencies_are_no_message(annotation: Any) -> None:
    """FastAPI's handshake parameters are not the message: the stream runs once, right after accept."""
    stream = declared(taking(annotation))
    assert (stream.intake, stream.parameter, stream.decoder) == (Intake.NOTHING, None, None)


def test_path_parameters_are_no_message() -> None:
    """A parameter that the path names comes from there."""
    stream = declared(taking(Annotated[int, Path(gt=0)]), "/x/{it}")
    assert stream.intake is Intake.NOTHING


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        pytest.param(Annotated[str, Message(max_length=2)], ..., id="Annotated"),
        pytest.param(str, Message(max_length=2), id="default"),
        pytest.param(Annotated[str, "a note"], Message(max_length=2), id="default, and a note"),
    ],
)
def test_constraints_of_a_message_hold(annotation: Any, default: Any) -> None:
    """Both styles of FastAPI mark the message, and its constraints are checked."""
    decoder = declared(taking(annotation, default)).decoder
    assert decoder is not None
    assert decoder.decode("ab") == "ab"
    with pytest.raises(InvalidMessage, match="at most 2 characters"):
        decoder.decode("abc")


@pytest.mark.parametrize(
    ("annotation", "message", "value"),
    [
        pytest.param(AsyncIterator[Hello], '{"message": "hi"}', Hello(message="hi"), id="model"),
        pytest.param(AsyncIterator[str], "hi", "hi", id="text"),
        pytest.param(AsyncIterator[bytes], b"hi", b"hi", id="bytes"),
        pytest.param(AsyncIterator[int], "1", 1, id="int"),
        pytest.param(Annotated[AsyncIterator[str], "a note"], "hi", "hi", id="annotated"),
        pytest.param(TypeAliasType("Texts", AsyncIterator[str]), "hi", "hi", id="alias"),
    ],
)
def test_iterator_of_messages_makes_it_duplex(annotation: Any, message: str | bytes, value: Any) -> None:
    """An ``AsyncIterator`` parameter takes all messages, of the type in its brackets."""
    stream = declared(taking(annotation))
    assert (stream.intake, stream.parameter) == (Intake.ALL, "it")
    assert stream.decoder is not None
    assert stream.decoder.decode(message) == value


def test_constraints_of_duplex_messages_hold() -> None:
    """Constraints inside the brackets are checked for each message."""
    decoder = declared(taking(AsyncIterator[Annotated[str, Message(max_length=2)]])).decoder
    assert decoder is not None
    with pytest.raises(InvalidMessage, match="at most 2 characters"):
        decoder.decode("abc")


def test_iterator_from_a_dependency_is_no_message() -> None:
    """An iterator that a dependency returns does not take messages."""
    assert declared(taking(Annotated[AsyncIterator[str], Depends(Hello)])).intake is Intake.NOTHING


# What can be a stream


async def async_generator(hello: Hello) -> AsyncIterator[int]:
    yield 1


def sync_generator(hello: Hello) -> Iterator[int]:
    yield 1


async def with_async_generator(hello: Hello) -> AsyncGenerator[int, None]:
    yield 1


async def with_async_iterable(hello: Hello) -> AsyncIterable[int]:
    yield 1


def with_generator(hello: Hello) -> Generator[int, None, None]:
    yield 1


def with_iterable(hello: Hello) -> Iterable[int]:
    yield 1


def returns_async_iterator(hello: Hello) -> AsyncIterator[int]:
    return async_generator(hello)


def returns_iterator(hello: Hello) -> Iterator[int]:
    return iter([1])


async def annotated_result(hello: Hello) -> Annotated[AsyncIterator[int], "a note"]:
    yield 1


async def quoted_inside(hello: Annotated["Hello", "a note"]) -> AsyncIterator["Hello | int"]:
    yield hello


async def quoted(hello: "Hello") -> "AsyncIterator[int]":
    yield 1


async def of_two(factor: int, hello: Hello) -> AsyncIterator[int]:
    yield factor


@functools.wraps(async_generator)
async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[int]:
    async for value in async_generator(*args, **kwargs):
        yield value


@functools.wraps(async_generator)
def plain_wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[int]:
    return async_generator(*args, **kwargs)


class Counter:
    async def method(self, hello: Hello) -> AsyncIterator[int]:
        yield 1

    def sync_method(self, hello: Hello) -> Iterator[int]:
        yield 1

    @classmethod
    async def class_method(cls, hello: Hello) -> AsyncIterator[int]:
        yield 1

    @staticmethod
    async def static_method(hello: Hello) -> AsyncIterator[int]:
        yield 1

    async def __call__(self, hello: Hello) -> AsyncIterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("function", "synchronous"),
    [
        pytest.param(async_generator, False, id="async generator"),
        pytest.param(with_async_generator, False, id="AsyncGenerator"),
        pytest.param(with_async_iterable, False, id="AsyncIterable"),
        pytest.param(sync_generator, True, id="sync generator"),
        pytest.param(with_generator, True, id="Generator"),
        pytest.param(with_iterable, True, id="Iterable"),
        pytest.param(returns_async_iterator, False, id="function that returns an async iterator"),
        pytest.param(returns_iterator, True, id="function that returns an iterator"),
        pytest.param(annotated_result, False, id="Annotated result"),
        pytest.param(quoted, False, id="quoted annotations"),
        pytest.param(quoted_inside, False, id="annotations quoted inside"),
        pytest.param(functools.partial(async_generator), False, id="partial"),
        pytest.param(functools.partial(of_two, 2), False, id="partial with an argument"),
        pytest.param(functools.partial(of_two, factor=2), False, id="partial with a named argument"),
        pytest.param(functools.partial(Counter().method), False, id="partial of a method"),
        pytest.param(wrapper, False, id="wrapped generator"),
        pytest.param(plain_wrapper, False, id="plain function around a generator"),
        pytest.param(Counter().method, False, id="method"),
        pytest.param(Counter().sync_method, True, id="sync method"),
        pytest.param(Counter.class_method, False, id="class method"),
        pytest.param(Counter.static_method, False, id="static method"),
        pytest.param(Counter(), False, id="callable object"),
        pytest.param(functools.partial(Counter()), False, id="partial of a callable object"),
    ],
)
def test_every_kind_of_callable_can_be_a_stream(function: Callable[..., Any], synchronous: bool) -> None:
    """Every callable that yields values and says so can be a stream, and stays unchanged."""
    stream = declared(function)
    assert stream.function is function
    assert (stream.intake, stream.parameter, stream.synchronous) == (Intake.EACH, "hello", synchronous)
    assert stream.encoder.encode(1) == b"1"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (async_generator, "async_generator"),
        (Counter().method, "Counter.method"),
        (functools.partial(of_two, 2), "of_two"),
        (functools.partial(Counter().method), "Counter.method"),
        (Counter(), "Counter"),
    ],
)
def test_title_names_the_function(function: Callable[..., Any], name: str) -> None:
    """Logs and errors name a definition as a reader would look for it, without addresses."""
    assert declared(function, "/count").title == f"stream '/count' ({name})"


def module(name: str, source: str, **given: Any) -> Any:
    """A module of its own, with postponed annotations."""
    made = types.ModuleType(name)
    vars(made).update(given)
    exec(compile(f"from __future__ import annotations\n{source}", name, "exec"), vars(made))
    return made


STREAMS = """
from collections.abc import AsyncIterator, Iterator
from typing import Annotated
from pydantic import BaseModel
from wirespeed import Message

class Order(BaseModel):
    id: int

async def order(order: Order) -> AsyncIterator[Order]:
    yield order

async def text(order: Annotated[str, Message(max_length=1)]) -> AsyncIterator[str]:
    yield order

def duplex(order: Iterator[Order]) -> Iterator[Order]:
    yield from order

class Book:
    async def order(self, order: Order) -> AsyncIterator[Order]:
        yield order

    async def __call__(self, order: Order) -> AsyncIterator[Order]:
        yield order
"""

WRAPPERS = """
import functools

def generator(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        async for value in function(*args, **kwargs):
            yield value
    return wrapper

def plain(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
"""

streams = module("streams", STREAMS)
wrappers = module("wrappers", WRAPPERS)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(streams.order, id="function"),
        pytest.param(streams.text, id="Annotated"),
        pytest.param(streams.duplex, id="duplex"),
        pytest.param(streams.Book().order, id="method"),
        pytest.param(streams.Book(), id="callable object"),
        pytest.param(functools.partial(streams.order), id="partial"),
        pytest.param(wrappers.generator(streams.order), id="wrapped by a generator of another module"),
        pytest.param(wrappers.plain(streams.order), id="wrapped by a plain function of another module"),
        pytest.param(wrappers.plain(wrappers.generator(streams.order)), id="wrapped twice"),
        pytest.param(wrappers.generator(streams.Book().order), id="method, wrapped"),
    ],
)
def test_postponed_annotations_are_resolved_where_they_were_written(function: Callable[..., Any]) -> None:
    """``from __future__ import annotations`` changes nothing, even in wrapped functions."""
    stream = declared(function)
    assert stream.parameter == "order"
    assert stream.intake is not Intake.NOTHING


# What is refused when it is declared

REFUSED: list[Any] = []


def refused(*texts: str) -> Callable[[F], F]:
    """Add a function to the table of refused ones, with the parts of the error."""

    def register(function: F) -> F:
        REFUSED.append(pytest.param(function, texts, id=function.__name__))
        return function

    return register


def takes_request(request: Request) -> None: ...


def takes_connection(connection: HTTPConnection) -> None: ...


def takes_body(hello: Hello) -> None: ...


def takes_request_further_in(it: Annotated[None, Depends(takes_request)]) -> None: ...


def takes_body_further_in(it: Annotated[None, Depends(takes_body)]) -> None: ...


@refused("hello and bye are two messages", "combine them in one model")
async def two_messages(hello: Hello, bye: Bye) -> AsyncIterator[str]:
    yield ""


@refused("text and hello are two messages", "combine them in one model")
async def text_and_model(text: Annotated[str, Message()], hello: Hello) -> AsyncIterator[str]:
    yield ""


@refused("hello and messages are two messages")
async def message_and_duplex(hello: Hello, messages: AsyncIterator[str]) -> AsyncIterator[str]:
    yield ""


@refused("one and other are two messages")
async def twice_duplex(one: AsyncIterator[str], other: AsyncIterator[str]) -> AsyncIterator[str]:
    yield ""


@refused("'hello' is the message, which always arrives: remove its default")
async def default_of_a_model(hello: Hello = Hello(message="hi")) -> AsyncIterator[str]:  # noqa: B008
    yield ""


@refused("'hello' is the message, which always arrives: remove its default")
async def optional_message(hello: Hello | None = None) -> AsyncIterator[str]:
    yield ""


@refused("'text' is the message, which always arrives: remove its default")
async def default_beside_the_marker(text: Annotated[str, Message()] = "hi") -> AsyncIterator[str]:
    yield ""


@refused("'text' is the message, which always arrives: remove its default")
async def default_in_the_marker(text: str = Message("hi")) -> AsyncIterator[str]:  # type: ignore[assignment]
    yield ""


@refused("'messages'", "remove its default")
async def default_of_the_messages(
    messages: AsyncIterator[str] = None,  # type: ignore[assignment]  # noqa: RUF013
) -> AsyncIterator[str]:
    yield ""


@refused("'messages'", "AsyncIterator[Annotated[")
async def constraint_outside_the_brackets(
    messages: Annotated[AsyncIterator[str], Message(max_length=2)],
) -> AsyncIterator[str]:
    yield ""


@refused("the annotation of 'it', 'Missing', cannot be resolved", "import the name", "not under TYPE_CHECKING")
async def unresolved_annotation(it: "Missing") -> AsyncIterator[str]:  # type: ignore[name-defined]  # noqa: F821
    yield ""


@refused("its return annotation, 'AsyncIterator[Missing]', cannot be resolved")
async def unresolved_result(it: str) -> "AsyncIterator[Missing]":  # type: ignore[name-defined]  # noqa: F821
    yield ""


@refused("the annotation of 'it', 'not a type', is not a type")
async def annotation_that_is_no_type(it: "not a type") -> AsyncIterator[str]:  # type: ignore[valid-type]  # noqa: F722
    yield ""


@refused("the parameter 'it' has no annotation", "'it: str'")
async def missing_annotation(it) -> AsyncIterator[str]:  # type: ignore[no-untyped-def]
    yield ""


@refused("its return annotation must name", "'-> AsyncIterator[str]'")
async def no_result_annotation(it: str):  # type: ignore[no-untyped-def]
    yield ""


@refused("its return annotation must name", "'-> Iterator[str]'")
def no_result_annotation_of_a_sync_generator(it: str):  # type: ignore[no-untyped-def]
    yield ""


@refused("'-> AsyncIterator[str]'")
async def bare_result_annotation(it: str) -> AsyncIterator:  # type: ignore[type-arg]
    yield ""


@refused("'-> AsyncIterator[str]'")
async def sync_annotation_of_an_async_generator(it: str) -> Iterator[str]:  # type: ignore[misc]
    yield ""


@refused("'-> Iterator[str]'")
def async_annotation_of_a_sync_generator(it: str) -> AsyncIterator[str]:  # type: ignore[misc]
    yield ""


@refused("'-> AsyncIterator[str]'")
async def annotated_with_the_item(it: str) -> str:  # type: ignore[misc]
    yield ""


@refused("'-> AsyncIterator[str]'")
def plain_function(it: str) -> str:
    return it


@refused("it is a coroutine", "yield values instead, and annotate AsyncIterator[...]")
async def coroutine(it: str) -> str:
    return it


@refused("it is a coroutine", "yield values instead")
async def coroutine_that_returns_an_iterator(hello: Hello) -> AsyncIterator[int]:
    return async_generator(hello)


@refused("'request' is a Request, which a WebSocket does not have", "starlette.requests.HTTPConnection")
async def request(request: Request) -> AsyncIterator[str]:
    yield ""


@refused("its dependency takes_request takes a Request", "starlette.requests.HTTPConnection")
async def request_in_a_dependency(it: Annotated[None, Depends(takes_request)]) -> AsyncIterator[str]:
    yield ""


@refused("its dependency takes_request takes a Request", "starlette.requests.HTTPConnection")
async def request_further_in(it: Annotated[None, Depends(takes_request_further_in)]) -> AsyncIterator[str]:
    yield ""


@refused("its dependency takes_body takes a body ('hello')", "take the message in the function's own signature")
async def body_in_a_dependency(it: Annotated[None, Depends(takes_body)]) -> AsyncIterator[str]:
    yield ""


@refused("its dependency takes_body takes a body ('hello')")
async def body_further_in(it: Annotated[None, Depends(takes_body_further_in)]) -> AsyncIterator[str]:
    yield ""


@refused("*args cannot be filled from a connection", "declare each parameter by name")
async def variable_arguments(*args: str) -> AsyncIterator[str]:
    yield ""


@refused("*kwargs cannot be filled from a connection", "declare each parameter by name")
async def variable_keywords(**kwargs: str) -> AsyncIterator[str]:
    yield ""


@refused("'it' is positional-only", "remove the '/'")
async def positional_only(it: str, /) -> AsyncIterator[str]:
    yield ""


@refused("'messages' of this async generator must be AsyncIterator[...]")
async def sync_messages_of_an_async_generator(messages: Iterator[str]) -> AsyncIterator[str]:
    yield ""


@refused("'messages' of this sync generator must be Iterator[...]")
def async_messages_of_a_sync_generator(messages: AsyncIterator[str]) -> Iterator[str]:
    yield ""


@refused("'messages' of this async generator must be AsyncIterator[...]")
async def messages_of_no_type(messages: AsyncIterator) -> AsyncIterator[str]:  # type: ignore[type-arg]
    yield ""


@refused("'messages' of this async generator must be AsyncIterator[...]")
async def messages_of_a_generator(messages: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    yield ""


@refused("'messages' of this async generator must be AsyncIterator[...]")
async def messages_of_an_iterable(messages: AsyncIterable[str]) -> AsyncIterator[str]:
    yield ""


class Unknown:
    """A class that Pydantic cannot handle."""


@refused("the type of what it yields", "Unknown", "is not one that Pydantic knows")
async def yields_an_unknown_type(it: str) -> AsyncIterator[Unknown]:
    yield Unknown()


@refused("Unknown")
async def takes_an_unknown_type(it: Unknown) -> AsyncIterator[str]:
    yield ""


@refused("the type of the message 'messages'", "Unknown", "is not one that Pydantic knows")
async def takes_unknown_messages(messages: AsyncIterator[Unknown]) -> AsyncIterator[str]:
    yield ""


@pytest.mark.parametrize(("function", "texts"), REFUSED)
def test_what_cannot_work_is_refused_when_declared(function: Callable[..., Any], texts: tuple[str, ...]) -> None:
    """The error is raised by the declaration, names the stream, and says what to write instead."""
    with pytest.raises(DeclarationError) as caught:
        declared(function, "/prices")
    message = str(caught.value)
    assert message.startswith(f"stream '/prices' ({function.__qualname__}): ")
    assert [text for text in texts if text not in message] == [], message
    assert "response" not in message, "FastAPI's advice for responses does not help here"


def test_unbound_method_is_refused() -> None:
    """A method needs its object, and the error shows how to pass it."""
    with pytest.raises(DeclarationError, match=r"method without its object: .*live\.stream\(path\)\(object\.method\)"):
        declared(Counter.method)


@pytest.mark.parametrize("marker", [Form(), File()])
def test_forms_are_refused(marker: Any) -> None:
    """A message is neither a form nor a file, and the text names what to use, whatever is installed."""
    with pytest.raises(DeclarationError, match=r"'it' is a form or a file"):
        declared(taking(Annotated[bytes, marker]))


def test_class_is_refused() -> None:
    """A class cannot be a stream, whatever its instances are."""
    with pytest.raises(DeclarationError, match=r"its return annotation must name"):
        declared(Counter)


def test_builtin_is_refused() -> None:
    """A callable without a signature is refused like any other wrong one."""
    with pytest.raises(DeclarationError):
        declared(dict.fromkeys)


@pytest.mark.parametrize("path", ["count", "", "{number}"])
def test_path_begins_with_a_slash(path: str) -> None:
    """FastAPI would accept it, but no client could reach it."""
    with pytest.raises(DeclarationError, match=rf"a path starts with '/': write '/{path}'"):
        declared(async_generator, path)


def test_overlap_is_one_of_two() -> None:
    """The text names the possible effects of a message during a run."""
    with pytest.raises(DeclarationError, match="overlap must be 'queue' or 'replace', not 'drop'"):
        declared(async_generator, overlap="drop")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("guard", "text"),
    [
        (takes_request, "its dependency takes_request takes a Request"),
        (takes_request_further_in, "its dependency takes_request takes a Request"),
        (takes_body, "its dependency takes_body takes a body"),
        (None, r"is not a dependency: write Depends\(your_function\)"),
    ],
)
def test_guards_are_checked(guard: Callable[..., Any] | None, text: str) -> None:
    """The entries of ``dependencies=`` are checked like the function's own dependencies."""
    with pytest.raises(DeclarationError, match=text):
        declared(async_generator, dependencies=[Depends(guard)])


@pytest.mark.parametrize("guard", [takes_connection, Depends("takes_connection")])  # type: ignore[arg-type]
def test_guard_that_is_none_is_refused(guard: Any) -> None:
    """Anything but a ``Depends`` with a function is refused, with what to write instead."""
    with pytest.raises(DeclarationError, match=r"write Depends\(your_function\)"):
        declared(async_generator, dependencies=[guard])


def test_http_connection_is_right() -> None:
    """The recommended alternatives work in the function, its dependencies and its guards."""

    async def right(connection: HTTPConnection, it: Annotated[None, Depends(takes_connection)]) -> AsyncIterator[str]:
        yield ""

    assert declared(right, dependencies=[Depends(takes_connection)]).intake is Intake.NOTHING


def test_what_is_refused_leaves_no_route(app: FastAPI, live: Live) -> None:
    """A declaration that fails adds no route to the app."""
    before = list(app.routes)
    with pytest.raises(DeclarationError):
        live.stream("/coroutine")(coroutine)  # type: ignore[type-var]
    assert app.routes == before


# What is refused at startup


def start(app: FastAPI) -> None:
    """Start and stop an app."""
    with TestClient(app):
        pass


def included_with_guard(app: FastAPI, router: LiveRouter) -> None:
    app.include_router(router, dependencies=[Depends(takes_request)])


def included_in_a_guarded_router(app: FastAPI, router: LiveRouter) -> None:
    outer = APIRouter(dependencies=[Depends(takes_request_further_in)])
    outer.include_router(router)
    app.include_router(outer)


def included_in_a_guarded_live_router(app: FastAPI, router: LiveRouter) -> None:
    outer = LiveRouter(dependencies=[Depends(takes_request)])
    outer.include_router(router)
    app.include_router(outer)


@pytest.mark.parametrize(
    "include", [included_with_guard, included_in_a_guarded_router, included_in_a_guarded_live_router]
)
def test_guards_of_routers_are_checked_at_startup(
    app: FastAPI, live: Live, include: Callable[[FastAPI, LiveRouter], None]
) -> None:
    """A dependency that a router adds is known once it is included; if it cannot work, the app does not start."""
    router = LiveRouter()
    router.stream("/count")(async_generator)
    include(app, router)
    with pytest.raises(DeclarationError, match=r"^stream '/count' \(async_generator\): its dependency takes_request"):
        start(app)


def test_guards_of_the_app_are_checked_at_startup() -> None:
    """A dependency of the whole app applies to its streams, too."""
    app = FastAPI(dependencies=[Depends(takes_request)])
    Live(app).stream("/count")(async_generator)
    with pytest.raises(DeclarationError, match="its dependency takes_request"):
        start(app)


def test_other_routes_may_take_requests(app: FastAPI, live: Live) -> None:
    """Only routes of definitions are checked: a Request is valid for HTTP."""
    live.stream("/count")(async_generator)
    app.include_router(LiveRouter())
    app.get("/", dependencies=[Depends(takes_request)])(takes_connection)
    start(app)
