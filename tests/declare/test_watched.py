"""Declarations of feeds and topics: their keys, and mistakes that are refused before anything is served."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, Header, Query, Request
from pydantic import BaseModel, ValidationError

from tests.hub.watching import feed, topic, watch_options
from wirespeed.codec import encoder
from wirespeed.declare import Message, declare_feed, declare_handler, declare_key, declare_topic
from wirespeed.definitions import Tagged
from wirespeed.errors import DeclarationError
from wirespeed.log.base import Encoded, Marks


class Say(BaseModel):
    text: str


class Unknown:
    """A type that Pydantic does not know."""


async def price(symbol: str, limit: int = 5) -> AsyncIterator[float]:
    """The price."""
    yield 1.0


def rows(table: str) -> Iterator[int]:
    """Rows."""
    yield 1


class Clock:
    async def ticks(self, zone: str) -> AsyncIterator[int]:
        """Ticks."""
        yield 1


def test_feed_is_declared() -> None:
    """The parameters are the key, and the return annotation has the type of the values."""
    declared = feed(price, "/price/{symbol}", linger=2.0, keep=7, replay=3, on_lag="skip", max_rate=10)
    assert (declared.path, declared.title) == ("/price/{symbol}", "feed '/price/{symbol}' (price)")
    assert (set(declared.key.names), declared.value_type, declared.synchronous) == ({"symbol", "limit"}, float, False)
    assert declared.linger == 2.0
    assert declared.options == watch_options(keep=7, replay=3, on_lag="skip", max_rate=10)
    assert declared.function is price


def test_what_can_be_a_feed() -> None:
    """Sync generators, bound methods and partials can be feeds; an argument of a partial is not part of the key."""
    assert feed(rows, "/rows/{table}").synchronous is True
    assert feed(Clock().ticks).key.names == {"zone"}
    assert feed(functools.partial(price, limit=3), "/p/{symbol}").key.text_of_call(("a",), {}).startswith("symbol=a")
    assert feed(rows, "/rows/{table:path}").key.names == {"table"}


async def tagged() -> AsyncIterator[Tagged[Say]]:
    """Values with tags."""
    yield Tagged(Say(text="a"), {"by": "ada"})


def sometimes_tagged() -> Iterator[Say | Tagged[Say]]:
    """Values with tags, and values without."""
    yield Say(text="a")


@pytest.mark.parametrize("function", [tagged, sometimes_tagged])
@pytest.mark.parametrize("options", [{}, {"keep": 5}, {"by": "text"}])
def test_feed_of_values_with_tags(function: Any, options: dict[str, Any]) -> None:
    """The type is the one inside ``Tagged``; tags are checked and stay beside the payload."""
    declared = feed(function, **options)
    assert declared.value_type is Say
    values, value = declared.log_kind.values, Say(text="a")
    row = "a" if declared.retention.kind == "table" else None
    assert values.taken(Tagged(value, {"by": "ada"})) == Encoded(b'{"text":"a"}', row, Marks({"by": "ada"}))
    assert values.taken(value) == Encoded(b'{"text":"a"}', row)
    with pytest.raises(ValidationError):
        values.taken(Tagged(value, {"by": 5}))  # type: ignore[dict-item]


def test_feed_without_tags_pays_nothing() -> None:
    """Without ``Tagged`` in the annotation, values go straight to the encoder of their type."""

    def texts() -> Iterator[str]:
        yield "a"

    values = feed(texts).log_kind.values
    assert (values.encode, values.split) == (encoder(str).encode, None)


@pytest.mark.parametrize("type_", [Tagged[Say], Tagged, list[Tagged[Say]], Say | Tagged[Say]])
def test_topic_is_of_what_is_inside(type_: Any) -> None:
    """Every topic's values may have tags, which are not part of its type."""
    with pytest.raises(DeclarationError, match=r"name the type inside, T for Tagged\[T\]"):
        topic(type_)


async def no_annotation():  # type: ignore[no-untyped-def]
    """A generator without a return annotation."""
    yield 1


async def coroutine(symbol: str) -> float:
    """A coroutine."""
    return 1.0


async def bodied(say: Say) -> AsyncIterator[int]:
    """A feed with a message."""
    yield 1


async def headed(agent: Annotated[str, Header()]) -> AsyncIterator[int]:
    """A feed with a header."""
    yield 1


async def biscuit(session: Annotated[str, Cookie()]) -> AsyncIterator[int]:
    """A feed with a cookie."""
    yield 1


async def asking(request: Request) -> AsyncIterator[int]:
    """A feed with a request."""
    yield 1


async def tagged_inside() -> AsyncIterator[list[Tagged[int]]]:
    """A feed of values that contain tags."""
    yield []


async def unknown() -> AsyncIterator[Unknown]:
    """A feed of an unknown type."""
    yield Unknown()


def user() -> str:
    """A dependency."""
    return "ada"


async def depending(user: Annotated[str, Depends(user)]) -> AsyncIterator[int]:
    """A feed that depends on its watcher."""
    yield 1


