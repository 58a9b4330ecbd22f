"""Declarations of calls: the parameter for the message, worker threads, and mistakes that are refused."""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from typing import Annotated, Any, Never, TypeVar

import pytest
from fastapi import Body, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.websockets import WebSocket
from typing_extensions import TypeAliasType

from wirespeed import DeclarationError, Message
from wirespeed.declare import Declared, declare_call, definition_of
from wirespeed.declare.endpoints import HIDDEN
from wirespeed.definitions import Call, Intake

F = TypeVar("F", bound=Callable[..., Any])


class Hello(BaseModel):
    message: str


class Sum(BaseModel):
    total: int


async def serve(websocket: WebSocket, call: Call, arguments: Mapping[str, Any]) -> None:
    """Serve nothing: no client connects here."""


async def answer(request: Request, call: Call, arguments: Mapping[str, Any]) -> Response:
    """Answer a request."""
    return Response(f"{request} {call.path} {sorted(arguments)}")


def declaration(function: Callable[..., Any], path: str = "/x", *dependencies: Any) -> Declared[Call]:
    """Declare a function as a call."""
    return declare_call(path, function, serve, respond=answer, dependencies=dependencies)


# What can be a call


async def coroutine(hello: Hello) -> Sum:
    return Sum(total=1)


def plain(hello: Hello) -> Sum:
    return Sum(total=1)


async def of_two(factor: int, hello: Hello) -> Sum:
    return Sum(total=factor)


@functools.wraps(coroutine)
def plain_around_a_coroutine(*args: Any, **kwargs: Any) -> Awaitable[Sum]:
    return coroutine(*args, **kwargs)


@functools.wraps(plain)
async def coroutine_around_plain(*args: Any, **kwargs: Any) -> Sum:
    return plain(*args, **kwargs)


class Adder:
    async def method(self, hello: Hello) -> Sum:
        return Sum(total=1)

    def plain_method(self, hello: Hello) -> Sum:
        return Sum(total=1)

    @staticmethod
    async def static_method(hello: Hello) -> Sum:
        return Sum(total=1)

    async def __call__(self, hello: Hello) -> Sum:
        return Sum(total=1)


@pytest.mark.parametrize(
    ("function", "synchronous"),
    [
        pytest.param(coroutine, False, id="coroutine function"),
        pytest.param(plain, True, id="plain function"),
        pytest.param(plain_around_a_coroutine, False, id="plain function around a coroutine function"),
        pytest.param(coroutine_around_plain, False, id="coroutine function around a plain one"),
        pytest.param(functools.partial(coroutine_around_plain), False, id="partial of that"),
        pytest.param(functools.partial(coroutine), False, id="partial"),
        pytest.param(functools.partial(of_two, factor=2), False, id="partial with a named argument"),
        pytest.param(functools.partial(plain), True, id="partial of a plain function"),
        pytest.param(Adder().method, False, id="method"),
        pytest.param(Adder().plain_method, True, id="plain method"),
        pytest.param(Adder.static_method, False, id="static method"),
        pytest.param(Adder(), False, id="callable object"),
        pytest.param(functools.partial(Adder()), False, id="partial of a callable object"),
    ],
)
def test_every_kind_of_callable_can_be_a_call(function: Callable[..., Any], synchronous: bool) -> None:
    """Every callable that returns a value can be a call and stays unchanged; blocking ones are recognised."""
    call = declaration(function).definition
    assert call.function is function
    assert (call.intake, call.parameter, call.synchronous) == (Intake.EACH, "hello", synchronous)
    assert call.encoder.encode(Sum(total=1)) == b'{"total":1}'


def taking(annotation: Any) -> Callable[..., int]:
    """Return a function whose parameter ``it`` has this annotation."""

    def function(it: Any) -> int:
        return 1

    function.__annotations__ = {"it": annotation, "return": int}
    return function


@pytest.mark.parametrize(
    ("annotation", "message", "value"),
    [
        pytest.param(Hello, '{"message": "hi"}', Hello(message="hi"), id="model"),
        pytest.param(list[int], "[1]", [1], id="list"),
        pytest.param(Annotated[str, Message(max_length=2)], "hi", "hi", id="text"),
        pytest.param(Annotated[bytes, Message()], b"\xff", b"\xff", id="bytes"),
        pytest.param(Annotated[int, Body()], "42", 42, id="Body"),
    ],
)
def test_message_is_what_fastapi_calls_the_body(annotation: Any, message: str | bytes, value: Any) -> None:
    """The message is found as in a stream."""
    call = declaration(taking(annotation)).definition
    assert call.parameter == "it"
    assert call.decoder is not None
    assert call.decoder.decode(message) == value


