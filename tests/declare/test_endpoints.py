"""Endpoints: FastAPI gets the user's names, docs and parameters, and each endpoint leads to its definition."""

import functools
import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from tests.declare.test_watched import Unknown, price
from tests.hub.watching import feed, topic
from wirespeed.declare import definition_of, endpoints
from wirespeed.declare.endpoints import HIDDEN, built
from wirespeed.definitions import Watched
from wirespeed.errors import DeclarationError

pytestmark = pytest.mark.anyio

PRICE = feed(price, "/price/{symbol}")


class Served:
    """A surface that records its arguments."""

    def __init__(self) -> None:
        self.served: list[tuple[Any, Watched[Any, Any], Mapping[str, Any]]] = []

    async def serve(self, websocket: WebSocket, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
        """Record a WebSocket."""
        self.served.append((websocket, watched, arguments))

    async def get(self, request: Request, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> Response:
        """Record a GET."""
        self.served.append((request, watched, arguments))
        return Response("answer")


async def test_connection_is_handed_over_with_the_key() -> None:
    """Both endpoints pass on the connection and the arguments that FastAPI resolved."""
    served = Served()
    made = endpoints(PRICE, [], served.serve, served.get)
    await made.endpoint(symbol="BTC", limit=5, **{HIDDEN: "websocket"})
    assert made.http is not None
    assert (await made.http(symbol="ETH", limit=6, **{HIDDEN: "request"})).body == b"answer"
    assert served.served == [
        ("websocket", PRICE, {"symbol": "BTC", "limit": 5}),
        ("request", PRICE, {"symbol": "ETH", "limit": 6}),
    ]


def test_fastapi_sees_what_the_user_wrote() -> None:
    """Name, module, docs and parameters are the function's; the connection is an additional keyword."""
    served = Served()
    more = [Parameter("user", Parameter.KEYWORD_ONLY, annotation=str), PRICE.key.parameters[0]]
    made = endpoints(PRICE, more, served.serve, served.get)
    assert made.http is not None
    for endpoint, names in (
        (made.endpoint, ["symbol", "limit", "user", HIDDEN]),
        (made.http, ["symbol", "limit", HIDDEN]),
    ):
        assert (endpoint.__name__, endpoint.__module__, endpoint.__doc__) == ("price", price.__module__, "The price.")
        parameters = inspect.signature(endpoint).parameters
        assert list(parameters) == names
        assert {each.kind for each in parameters.values()} == {Parameter.KEYWORD_ONLY}
        assert parameters["limit"].default == 5
        assert definition_of(endpoint) is PRICE


def test_get_is_left_out() -> None:
    """Without a function that answers GET, there is no endpoint for it."""
    assert endpoints(PRICE, [], Served().serve, None).http is None


def test_topic_without_a_function_has_an_endpoint() -> None:
    """A topic without a function has an endpoint; a partial gives it the name of its function."""
    news = topic(str, "/news")
    assert definition_of(endpoints(news, [], Served().serve, None).endpoint) is news
    partial = feed(functools.partial(price, limit=3), "/price/{symbol}")
    assert endpoints(partial, [], Served().serve, None).endpoint.__name__ == "price"


def test_others_are_not_ours() -> None:
    """An endpoint of the app's own has no definition."""
    assert definition_of(price) is None


def test_unknown_type_is_named() -> None:
    """A type that Pydantic does not know is refused, with the place where it is used."""
    with pytest.raises(DeclarationError, match=r"the type of its values, .*Unknown.*, is not one that Pydantic knows"):
        built("x", TypeAdapter, Unknown, "its values")
    assert built("x", lambda type_: type_, int, "its values") is int


async def test_own_connection_is_used() -> None:
    """If a parameter takes the WebSocket, it is the connection, and FastAPI gets no other parameter for it."""
    served = Served()
    own = Parameter("socket", Parameter.KEYWORD_ONLY, annotation=WebSocket)
    made = endpoints(PRICE, [own], served.serve, None)
    assert list(inspect.signature(made.endpoint).parameters) == ["symbol", "limit", "socket"]
    await made.endpoint(symbol="BTC", limit=5, socket="websocket")
    assert served.served == [("websocket", PRICE, {"symbol": "BTC", "limit": 5, "socket": "websocket"})]