@pytest.mark.parametrize(
    ("function", "path", "problem"),
    [
        (price, "price/{symbol}", "a path starts with '/'"),
        (price, "/price/{symbol}/{side}", "its path has {side}: add a parameter 'side'"),
        (no_annotation, "/x", "its return annotation must name"),
        (coroutine, "/x/{symbol}", "it is a coroutine"),
        (bodied, "/x", "'say' is neither a path nor a query parameter"),
        (headed, "/x", r"'agent' is neither .* dependencies=\[Depends"),
        (biscuit, "/x", "'session' is neither"),
        (depending, "/x", "'user' is neither"),
        (asking, "/x", "'request' is neither"),
        (unknown, "/x", "is not one that Pydantic knows"),
        (tagged_inside, "/x", "only values of topics and feeds have tags"),
    ],
)
def test_what_cannot_be_a_feed(function: Any, path: str, problem: str) -> None:
    """It is refused by its declaration, with its name and what to write instead."""
    with pytest.raises(DeclarationError, match=problem):
        feed(function, path)


@pytest.mark.parametrize("linger", [-1, float("nan"), float("inf"), 10**400, "5", None, timedelta(seconds=5)])
def test_linger_is_a_time(linger: Any) -> None:
    """``linger`` must be a finite number, so that a run without watchers ends."""
    with pytest.raises(DeclarationError, match="linger must be a number of seconds, 0 or more"):
        feed(rows, "/{table}", linger=linger)


def guard(request: Request) -> None:
    """A guard that works only for HTTP."""


@pytest.mark.parametrize("kind", ["feed", "topic"])
def test_guards_are_checked(kind: str) -> None:
    """A dependency that would fail when the first client connects is refused by the declaration."""
    guards = [Depends(guard)]
    declare: dict[str, Callable[[], object]] = {
        "feed": lambda: declare_feed("/{table}", rows, watch_options(), linger=1.0, dependencies=guards),
        "topic": lambda: declare_topic("/x", str, watch_options(), dependencies=guards),
    }
    with pytest.raises(DeclarationError, match="HTTPConnection"):
        declare[kind]()


def test_topic_is_declared() -> None:
    """A topic without parameters in its path is ready; otherwise it is open until a function declares its key."""
    news, orders = topic(Say, "/news"), topic(Say, "/orders/{user_id}")
    assert (news.is_open(), orders.is_open()) == (False, True)
    assert (news.title, news.value_type) == ("topic '/news'", Say)

    def by_user(user_id: int, side: str = "buy") -> None:
        """The orders of one user."""

    declare_key(orders, by_user)
    assert (orders.title, set(orders.key.names)) == ("topic '/orders/{user_id}' (by_user)", {"user_id", "side"})
    assert not orders.is_open()


def wrong_key(user: int) -> None:
    """A function without the path's parameter."""


def key_of_a_body(user_id: int, say: Say) -> None:
    """A function with a message."""


@pytest.mark.parametrize(("function", "problem"), [(wrong_key, "its path has {user_id}"), (key_of_a_body, "'say'")])
def test_function_that_is_no_key(function: Any, problem: str) -> None:
    """A function that lacks a parameter of the path, or takes more than a key, is refused."""
    with pytest.raises(DeclarationError, match=problem):
        declare_key(topic(str, "/orders/{user_id}"), function)


def test_topic_of_an_unknown_type() -> None:
    """A type that cannot be encoded is refused by the declaration."""
    with pytest.raises(DeclarationError, match="the type of its values"):
        topic(Unknown)


# Handlers


async def takes(say: Say, room: str, user: Annotated[str, Depends(user)], limit: int = Query(5)) -> None:
    """A handler."""


def takes_text(text: Annotated[str, Message()]) -> None:
    """A handler that may block."""


def test_handler_is_declared() -> None:
    """The body is the message; FastAPI resolves everything else."""
    handler, others = declare_handler(topic(str), takes)
    assert (handler.parameter, set(handler.names), handler.synchronous) == ("say", {"room", "user", "limit"}, False)
    assert [each.name for each in others] == ["room", "user", "limit"]
    assert handler.decoder.decode('{"text":"hi"}') == Say(text="hi")
    handler, others = declare_handler(topic(str), takes_text)
    assert (handler.parameter, handler.names, handler.synchronous, others) == ("text", frozenset(), True, [])
    assert handler.decoder.decode("hi") == "hi"


async def yields(say: Say) -> AsyncIterator[str]:
    """A handler that answers."""
    yield "no"


async def takes_nothing(room: str) -> None:
    """A handler without a message."""


async def takes_two(say: Say, other: Say) -> None:
    """A handler of two messages."""


async def takes_all(messages: AsyncIterator[Say]) -> None:
    """A handler of all messages."""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (yields, "a handler answers nothing: publish to the topic instead"),
        (takes_nothing, "it takes no message"),
        (takes_two, "two messages"),
        (takes_all, "it takes no message"),
    ],
)
def test_what_cannot_be_a_handler(function: Any, problem: str) -> None:
    """It is refused with the topic's name and what to write instead."""
    with pytest.raises(DeclarationError, match=problem) as error:
        declare_handler(topic(str, "/chat"), function)
    assert "topic '/chat'" in error.value.what