@pytest.mark.parametrize("annotation", [int, Annotated[str, Query()], Annotated[Hello, Depends(Hello)], WebSocket])
def test_scalars_and_dependencies_are_no_message(annotation: Any) -> None:
    """A parameter that FastAPI fills from elsewhere is not the message."""
    call = declaration(taking(annotation)).definition
    assert (call.intake, call.parameter, call.decoder) == (Intake.NOTHING, None, None)


@pytest.mark.parametrize(
    ("annotation", "value", "payload"),
    [
        (str, "hi", b"hi"),
        (bytes, b"\xff", b"\xff"),
        (int | None, None, b"null"),
        (list[Sum], [Sum(total=1)], b'[{"total":1}]'),
        (Any, {"a": 1}, b'{"a":1}'),
        (Annotated[Sum, "a note"], Sum(total=2), b'{"total":2}'),
        ("Sum", Sum(total=3), b'{"total":3}'),
    ],
)
def test_value_is_encoded_by_the_return_annotation(annotation: Any, value: Any, payload: bytes) -> None:
    """A returned value is encoded like a yielded one."""

    def function() -> None: ...

    function.__annotations__ = {"return": annotation}
    assert declaration(function).definition.encoder.encode(value) == payload


# What FastAPI gets


def test_endpoints_have_what_fastapi_resolves() -> None:
    """The WebSocket's endpoint lacks the message, the POST's has it; both belong to the call."""

    async def add(hello: Hello, number: int = 5) -> int:
        """Adds."""
        return number

    made = declaration(add)
    assert made.http is not None
    for endpoint, names in ((made.endpoint, ["number", HIDDEN]), (made.http, ["hello", "number", HIDDEN])):
        assert list(inspect.signature(endpoint).parameters) == names
        assert (endpoint.__name__, endpoint.__doc__) == ("add", "Adds.")
        assert definition_of(endpoint) is made.definition
    assert made.definition.value_type is int


@pytest.mark.anyio
async def test_connection_is_handed_over() -> None:
    """The surface gets the connection, the call, and the arguments that FastAPI resolved."""
    served: list[Any] = []

    async def note(websocket: WebSocket, call: Call, arguments: Mapping[str, Any]) -> None:
        served.append((websocket, call, arguments))

    made = declare_call("/x", of_two, note, respond=answer, dependencies=())
    await made.endpoint(factor=2, **{HIDDEN: "websocket"})
    assert served == [("websocket", made.definition, {"factor": 2})]
    assert made.http is not None
    assert (await made.http(factor=2, hello=1, **{HIDDEN: "request"})).body == b"request /x ['factor', 'hello']"


@pytest.mark.anyio
async def test_own_websocket_is_taken() -> None:
    """If the function takes the WebSocket itself, no parameter is added."""
    served: list[Any] = []

    async def note(websocket: WebSocket, call: Call, arguments: Mapping[str, Any]) -> None:
        served.append((websocket, arguments))

    async def own(socket: WebSocket) -> int:
        return 1

    made = declare_call("/x", own, note, respond=answer, dependencies=())
    await made.endpoint(socket="websocket")
    assert served == [("websocket", {"socket": "websocket"})]


def test_without_http_there_is_no_post() -> None:
    """A call without a surface for HTTP, and one that takes bytes, have only a WebSocket."""
    assert declare_call("/x", coroutine, serve, respond=None, dependencies=()).http is None
    assert declaration(taking(Annotated[bytes, Message()])).http is None


# What is refused when it is declared

REFUSED: list[Any] = []


def refused(*texts: str) -> Callable[[F], F]:
    """Add a function to the table of refused ones, with the parts of the error."""

    def add(function: F) -> F:
        REFUSED.append(pytest.param(function, texts, id=getattr(function, "__name__", None)))
        return function

    return add


def takes_request(request: Request) -> None: ...


def takes_body(hello: Hello) -> None: ...


MANY = ("it yields many values, and a call returns one", "use live.stream", "return a list[...]")


@refused(*MANY)
async def async_generator(hello: Hello) -> AsyncIterator[int]:
    yield 1


@refused(*MANY)
def sync_generator(hello: Hello) -> Iterator[int]:
    yield 1


@refused(*MANY)
async def generator_that_says_otherwise(hello: Hello) -> int:  # type: ignore[misc]
    yield 1


@refused(*MANY)
def gives_an_async_iterator(hello: Hello) -> AsyncIterator[int]:
    return async_generator(hello)


@refused(*MANY)
async def gives_a_generator(hello: Hello) -> Generator[int, None, None]:
    return (number for number in (1, 2))


@refused(*MANY)
def gives_an_alias_of_an_iterable(hello: Hello) -> TypeAliasType("Numbers", Iterable[int]):  # type: ignore[valid-type]
    return [1]


@refused(*MANY)
@functools.wraps(sync_generator)
def wraps_a_generator(*args: Any) -> Any:
    return list(sync_generator(*args))


@refused("its return annotation must name the type of its value: '-> str'")
async def says_nothing(hello: Hello):  # type: ignore[no-untyped-def]
    return 1


@refused("it never returns: annotate '-> None'")
def never_returns(hello: Hello) -> Never:
    raise RuntimeError


@refused("hello and other are two messages", "combine them in one model")
async def two_messages(hello: Hello, other: Hello) -> int:
    return 1


DUPLEX = ("'hellos' would be many messages, and a call takes one", "use live.stream", "take a list[...]")


@refused(*DUPLEX)
async def duplex(hellos: AsyncIterator[Hello]) -> int:
    return 1


@refused(*DUPLEX)
def other_kind_of_duplex(hellos: AsyncIterator[Hello]) -> int:
    return 1


@refused(*DUPLEX)
async def iterable(hellos: Iterable[Hello]) -> int:
    return 1


@refused(*DUPLEX)
async def message_and_duplex(hello: Hello, hellos: AsyncIterator[Hello]) -> int:
    return 1


@refused("'hello' is the message, which always arrives: remove its default")
async def default(hello: Hello | None = None) -> int:
    return 1


@refused("the parameter 'hello' has no annotation")
async def missing_annotation(hello) -> int:  # type: ignore[no-untyped-def]
    return 1


@refused("the annotation of 'hello', 'Missing', cannot be resolved")
async def unresolved(hello: "Missing") -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


@refused("its return annotation, 'Missing', cannot be resolved")
async def unresolved_value(hello: Hello) -> "Missing":  # type: ignore[name-defined]  # noqa: F821
    return 1


@refused("'request' is a Request, which a WebSocket does not have", "HTTPConnection")
async def request(request: Request) -> int:
    return 1


@refused("its dependency takes_request takes a Request")
async def request_in_a_dependency(it: Annotated[None, Depends(takes_request)]) -> int:
    return 1


@refused("its dependency takes_body takes a body ('hello')", "take the message in the function's own signature")
async def body_in_a_dependency(it: Annotated[None, Depends(takes_body)]) -> int:
    return 1


class Unknown:
    """A class that Pydantic cannot handle."""


@refused("the type of what it returns", "Unknown", "is not one that Pydantic knows")
async def gives_an_unknown_type(hello: Hello) -> Unknown:
    return Unknown()


@refused("the type of what it returns", "Response", "is not one that Pydantic knows")
async def gives_a_response(hello: Hello) -> Response:
    return Response()


@refused("Unknown")
async def takes_an_unknown_type(it: Unknown) -> int:
    return 1


@pytest.mark.parametrize(("function", "texts"), REFUSED)
def test_what_cannot_work_is_refused_when_declared(function: Callable[..., Any], texts: tuple[str, ...]) -> None:
    """The error is raised by the declaration, names the call, and says what to write instead."""
    with pytest.raises(DeclarationError) as caught:
        declaration(function, "/add")
    message = str(caught.value)
    assert message.startswith(f"call '/add' ({function.__qualname__}): ")
    assert [text for text in texts if text not in message] == [], message


def test_unbound_method_is_refused() -> None:
    """A method needs its object, and the error shows how to pass it."""
    with pytest.raises(DeclarationError, match=r"method without its object: .*live\.call\(path\)\(object\.method\)"):
        declaration(Adder.method)


@pytest.mark.parametrize("function", [Adder, dict.fromkeys])
def test_class_and_builtin_are_refused(function: Any) -> None:
    """A callable without a return annotation cannot be a call."""
    with pytest.raises(DeclarationError):
        declaration(function)


@pytest.mark.parametrize("path", ["add", ""])
def test_path_begins_with_a_slash(path: str) -> None:
    """FastAPI would accept a path without a slash, and no client would find it."""
    with pytest.raises(DeclarationError, match=rf"a path starts with '/': write '/{path}'"):
        declaration(coroutine, path)


@pytest.mark.parametrize(
    ("guard", "text"),
    [
        (Depends(takes_request), "its dependency takes_request takes a Request"),
        (Depends(takes_body), "its dependency takes_body takes a body"),
        (takes_body, "is not a dependency: write Depends"),
    ],
)
def test_guards_are_checked(guard: Any, text: str) -> None:
    """The entries of ``dependencies=`` are checked like the call's own dependencies."""
    with pytest.raises(DeclarationError, match=text):
        declaration(coroutine, "/x", guard)
